"""A folder of W&B's offline runs: their logs, and the files beside them.

`wandb/offline-run-TIME-ID/run-ID.wandb` holds all that was logged; `files/` beside it holds
media, the environment and what was saved. A run that was resumed offline has several folders,
which are read as one run, in the order in which they were made.

Field numbers are those of `wandb_internal.proto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec

from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, Invalid, NotFound
from millwright.records.runs import Problem
from millwright.tracking.sources.found import (
    FoundBytes,
    FoundEnd,
    FoundExperiment,
    FoundFile,
    FoundModel,
    FoundParams,
    FoundRun,
    FoundTags,
    Item,
    Unread,
)
from millwright.tracking.sources.paths import list_files
from millwright.tracking.sources.recordlog import Gap, read_log
from millwright.tracking.sources.wandb_records import Reading, spelled
from millwright.tracking.sources.wire import Message

_FOLDER = re.compile(r"(offline-)?run-[0-9_]+-[A-Za-z0-9_-]+")
_LOG = "run-*.wandb"
_HEAD_RECORDS = 64
_LEFT = Problem(
    code="failed",
    what="the run did not say how it ended",
    why="its log has no record of an exit: it was killed, or is still running",
)


class Wandb:
    """Fills `found.Source` from offline runs; raises NotFound and Invalid when there are none.

    `folder` is one run's folder, the `wandb` folder that holds several, or the one above it.
    """

    kind = "wandb"

    def __init__(
        self, folder: Path, *, experiment: str | None = None, follow_links: bool = False
    ) -> None:
        if not folder.exists():
            raise NotFound(f"there is no folder {folder}")
        self._folder = folder.resolve()
        self._experiment = experiment
        self._follow_links = follow_links
        self._folders: dict[str, list[Path]] = {}

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def scope(self) -> str:
        """Nothing: a run's id holds its entity and project."""
        return ""

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the projects that the runs name."""
        names = {run.experiment for run in self.runs() if isinstance(run, FoundRun)}
        for name in sorted(names):
            yield FoundExperiment(name=name)

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs by the time they began."""
        heads: dict[str, list[tuple[Path, FoundRun]]] = {}
        logs = sorted(self._logs())
        if not logs:
            raise Invalid(
                f"{self._folder} holds no offline runs of W&B",
                why="there is no offline-run-*/run-*.wandb below it",
                fix="give the `wandb` folder of a script that ran with WANDB_MODE=offline",
            )
        for log in logs:
            head = self._head(log)
            if isinstance(head, Unread):
                yield head
            else:
                heads.setdefault(head.id, []).append((log, head))
        self._folders = {run: [log for log, _ in parts] for run, parts in heads.items()}
        found = [_joined([head for _, head in parts]) for parts in heads.values()]
        yield from sorted(found, key=lambda run: (run.start_us, run.id))

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over what the logs and folders of a run hold."""
        if run.id not in self._folders:
            for _ in self.runs():
                pass
        reading = Reading(take_staged=self._follow_links)
        for log in self._folders[run.id]:
            yield from self._logged(log, reading)
            yield from self._beside(log)
        yield FoundParams(params={key: spelled(value) for key, value in reading.config().items()})
        yield FoundTags(tags=reading.tags)
        yield from reading.left_in_summary()
        if reading.summary:
            text = msgspec.json.format(msgspec.json.encode(reading.summary))
            yield FoundBytes(path="wandb-summary.json", data=text)
        end_us = reading.last_us or run.start_us
        if reading.exit_code is None:
            yield FoundEnd(status="failed", end_us=end_us, error=_LEFT)
        elif reading.exit_code:
            problem = Problem(code="failed", what=f"it ended with exit code {reading.exit_code}")
            yield FoundEnd(status="failed", end_us=end_us, error=problem)
        else:
            yield FoundEnd(status="finished", end_us=end_us)

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over nothing: an offline run registers no models."""
        return iter(())

    def close(self) -> None:
        """Let go of nothing: no file stays open."""

    def _logs(self) -> Iterator[Path]:
        if not self._folder.is_dir():
            if self._folder.suffix == ".wandb":
                yield self._folder
            return
        # Sorted by folder: its name begins with the time it was made.
        for above in (self._folder, self._folder / "wandb"):
            if not above.is_dir():
                continue
            yield from above.glob(_LOG)
            for folder in above.iterdir():
                # The newest run has a second name, a link, and would be read twice.
                if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                    yield from folder.glob(_LOG)

    def _head(self, log: Path) -> FoundRun | Unread:
        reading = Reading()
        try:
            with log.open("rb") as stream:
                for entry in islice(read_log(stream), _HEAD_RECORDS):
                    if not isinstance(entry, Gap):
                        _take(reading, entry.data)
        except (Invalid, Corrupt) as error:
            return Unread(where=str(log), why=error.why or error.what)
        if not reading.run_id:
            return Unread(where=str(log), why="it does not say which run it is of")
        size = log.stat().st_size
        return FoundRun(
            id="/".join(part for part in (reading.entity, reading.project, reading.run_id) if part),
            name=reading.name or reading.run_id,
            experiment=self._experiment or reading.project or "wandb",
            start_us=reading.start_us or reading.last_us or 1,
            mark=f"{log.parent.name} {size}",
            command=reading.command,
            python=reading.python,
            platform=reading.platform,
            git_commit=reading.git_commit or None,
        )

    def _beside(self, log: Path) -> Iterator[FoundFile | Unread]:
        files = log.parent / "files"
        if files.is_dir():
            yield from list_files(files, within=log.parent, follow_links=self._follow_links)

    def _logged(self, log: Path, reading: Reading) -> Iterator[Item]:
        reading.exit_code = None
        with log.open("rb") as stream:
            for entry in read_log(stream):
                where = f"{log} at byte {entry.offset}"
                if isinstance(entry, Gap):
                    yield Unread(where=where, why=entry.why)
                    continue
                try:
                    yield from reading.read(Message(entry.data))
                except Corrupt as error:
                    yield Unread(where=where, why=error.what)
                except (RecursionError, ValueError, OverflowError) as error:
                    yield Unread(where=where, why=str(error))


def _take(reading: Reading, data: bytes) -> None:
    try:
        for _ in reading.read(Message(data)):
            pass
    except (Corrupt, RecursionError, ValueError, OverflowError):
        # It is named when the run's content is read.
        return


def _joined(parts: list[FoundRun]) -> FoundRun:
    first = min(parts, key=lambda part: part.start_us)
    marks = "\n".join(part.mark for part in parts)
    return replace(first, mark=digest_bytes(marks.encode()))
