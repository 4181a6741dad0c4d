"""Homes made by earlier versions: this one must open, verify and serve every one of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

from fixtures.demos import segment_rows
from fixtures.mill_processes import mill
from millwright.cli.up import processes
from millwright.core.ids import DecisionId
from millwright.workspace.config import Config, load_config
from millwright.workspace.open import Workspace

STORES = Path(__file__).parents[1] / "fixtures/stores"
NAME = "loans"
MAX_BYTES = 400_000
READY_S = 30.0
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """A copy of a stored home, and what its makers wrote beside it."""

    root: Path
    expected: Record

    @property
    def config(self) -> Config:
        return load_config(environment={}, folder=self.root)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The inputs of the answers that were kept."""
        rows: list[Record] = [answer["inputs"] for answer in self.expected["answers"]]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def answers(self, output: str) -> list[Any]:
        """What was answered to them then."""
        return [answer["outputs"][output][0] for answer in self.expected["answers"]]


def names() -> list[str]:
    return sorted(path.parent.name for path in STORES.glob("*/expected.json"))


@pytest.fixture(params=names())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    kept = STORES / request.param
    shutil.copytree(kept / "home", tmp_path / ".millwright")
    shutil.copy(kept / "checkpoint.txt", tmp_path)
    home = tmp_path / ".millwright"
    # Git keeps no more of a file's mode than whether it can be executed.
    for folder in (home, home / "keys"):
        folder.chmod(0o700)
    for file in (home / "millwright.db", *(home / "keys").iterdir()):
        file.chmod(0o600)
    return Store(tmp_path, msgspec.json.decode((kept / "expected.json").read_bytes()))


@pytest.fixture
def ws(store: Store) -> Iterator[Workspace]:
    with Workspace.open(store.config) as opened:
        yield opened


def test_there_is_a_store_and_each_is_small() -> None:
    assert "v1" in names()
    for name in names():
        files = [path for path in (STORES / name).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < MAX_BYTES


def test_its_counts_are_those_it_was_left_with(store: Store, ws: Workspace) -> None:
    then = store.expected["status"]
    now: Record = msgspec.to_builtins(ws.jobs.status())
    varying = {"version": "", "events": 0, "last_event_us": 0}
    assert now | varying == then | varying
    assert now["events"] >= then["events"]


def test_its_journal_verifies_also_against_the_checkpoint_kept_then(
    store: Store, ws: Workspace
) -> None:
    note = (store.root / "checkpoint.txt").read_text(encoding="utf-8")
    found = ws.audit.verify(against=note)
    assert (found.ok, found.problems) == (True, [])
    assert found.size >= store.expected["status"]["events"]


def test_its_digests_are_still_those_of_what_it_holds(store: Store, ws: Workspace) -> None:
    data = ws.data.show(ref=f"{NAME}@v1")
    assert (data.digest, data.row_count) == (store.expected["dataset"], store.expected["rows"])
    rows = ws.home.datasets.load(ws.session.key, f"{NAME}@v1")
    assert rows.height == store.expected["rows"]
    version = ws.models.show(ref=f"{NAME}@champion")
    assert version.digest == store.expected["model"]
    assert ws.home.packages.load(version.package_digest).digest == version.digest
    (verdict,) = ws.gates.verdicts(ref=f"{NAME}@v1")
    assert (verdict.digest, verdict.verdict) == (store.expected["gate"], "pass")


def test_its_model_answers_as_it_did(store: Store, ws: Workspace) -> None:
    model = ws.home.packages.load(ws.models.show(ref=f"{NAME}@champion").package_digest)
    answered = model.predict(pl.DataFrame(store.columns))
    assert list(answered["prediction"]) == store.answers("prediction")
    assert list(answered["probability"]) == pytest.approx(store.answers("probability"), abs=1e-6)


def test_its_decisions_lead_back_and_are_explained_as_they_were(
    store: Store, ws: Workspace
) -> None:
    assert len(segment_rows(store.root)) == store.expected["decisions"]
    explained = store.expected["explained"]
    decision = DecisionId(explained["decision"])
    chain = ws.decisions.show(id=decision)
    assert chain.model_version.digest == store.expected["model"]
    assert chain.run is not None
    assert chain.run.id == store.expected["run"]
    assert [one.digest for one in chain.datasets] == [store.expected["dataset"]]
    assert [one.digest for one in chain.gates] == [store.expected["gate"]]
    assert chain.label in {"yes", "no"}
    again = ws.decisions.explain(id=decision)
    assert again.contributions == pytest.approx(explained["contributions"], abs=1e-9)
    assert abs(again.residue) < 1e-9


def test_its_monitor_and_rule_are_there(store: Store, ws: Workspace) -> None:
    assert ws.monitors.show(name=NAME).looks == store.expected["monitor_looks"]
    assert len(ws.monitors.reports(name=NAME)) == store.expected["monitor_looks"]
    performance = ws.monitors.performance(deployment=NAME)
    assert performance.labelled == store.expected["decisions"]
    assert [rule.name for rule in ws.rules.list_all()] == ["retrain"]


def test_the_doctor_finds_it_sound(store: Store) -> None:
    # What any other command does first: the schema of an older version is brought up to date.
    assert mill(store.root, "status").code == 0
    done = mill(store.root, "doctor")
    assert done.code == 0, done.out + done.err


@pytest.mark.sockets
def test_it_is_served(store: Store) -> None:
    now: list[Record] = []
    with processes(store.config, port=8420, serving_port=8421) as running:
        wait_until_ready(f"{running.serving_url}/v2/models/{NAME}/ready")
        for answer in store.expected["answers"]:
            kinds = {"income": "FP64", "debt": "FP64", "region": "BYTES"}
            inputs = [
                {"name": name, "shape": [1], "datatype": kind, "data": [answer["inputs"][name]]}
                for name, kind in kinds.items()
            ]
            said = httpx.post(
                f"{running.serving_url}/v2/models/{NAME}/infer", json={"inputs": inputs}
            ).raise_for_status()
            now.append({one["name"]: one["data"] for one in said.json()["outputs"]})
    then = [answer["outputs"] for answer in store.expected["answers"]]
    assert [one["prediction"] for one in now] == [one["prediction"] for one in then]
    assert [one["probability"][0] for one in now] == pytest.approx(
        [one["probability"][0] for one in then], abs=1e-6
    )
    assert len(segment_rows(store.root)) == store.expected["decisions"] + len(now)


def wait_until_ready(url: str) -> None:
    """Return when the plan has been followed."""
    deadline = time.monotonic() + READY_S
    while httpx.get(url).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
