"""A TensorBoard logdir: each folder with event files in it is a run, named by its path.

A logdir may be written to while it is read. `RunTail` remembers how far each file was read and
gives what came since; `items` reads a run from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, Invalid
from millwright.records.runs import RunStatus
from millwright.tracking.sources.eventfile import Broken, read_frames
from millwright.tracking.sources.events import EventReader
from millwright.tracking.sources.found import (
    FoundEnd,
    FoundExperiment,
    FoundFile,
    FoundModel,
    FoundRun,
    Item,
    Unread,
)
from millwright.tracking.sources.paths import check_folder, list_files

_MARK = "tfevents"
_EMPTY = ".profile-empty"


class TensorBoard:
    """Fills `found.Source` from a logdir; raises NotFound and Invalid when it is none.

    One that `is_growing` may hold no run yet.
    """

    kind = "tensorboard"

    def __init__(
        self,
        logdir: Path,
        *,
        experiment: str | None = None,
        follow_links: bool = False,
        is_growing: bool = False,
    ) -> None:
        self._logdir = check_folder(logdir, "logdir")
        self._experiment = experiment or self._logdir.name or "tensorboard"
        self._follow_links = follow_links
        self._is_growing = is_growing

    @property
    def place(self) -> str:
        """The logdir."""
        return str(self._logdir)

    @property
    def scope(self) -> str:
        """The logdir, for the paths of runs mean nothing elsewhere."""
        return str(self._logdir)

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the one experiment that the runs go to."""
        yield FoundExperiment(name=self._experiment)

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs by path; raises Invalid when there is no event file at all."""
        folders: dict[str, list[Path]] = {}
        for one in list_files(self._logdir, follow_links=self._follow_links):
            if isinstance(one, Unread):
                if _is_event_file(Path(one.where).name):
                    yield one
            elif _is_event_file(PurePosixPath(one.path).name):
                folder = str(PurePosixPath(one.path).parent)
                folders.setdefault(folder, []).append(_path_of(one))
        if not folders and not self._is_growing:
            raise Invalid(
                f"{self._logdir} is no logdir",
                why=f"no file below it has {_MARK!r} in its name",
                fix="give the folder that `tensorboard --logdir` is given",
            )
        for folder, paths in sorted(folders.items()):
            yield FoundRun(
                id=folder,
                name=self._logdir.name if folder == "." else folder,
                experiment=self._experiment,
                start_us=_first_us(paths),
                mark=_mark(paths),
            )

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over everything in a run's event files, and last how it ended."""
        tail = self.tail(run)
        yield from tail.new_items()
        yield from tail.torn()

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over nothing: a logdir registers no models."""
        return iter(())

    def tail(self, run: FoundRun) -> RunTail:
        """Return a reader that goes on where it stopped."""
        within = None if self._follow_links else self._logdir
        return RunTail(self._logdir / run.id, within=within)

    def close(self) -> None:
        """Let go of nothing: no file stays open."""


class RunTail:
    """Reads what came to a run's event files since it last looked."""

    def __init__(self, folder: Path, *, within: Path | None = None) -> None:
        self._folder = folder
        self._within = within
        self._offsets: dict[str, int | None] = {}
        self._events = EventReader()
        self._status: RunStatus = "finished"

    def new_items(self) -> Iterator[Item]:
        """Iterate over what is new; of the end that is known so far once, if anything was."""
        before = dict(self._offsets)
        for path in self._paths():
            yield from self._new_in(path)
        if self._offsets != before and self._events.last_us is not None:
            yield FoundEnd(status=self._status, end_us=self._events.last_us)

    def torn(self) -> Iterator[Unread]:
        """Iterate over the files that end within a record, as those of a killed writer do."""
        for path in self._paths():
            offset = self._offsets.get(path.name, 0)
            if offset is not None and path.stat().st_size > offset:
                yield Unread(where=f"{path} at byte {offset}", why="the last record is cut off")

    def _paths(self) -> list[Path]:
        # Their names hold the second in which they were begun.
        return sorted(
            path
            for path in self._folder.iterdir()
            if _is_event_file(path.name)
            and path.is_file()
            and (self._within is None or path.resolve().is_relative_to(self._within))
        )

    def _new_in(self, path: Path) -> Iterator[Item]:
        offset = self._offsets.get(path.name, 0)
        if offset is None:
            return
        with path.open("rb") as stream:
            for frame in read_frames(stream, offset):
                where = f"{path} at byte {self._offsets.get(path.name, 0)}"
                if isinstance(frame, Broken):
                    rest = "" if frame.end is not None else "; the rest of the file was left out"
                    yield Unread(where=f"{path} at byte {frame.offset}", why=frame.why + rest)
                else:
                    yield from self._read(frame.data, where)
                self._offsets[path.name] = frame.end

    def _read(self, data: bytes, where: str) -> Iterator[Item]:
        try:
            for item in self._events.read(data, where):
                if isinstance(item, FoundEnd):
                    self._status = item.status
                else:
                    yield item
        except Corrupt as error:
            yield Unread(where=where, why=error.what)


def _is_event_file(name: str) -> bool:
    return _MARK in name and not name.endswith(_EMPTY)


def _path_of(found: FoundFile) -> Path:
    # A file that is there already is its own copy.
    return found.fetch(Path())


def _first_us(paths: list[Path]) -> int:
    events = EventReader()
    for path in sorted(paths):
        with path.open("rb") as stream:
            for frame in read_frames(stream):
                if isinstance(frame, Broken):
                    break
                try:
                    for _ in events.read(frame.data, ""):
                        break
                except Corrupt:
                    continue
                if events.first_us is not None and events.first_us > 1:
                    return events.first_us
    return events.first_us or 1


def _mark(paths: list[Path]) -> str:
    seen = [f"{path.name} {path.stat().st_size}" for path in sorted(paths)]
    return digest_bytes("\n".join(seen).encode())
