"""One foreign run on its way into the home: taken in pieces, and marked when it is complete.

Everything that is logged is known by its content, and logging it again changes nothing; so an
import that was killed is simply made again. Only when what the home holds was compared with
what was found does the run get its mark, by which the next import passes it over.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import msgspec

from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Failed, Invalid, NotFound
from millwright.core.ids import RunId
from millwright.doors.door import Door
from millwright.records.runs import (
    ArtifactFile,
    Infinite,
    LoggedDataset,
    MetricPoint,
    Problem,
    Run,
    RunStatus,
)
from millwright.sdk.checks import MAX_STEP, MAX_VALUE_CHARS, check_key, step_of
from millwright.sdk.imported_rows import Rows
from millwright.sdk.imported_start import MARK, OPEN
from millwright.tracking.sources.found import (
    FoundBytes,
    FoundDataset,
    FoundEnd,
    FoundFile,
    FoundLog,
    FoundLoggedModel,
    FoundParams,
    FoundRow,
    FoundRun,
    FoundTags,
    Item,
    Unread,
)
from millwright.tracking.sources.paths import as_path

POINTS_AT_ONCE = 10_000
FILES_AT_ONCE = 1000
MAX_TIME_US = 253_402_300_799_999_999
"""The last moment of the year 9999."""

Note: TypeAlias = Callable[[Unread], None]
Piece: TypeAlias = Callable[[], None]


@dataclass(slots=True)
class Taken:
    """What was found of a run and sent on."""

    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    points: Counter[str] = field(default_factory=Counter[str])
    """Key -> how many points were found; one that was found twice counts twice."""
    files: dict[str, Digest] = field(default_factory=dict[str, Digest])
    rows: int = 0
    datasets: int = 0


class RunTaker:
    """Takes the items of one run; made by `begin`, and closed once."""

    def __init__(self, door: Door, run: Run, found: FoundRun, note: Note) -> None:
        self.run = run
        self.found = found
        self.taken = Taken()
        self.models: list[FoundLoggedModel] = []
        """Logged models, which the caller takes in."""
        self._door = door
        self._note = note
        # Most runs of some stores leave nothing aside.
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._rows = Rows(lambda: self._path / "rows")
        self._points: list[MetricPoint] = []
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._files: list[ArtifactFile] = []
        self._end: FoundEnd | None = None
        self._printed = False
        self._sent = False
        self._left_out = 0

    @property
    def id(self) -> RunId:
        """Our id of the run."""
        return self.run.id

    @property
    def _path(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mill-import-")
        return Path(self._folder.name)

    def take(self, item: Item) -> None:
        """Take one item, and send on what there is when that is much."""
        match item:
            case MetricPoint():
                self._take_point(item)
            case FoundParams():
                self._take_params(item.params)
            case FoundTags():
                self._tags |= self._fitting("tags", item.tags)
            case FoundRow():
                self.taken.rows += 1
                self._rows.add(item.table, item.row)
            case FoundBytes():
                self._take_bytes(item.path, item.data)
            case FoundFile():
                self._take_file(item)
            case FoundLog():
                self._printed = True
                with self._log.open("a", encoding="utf-8", errors="surrogateescape") as log:
                    log.write(item.text)
            case FoundEnd():
                self._take_end(item)
            case FoundDataset():
                self._take_dataset(item)
            case FoundLoggedModel():
                self.models.append(item)
            case Unread():
                self._leave_out(item)

    def has_sent(self) -> bool:
        """Tell whether a whole batch went out since this was asked before."""
        sent, self._sent = self._sent, False
        return sent

    def count(self) -> dict[str, int]:
        """Return how much was taken, by the words of an import's counts."""
        taken = self.taken
        return {
            "params": len(taken.params),
            "tags": len(taken.tags),
            "points": sum(taken.points.values()),
            "artifacts": len(taken.files),
            "rows": taken.rows,
            "datasets": taken.datasets,
        }

    def send(self) -> None:
        """Send on everything that was taken so far."""
        self._send_logged()
        for table, path in self._rows.changed():
            self._put(f"{as_path(table)}.jsonl", path)
        self._send_files()

    def mark(self) -> None:
        """Mark the run as complete and end it as the store says that it ended."""
        end = self._end
        status: RunStatus = "finished" if end is None else end.status
        # What was left out now may be there another time: another folder may be named, or a
        # damaged file replaced.
        mark = f"{self.found.mark} without {self._left_out}" if self._left_out else self.found.mark
        tags = {MARK: mark, OPEN: "yes" if status == "running" else "no"}
        self._door.runs.log_batch(run=self.id, points=[], params={}, tags=tags)
        if status == "running":
            return
        error = None if end is None else end.error
        if error is None and status == "failed":
            error = Problem(code="failed", what="the store says that it failed")
        self._door.runs.finish(
            run=self.id,
            status=status,
            error=error,
            log_digest=self._door.artifacts.put_file(self._log) if self._printed else None,
            end_us=None if end is None else end.end_us,
        )

    def _leave_out(self, unread: Unread) -> None:
        self._left_out += 1
        self._note(unread)

    def close(self) -> None:
        """Let go of the files set aside."""
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def _log(self) -> Path:
        return self._path / "run.log"

    def _take_point(self, point: MetricPoint) -> None:
        why = refusal(point.key, point.step, point.time_us)
        if why is not None:
            self._leave_out(Unread(where=f"run {self.found.id}", why=why))
            return
        self.taken.points[point.key] += 1
        self._points.append(on_the_wire(point))
        if len(self._points) >= POINTS_AT_ONCE:
            self._send_logged()

    def _take_end(self, end: FoundEnd) -> None:
        if end.end_us is not None and end.end_us > MAX_TIME_US:
            why = "it ended at a time that no calendar holds; here it ends when it is imported"
            self._leave_out(Unread(where=f"run {self.found.id}", why=why))
            end = replace(end, end_us=None)
        self._end = end

    def _take_params(self, params: dict[str, str]) -> None:
        for key, value in self._fitting("params", params).items():
            # A parameter keeps its first value, here as in the home.
            if self._params.setdefault(key, value) != value:
                self._leave_out_param(key, self._params[key])

    def _leave_out_param(self, key: str, kept: str) -> None:
        why = f"parameter {key!r} was {kept[:80]!r} before; it keeps that"
        self._leave_out(Unread(where=f"run {self.found.id}", why=why))

    def _fitting(self, noun: str, texts: dict[str, str]) -> dict[str, str]:
        """Return what can be kept; a text that is too long is cut and kept whole as a file."""
        kept: dict[str, str] = {}
        for key, value in texts.items():
            try:
                check_key(noun.removesuffix("s"), key)
            except Invalid as error:
                self._leave_out(
                    Unread(where=f"run {self.found.id}", why=f"{error.what}: {error.why}")
                )
                continue
            if len(value) > MAX_VALUE_CHARS:
                path = as_path(f"{noun}/{key}") + ".txt"
                self._take_bytes(path, value.encode("utf-8", "surrogatepass"))
                value = f"{value[: MAX_VALUE_CHARS - 100]}… (whole in the artifact {path[-80:]})"
            kept[key] = value
        return kept

    def _take_bytes(self, path: str, data: bytes) -> None:
        aside = self._path / "bytes"
        aside.write_bytes(data)
        self._put(path, aside)

    def _take_file(self, found: FoundFile) -> None:
        aside = self._path / "fetched"
        try:
            self._put(found.path, found.fetch(aside))
        except (NotFound, Failed, OSError) as error:
            why = str(error) if isinstance(error, OSError) else error.what
            self._leave_out(Unread(where=f"run {self.found.id}, {found.path}", why=why))
        finally:
            aside.unlink(missing_ok=True)

    def _put(self, path: str, file: Path) -> None:
        digest = self._door.artifacts.put_file(file)
        self.taken.files[path] = digest
        self._files.append(ArtifactFile(path=path, digest=digest, size_bytes=file.stat().st_size))
        if len(self._files) >= FILES_AT_ONCE:
            self._send_files()

    def _take_dataset(self, found: FoundDataset) -> None:
        dataset = LoggedDataset(
            name=found.name,
            digest=found.digest,
            source_type=found.source_type,
            source=found.source,
            schema=found.schema,
            profile=found.profile,
            context=found.context,
            tags=found.tags,
        )
        self._door.runs.log_datasets(run=self.id, datasets=[dataset])
        self.taken.datasets += 1

    def _send_logged(self) -> None:
        """Send points, parameters and tags in one batch: each batch is a commit."""
        params, tags = self._params, self._tags
        if not (self._points or params.keys() - self.taken.params.keys() or tags):
            return
        try:
            self._door.runs.log_batch(run=self.id, points=self._points, params=params, tags=tags)
        except Conflict:
            # An earlier import took other values, which stay.
            before = self._door.runs.show(ref=self.id).params
            for key in [key for key, value in params.items() if before.get(key, value) != value]:
                self._leave_out_param(key, before[key])
                del params[key]
            self._door.runs.log_batch(run=self.id, points=self._points, params=params, tags=tags)
        self.taken.params |= params
        self.taken.tags |= tags
        self._sent = True
        self._points, self._tags = [], {}

    def _send_files(self) -> None:
        if self._files:
            self._door.runs.log_artifacts(run=self.id, files=self._files)
            self._files = []


def refusal(key: str, step: int, time_us: int) -> str | None:
    """Return why what was measured cannot be kept, or None when it can."""
    try:
        check_key("metric", key)
        step_of(key, step)
    except Invalid as error:
        return f"{error.what}: {error.why}" if error.why else error.what
    if abs(time_us) > MAX_STEP:
        return f"the time of metric {key!r} has {time_us.bit_length()} bits, beyond 64"
    return None


def on_the_wire(point: MetricPoint) -> MetricPoint:
    """Return a point as JSON can carry it."""
    value = spelled(point.value)
    return point if value is point.value else msgspec.structs.replace(point, value=value)


def spelled(value: float | Infinite | None) -> float | Infinite | None:
    """Return a value as JSON can carry it: an infinite one is spelled."""
    if value == float("inf"):
        return "Infinity"
    return "-Infinity" if value == float("-inf") else value
