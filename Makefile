# The everyday verbs. Each sets up what it needs in .venv, from requirements.lock.
.DEFAULT_GOAL := help
.PHONY: help setup demo test interop storm lint format types layers check bench lock
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

help:
	@echo "make demo     set up and run the whole loop on real data"
	@echo "make test     set up and run the tests"
	@echo "make check    lint, types, layers, tests: what CI runs"
	@echo "make lint     ruff, without changing anything"
	@echo "make format   ruff, changing what it can"
	@echo "make types    basedpyright in strict mode"
	@echo "make layers   import-linter: imports fall, from room to room"
	@echo "make storm    faults, fuzz and studies; takes minutes"
	@echo "make interop  foreign tools against us; TORCH=1 adds PyTorch's, gigabytes of them"
	@echo "make bench    benchmarks against their physical limits"
	@echo "make lock     resolve requirements.lock anew (needs uv)"

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Millwright needs Python 3.11 or newer; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch .venv/ready

demo: setup
	$(BIN)/mill demo

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not storm and not interop"

# Each foreign tool in an environment of its own, below .interop, from a lock of its own.
# `make interop TORCH=1` adds those of PyTorch, which are gigabytes.
ENVIRONMENTS := jupyter mlflow2 mlflow2-store mlflow3 trackers
TORCH ?=

.interop/%/ready: tests/interop/environments/%.lock
	test -x .interop/$*/bin/python || $(PYTHON) -m venv .interop/$*
	.interop/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Our own suites of these formats run in it.
.interop/torch/usable: .interop/torch/ready
	.interop/torch/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

interop: setup $(ENVIRONMENTS:%=.interop/%/ready) $(if $(TORCH),.interop/torch/usable)
	$(BIN)/python -m pytest -n0 -m interop --no-header -rs tests

storm: setup
	$(BIN)/python -m pytest -n0 -m storm --durations=20 tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "hypothesis and not storm" --hypothesis-profile others tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup
	$(BIN)/basedpyright --warnings

layers: setup
	$(BIN)/lint-imports

check: lint types layers test

bench: setup
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --group dev --extra postgres pyproject.toml -o requirements.lock
	@for name in $(ENVIRONMENTS); do uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
		tests/interop/environments/$$name.in -o tests/interop/environments/$$name.lock || exit 1; done
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --group dev pyproject.toml \
		tests/interop/environments/torch.in -o tests/interop/environments/torch.lock
