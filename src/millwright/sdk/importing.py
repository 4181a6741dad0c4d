"""Foreign runs and models brought into the home, through the door and nothing else.

    with closing(open_mlflow("sqlite:///mlflow.db")) as source:
        report = import_all(door, source)

An import may be stopped at any moment and made again: it goes on, and nothing is doubled. What
was written is compared with what was found before a run counts as complete; what could not be
taken is named in the report, and stops nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TypeAlias

import msgspec
from msgspec import Struct

from millwright.core.errors import (
    Conflict,
    Corrupt,
    Failed,
    Invalid,
    NotFound,
)
from millwright.core.ids import RunId
from millwright.doors.door import Door
from millwright.sdk.imported_check import differences
from millwright.sdk.imported_logged import LoggedModelTaker
from millwright.sdk.imported_models import ModelTaker, explained
from millwright.sdk.imported_run import RunTaker
from millwright.sdk.imported_start import NAME, begin, experiment_name
from millwright.tracking.sources.found import FoundRun, Item, Source, Unread
from millwright.tracking.sources.tensorboard import RunTail, TensorBoard

MAX_NAMED = 1000
_Tails: TypeAlias = dict[str, tuple[RunTaker, RunTail]]
_BAD = (Invalid, NotFound, Corrupt, Failed, OSError, ValueError, OverflowError, RecursionError)
"""What is wrong with one run or model; anything else ends the import, which can be made again."""


class ImportCounts(Struct, frozen=True, kw_only=True):
    """How much was found, or is kept, of each kind."""

    experiments: int = 0
    runs: int = 0
    params: int = 0
    tags: int = 0
    points: int = 0
    artifacts: int = 0
    rows: int = 0
    """Of texts, histograms and other values that are no numbers."""
    datasets: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0
    aliases: int = 0


class ImportProblem(Struct, frozen=True, kw_only=True):
    """Something that was there and was not taken."""

    where: str
    why: str


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import found, what of it the home holds now, and what was left out."""

    source: str
    place: str
    found: ImportCounts
    kept: ImportCounts
    """Of what was found in this import, compared with it."""
    unchanged: int
    """Runs that an earlier import had taken already."""
    differences: list[str]
    """Where the home holds something else than was found, or nothing; empty when all is well."""
    problems: list[ImportProblem]
    """What was left out, the first thousand."""
    n_problems: int

    @property
    def ok(self) -> bool:
        """Tell whether all that was found is kept as it was found."""
        return not self.differences


Progress: TypeAlias = Callable[[ImportCounts, str], None]
"""Is told, now and then, how much was found so far and where the import is."""


def import_all(door: Door, source: Source, *, progress: Progress | None = None) -> ImportReport:
    """Bring everything a store holds into the home, and return what became of it.

    Experiments, runs with their whole histories and artifacts, then registered models. Raises
    what ends the import as a whole: Unreachable, Denied, Invalid for a store that is none.
    """
    work = _Import(door, source, progress)
    work.experiments()
    for found in work.runs():
        work.run(found)
    work.registry()
    return work.report()


def follow_logdir(
    door: Door,
    source: TensorBoard,
    *,
    wait: Callable[[], bool],
    progress: Progress | None = None,
) -> ImportReport:
    """Bring a growing logdir into the home; its runs stay open meanwhile.

    `wait` returns when it is time to look again, and True when that is to be the last look,
    after which the runs are closed.
    """
    work = _Import(door, source, progress)
    work.experiments()
    tails: _Tails = {}
    is_last = False
    try:
        while True:
            for found in work.runs():
                work.follow(found, tails, source)
            if is_last:
                break
            is_last = wait()
        for taker, tail in tails.values():
            work.complete(taker, tail)
    finally:
        for taker, _ in tails.values():
            taker.close()
    return work.report()


class _Import:
    """One import at work: what was found so far, and what was left out."""

    def __init__(self, door: Door, source: Source, progress: Progress | None) -> None:
        self._door = door
        self._source = source
        self._progress = progress
        self._ids: dict[str, RunId] = {}
        self._logged = LoggedModelTaker(door, source)
        self._models = ModelTaker(door, source, self._logged, self.note)
        self._found: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._unchanged: set[str] = set()
        self._differences: list[str] = []
        self._problems: dict[tuple[str, str], ImportProblem] = {}
        self._n_problems = 0

    def note(self, unread: Unread) -> None:
        """Keep that something was left out, once."""
        key = unread.where, unread.why
        if key in self._problems:
            return
        self._n_problems += 1
        if len(self._problems) < MAX_NAMED:
            self._problems[key] = ImportProblem(where=unread.where, why=unread.why)

    def experiments(self) -> None:
        """Make the experiments that are not there, and give all of them the tags they lack."""
        there = {one.name: one.tags for one in self._door.experiments.list_all()}
        for found in self._source.experiments():
            self._found["experiments"] += 1
            name = experiment_name(found.name)
            kept = found.tags if name == found.name else found.tags | {NAME: found.name}
            with self._guarded(f"experiment {found.name!r}"):
                if name not in there:
                    self._door.experiments.create(
                        name=name, tags=kept, reason=f"imported from {self._source.place}"
                    )
                elif lacking := {
                    key: value for key, value in kept.items() if key not in there[name]
                }:
                    self._door.experiments.set_tags(ref=name, tags=lacking)
                self._kept["experiments"] += 1

    def runs(self) -> Iterator[FoundRun]:
        """Iterate over the runs, naming what cannot be read."""
        try:
            for one in self._source.runs():
                if isinstance(one, Unread):
                    self.note(one)
                else:
                    yield one
        except OSError as error:
            raise Failed(f"{self._source.place} cannot be read", why=str(error)) from error

    def run(self, found: FoundRun) -> None:
        """Take a whole run, unless it was taken before and has not changed."""
        with self._guarded(f"run {found.id}"):
            taker = self._begin(found)
            if taker is None:
                return
            with closing(taker):
                self._take(taker, self._source.items(found))
                self._complete(taker)

    def follow(self, found: FoundRun, tails: _Tails, source: TensorBoard) -> None:
        """Take what is new of a run that may go on growing."""
        with self._guarded(f"run {found.id}"):
            if found.id not in tails:
                taker = self._begin(found)
                if taker is None:
                    return
                tails[found.id] = taker, source.tail(found)
            taker, tail = tails[found.id]
            taker.found = found
            self._take(taker, tail.new_items())

    def complete(self, taker: RunTaker, tail: RunTail) -> None:
        """End a run that was followed."""
        with self._guarded(f"run {taker.found.id}"):
            self._take(taker, tail.torn())
            self._complete(taker)

    def registry(self) -> None:
        """Take the registered models, whose runs are there by now."""
        for model, measures in self._logged.measured():
            with self._guarded(f"what runs measured of logged model {model}"):
                self._logged.measure(model, measures, self._ids)
        for one in self._source.models():
            if isinstance(one, Unread):
                self.note(one)
                continue
            self._tell(f"model {one.name}")
            with self._guarded(f"model {one.name!r}"):
                self._found["models"] += 1
                self._found["versions"] += len(one.versions)
                self._found["aliases"] += len(one.aliases)
                self._kept.update(self._models.take(one, self._ids))

    def report(self) -> ImportReport:
        """Return what became of it all."""
        return ImportReport(
            source=self._source.kind,
            place=self._source.place,
            found=_counts(self._found),
            kept=_counts(self._kept),
            unchanged=len(self._unchanged),
            differences=self._differences,
            problems=list(self._problems.values()),
            n_problems=self._n_problems,
        )

    def _begin(self, found: FoundRun) -> RunTaker | None:
        self._tell(found.name)
        parent = None if found.parent is None else self._ids.get(found.parent)
        met = begin(self._door, self._source, found, parent)
        self._ids[found.id] = met.run.id
        if met.is_complete:
            self._unchanged.add(found.id)
            return None
        self._unchanged.discard(found.id)
        self._found["runs"] += 1
        return RunTaker(self._door, met.run, found, self.note)

    def _take(self, taker: RunTaker, items: Iterator[Item]) -> None:
        for item in items:
            taker.take(item)
            if taker.has_sent():
                self._tell(taker.found.name, taker.count())
        taker.send()

    def _complete(self, taker: RunTaker) -> None:
        for model in taker.models:
            self._found["logged_models"] += 1
            self._kept["logged_models"] += self._logged.take(taker, model)
        wrong = list(differences(self._door, taker, self._source))
        self._differences += [f"run {taker.found.id}: {one}" for one in wrong]
        self._found.update(taker.count())
        if not wrong:
            taker.mark()
            self._kept.update(taker.count())
            self._kept["runs"] += 1

    @contextmanager
    def _guarded(self, where: str) -> Generator[None]:
        """Keep what is wrong with one run or model from ending the import."""
        try:
            yield
        except Conflict as error:
            # What is here is somebody's doing, as a run that was deleted: it stays so.
            self.note(Unread(where=where, why=explained(error)))
        except _BAD as error:
            failed = f"{where} could not be taken: {explained(error)}"
            # A run that is followed may fail at each look.
            if failed not in self._differences:
                self._differences.append(failed)

    def _tell(self, where: str, more: Mapping[str, int] | None = None) -> None:
        if self._progress is not None:
            self._progress(_counts(self._found + Counter(more or {})), where)


def _counts(counter: Mapping[str, int]) -> ImportCounts:
    return msgspec.convert(dict(counter), ImportCounts)
