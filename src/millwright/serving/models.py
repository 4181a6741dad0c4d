"""Models ready to answer: fetched, verified, loaded, tried on their own examples, and measured.

Whether a model answers in the event loop or in a thread is decided by what its calls cost here
and now, never by a setting: an ONNX graph of 5 µs would pay ten times that for the way to a
thread, and a forest of 4 ms would hold up everybody else.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from millwright.artifacts.files import explain
from millwright.artifacts.paths import parse_artifact_path
from millwright.artifacts.trees import TreeEntry, make_tree
from millwright.core.clock import Clock
from millwright.core.digest import PREFIX, Digest, digest_file
from millwright.core.errors import Corrupt, Failed, Invalid, MillwrightError, NotFound
from millwright.records.schema import Signature
from millwright.records.serving import Cell, Variant
from millwright.registry.examples import read_example_columns
from millwright.registry.flavor import Predictor
from millwright.registry.mlmodel import EXAMPLE
from millwright.registry.package import LoadedModel
from millwright.registry.signature import Columns, check_columns
from millwright.serving.batching import Batcher

Load: TypeAlias = Callable[[Path, Digest], LoadedModel]
"""Loads the package in a folder, whose model must have that digest."""

INLINE_S = 0.001
"""A call that is expected to take longer leaves the event loop."""
KEPT_PACKAGES = 8
"""On disk, for rollbacks that do not need the control plane."""
_TRIES = 9
_TRY_FOR_S = 0.5
_MANY_ROWS = 256


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A loaded model that has answered, and what its answers cost."""

    digest: Digest
    flavor: str
    signature: Signature
    predictor: Predictor
    batcher: Batcher
    n_classes: int
    """0 when it is no classifier."""
    widths: Mapping[str, int | None]
    """For each output: None when it has one value a row, otherwise how many."""
    one_row_s: float
    """Median time of a call with one row."""
    inline_rows: int
    """Calls with up to this many rows are expected to take less than `INLINE_S`."""


class ModelStore:
    """Packages on this machine's disk, and how they become models that answer."""

    def __init__(
        self,
        folder: Path,
        *,
        fetch: Callable[[Digest, Path], None],
        load: Load,
        pool: Executor,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._load = load
        self._pool = pool
        self._clock = clock

    def load(self, variant: Variant) -> ReadyModel:
        """Return the variant's model, warm and measured.

        A package that is not on disk, or has changed there, is fetched. Raises what fetching and
        loading raise, and Failed when the model does not answer its own examples.
        """
        folder = self._package(variant.package_digest)
        loaded = self._load(folder, variant.digest)
        return make_ready(loaded, example=read_example(folder), pool=self._pool, clock=self._clock)

    def prune(self, used: Sequence[Digest]) -> None:
        """Remove the packages that were fetched longest ago, but none of `used`."""
        keep = {_folder_name(digest) for digest in used}
        found = [each for each in self._folder.iterdir() if each.name not in keep]
        found.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for each in found[KEPT_PACKAGES:]:
            shutil.rmtree(each, ignore_errors=True)

    def _package(self, digest: Digest) -> Path:
        target = self._folder / _folder_name(digest)
        try:
            if target.is_dir():
                if digest_folder(target) == digest:
                    return target
                shutil.rmtree(target)
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = self._folder / f".{secrets.token_hex(8)}.part"
            try:
                self._fetch(digest, aside)
                found = digest_folder(aside)
                if found != digest:
                    raise Corrupt(
                        f"what was fetched as {digest} is not that",
                        why=f"it is {found}",
                        fix="try again; if it stays so, verify the artifact store",
                    )
                aside.rename(target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise explain(error, f"cannot keep the package {digest} in {self._folder}") from error
        return target


def digest_folder(folder: Path) -> Digest:
    """Return the digest that the folder has as an artifact tree."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return make_tree(
        TreeEntry(
            parse_artifact_path(path.relative_to(folder).as_posix()),
            digest_file(path),
            path.stat().st_size,
        )
        for path in files
    ).digest


def read_example(folder: Path) -> dict[str, list[Cell]]:
    """Return the package's example rows, by column; raises Invalid when it has none."""
    try:
        columns = read_example_columns(folder)
    except (NotFound, Corrupt) as error:
        raise _no_example(error.why or error.what) from error
    if not columns:
        raise _no_example("it holds no table")
    return {name: column.tolist() for name, column in columns.items()}


def _no_example(why: str) -> Invalid:
    return Invalid(
        f"the model's {EXAMPLE} cannot be read",
        why=why,
        fix="package the model again, with example rows",
    )


def make_ready(
    loaded: LoadedModel, *, example: Mapping[str, Sequence[Cell]], pool: Executor, clock: Clock
) -> ReadyModel:
    """Let the model answer its examples until it is warm, and measure what that costs."""
    arrays = {name: np.array(values, dtype=np.object_) for name, values in example.items()}
    rows = check_columns(loaded.signature, arrays)
    count = min(map(len, rows.values()), default=0)
    if not count:
        raise Invalid("the model has no example rows", fix="package it again, with some")
    repeats = -(-_MANY_ROWS // count)
    many: Columns = {name: np.tile(values, repeats)[:_MANY_ROWS] for name, values in rows.items()}
    one: Columns = {name: values[:1] for name, values in rows.items()}
    try:
        outputs = loaded.predictor.predict(many)
        one_row_s = _measure(loaded.predictor, one, clock)
        many_rows_s = _measure(loaded.predictor, many, clock)
    except MillwrightError:
        raise
    except Exception as error:
        raise Failed(
            "the model does not answer its own examples", why=f"{type(error).__name__}: {error}"
        ) from error
    per_row_s = max((many_rows_s - one_row_s) / (_MANY_ROWS - 1), 1e-9)
    spare_s = INLINE_S - one_row_s
    return ReadyModel(
        digest=loaded.digest,
        flavor=loaded.flavor,
        signature=loaded.signature,
        predictor=loaded.predictor,
        batcher=Batcher(loaded.predictor, pool=pool, clock=clock),
        n_classes=len(loaded.classes),
        widths={
            name: None if values.ndim == 1 else int(values.shape[1])
            for name, values in outputs.items()
        },
        one_row_s=one_row_s,
        inline_rows=0 if spare_s < 0 else min(1 + int(spare_s / per_row_s), 10 * _MANY_ROWS),
    )


def _measure(predictor: Predictor, columns: Columns, clock: Clock) -> float:
    """Return the median time of a call, from as many calls as half a second allows."""
    took: list[float] = []
    while len(took) < _TRIES and sum(took) < _TRY_FOR_S:
        began = clock.monotonic_s()
        predictor.predict(columns)
        took.append(clock.monotonic_s() - began)
    return statistics.median(took)


def _folder_name(digest: Digest) -> str:
    return digest.removeprefix(PREFIX)
