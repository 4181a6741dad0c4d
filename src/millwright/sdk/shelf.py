"""What a run keeps besides numbers: files, tables, pictures, datasets, models.

Stored through the door when it answers; else copied beside the spool, and stored later.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import msgspec

from millwright.client.folders import Entry, check_path, encode_manifest, list_files
from millwright.core.clock import Clock
from millwright.core.digest import Digest, digest_bytes, digest_file
from millwright.core.errors import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
    Unsupported,
)
from millwright.core.ids import RunId
from millwright.core.refs import check_name, parse_ref
from millwright.records.data import DatasetVersion
from millwright.records.models import ModelVersion
from millwright.records.runs import ArtifactFile, LoggedDataset, RunLink
from millwright.sdk.checks import exact
from millwright.sdk.items import (
    DatasetAdded,
    DatasetRead,
    Described,
    Filed,
    Item,
    Linked,
    ModelRegistered,
    Stored,
    add_dataset,
    register_model,
)
from millwright.sdk.items import deliver as deliver_item
from millwright.sdk.sender import Sender
from millwright.sdk.tables import columns_of_example, frame_of, table_writer

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.sdk.tables import Table

T = TypeVar("T")

_WAITS = (Unreachable, TimedOut, Denied, Failed)
"""What no training is ended for: a server that is away or broke, a token that has run out."""
MAX_FILED = 5000
"""How many files are told at once: a server takes 8 MiB."""
TABLE_FORMATS = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model that a run kept."""

    name: str
    digest: Digest
    """Of what decides the answers: weights, signature, requirements."""
    package_digest: Digest
    version: ModelVersion | None
    """What it was registered as; None when that was not asked for, or is still to come."""


class Shelf:
    """Stores what one run keeps, from any thread."""

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self._run: RunId = sender.run
        self._lost: set[Digest] = set()
        """What neither a server nor this machine's disk took."""

    def put(self, path: Path, *, name: str | None = None) -> Digest:
        """Store a file, or have it stored later, and return its digest; raises NotFound.

        While no server answers and the disk is full it is lost, which is told, as `name`.
        """
        if not path.is_file():
            raise NotFound(f"there is no file or folder {path}")
        done = self._try(lambda door: door.artifacts.put_file(path))
        if done is not None:
            self._lost.discard(done)
            return done
        from millwright.sdk.staging import stage

        try:
            staged = stage(path, self._sender.open_folder())
        except OSError as error:
            # Where it is the file that cannot be read, this raises, since the caller gave it.
            digest = digest_file(path)
            self._lost.add(digest)
            self._sender.lose(name or path.name, error)
            return digest
        self._lost.discard(staged.digest)
        self._sender.submit(Stored(objects=staged.objects))
        return staged.digest

    def put_folder(self, folder: Path) -> tuple[Digest, list[Entry]]:
        """Store a folder as a tree; return its digest and its files. Raises Invalid for a link."""
        files = [
            Entry(name, self.put(file), file.stat().st_size) for name, file in list_files(folder)
        ]
        data = encode_manifest(files)
        digest = digest_bytes(data)
        # A tree whose files are not there would only be refused.
        is_whole = not any(one.digest in self._lost for one in files)
        if not is_whole or self._put_written(_bytes_writer(data), folder.name, self.put) is None:
            self._lost.add(digest)
        return digest, files

    def keep(self, path: Path, name: str) -> Digest:
        """Store a file or folder as an output of the run; raises NotFound."""
        name = exact(check_path(name))
        if path.is_dir():
            digest, entries = self.put_folder(path)
            files = [
                ArtifactFile(
                    path=f"{name}/{one.path}", digest=one.digest, size_bytes=one.size_bytes
                )
                for one in entries
            ]
        else:
            digest = self.put(path, name=name)
            files = [ArtifactFile(path=name, digest=digest, size_bytes=path.stat().st_size)]
        if there := [one for one in files if one.digest not in self._lost]:
            for first in range(0, len(there), MAX_FILED):
                self._tell(Filed(files=there[first : first + MAX_FILED]))
        if digest not in self._lost:
            self._link(name, digest)
        return digest

    def keep_bytes(self, data: bytes, name: str) -> None:
        """Store bytes as the output file `name`."""
        self._put_written(_bytes_writer(data), name, lambda file: self.keep(file, name))

    def keep_document(self, document: object, name: str) -> None:
        """Store plain data as JSON, or as YAML where `name` ends so; raises Invalid."""
        yaml = PurePosixPath(name).suffix in {".yaml", ".yml"}
        try:
            if yaml:
                data = msgspec.yaml.encode(document, enc_hook=_plain)
            else:
                data = msgspec.json.encode(document, enc_hook=_plain)
                data = msgspec.json.format(data) + b"\n"
        except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
            raise Invalid(
                f"{name} cannot be written",
                why=str(error),
                fix="give texts, numbers, lists and mappings",
            ) from error
        self.keep_bytes(data, name)

    def keep_table(self, table: Table, name: str) -> None:
        """Store a table as Parquet, or as CSV, Arrow or JSON where `name` ends so."""
        write = table_writer(frame_of(table), name)
        self._put_written(write, name, lambda file: self.keep(file, name))

    def keep_dataset(self, data: str | Path | Table, name: str | None) -> DatasetVersion | None:
        """Note what the run read; a file or table becomes a version first. See `log_dataset`."""
        if isinstance(data, str) and not _is_path(data):
            parse_ref(data := exact(data))
            self._tell(DatasetRead(ref=data))
            return None
        if isinstance(data, str | Path):
            return self._add_file(Path(data), name)
        if name is None:
            raise Invalid(
                "a table that becomes a dataset needs a name", fix="log_dataset(…, name=…)"
            )
        return self._add_table(data, exact(check_name(name, "dataset")))

    def describe(self, datasets: Sequence[LoggedDataset]) -> None:
        """Note what the run read that is kept elsewhere."""
        self._tell(Described(datasets=list(datasets)))

    def keep_model(
        self, model: object, name: str, *, example: object, register: str | None
    ) -> KeptModel:
        """Package a fitted model, store it, and register it where asked to."""
        from millwright.registry.package import write_package

        if register is not None:
            register = exact(check_name(register, "model"))
        name = exact(check_path(name))
        with _scratch() as folder:
            package = write_package(
                model,
                example=columns_of_example(model, example),
                folder=folder,
                now_us=self._clock.now_us(),
                run=self._run,
            )
            digest = self.keep(folder, name)
        version = None
        if register is not None and digest not in self._lost:
            # Not replayed: what was written was asked just now, by `write_package`.
            item = ModelRegistered(model=register, package_digest=digest, link=name)
            version = self._ask(lambda door: register_model(door, self._run, item), item)
        return KeptModel(name, package.digest, digest, version)

    def _add_file(self, path: Path, name: str | None) -> DatasetVersion | None:
        """Make a file a version of a dataset, which the run read; None when that is to come."""
        kept_as = TABLE_FORMATS.get(path.suffix.lower())
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        if kept_as is None:
            raise Invalid(
                f"{path} has no format that is known",
                why=f"its suffix is {path.suffix or 'missing'}; known: {', '.join(TABLE_FORMATS)}",
            )
        name = exact(check_name(name or path.stem, "dataset"))
        return self._add(self.put(path), name, kept_as=kept_as, source=path.name)

    def _add_table(self, table: Table, name: str) -> DatasetVersion | None:
        """Make a table a version of a dataset, which the run read; None when that is to come."""
        from millwright.data.frames import arrow_bytes

        data = arrow_bytes(frame_of(table).lazy())
        digest = self._put_written(
            _bytes_writer(data), name, lambda file: self.put(file, name=name)
        )
        if digest is None:
            return None
        return self._add(digest, name, kept_as="arrow", source="data frame")

    def _add(
        self, digest: Digest, name: str, *, kept_as: str, source: str
    ) -> DatasetVersion | None:
        if digest in self._lost:
            return None
        item = DatasetAdded(name=name, digest=digest, format=kept_as, source=source)
        return self._ask(lambda door: add_dataset(door, self._run, item), item)

    def _put_written(
        self, write: Callable[[Path], object], name: str, put: Callable[[Path], Digest]
    ) -> Digest | None:
        """Put what is written to a file; None, and told, where there is no room for one."""
        try:
            with _scratch() as folder:
                file = folder / "file"
                write(file)
                return put(file)
        except OSError as error:
            self._sender.lose(name, error)
            return None

    def _link(self, name: str, digest: Digest) -> None:
        link = RunLink(way="output", name=name, what="artifact", id=digest, digest=digest)
        self._tell(Linked(links=[link]))

    def _tell(self, item: Item) -> None:
        def tell(door: Door) -> bool:
            deliver_item(door, self._run, item, folder=self._sender.folder)
            return True

        self._ask(tell, item)

    def _ask(self, action: Callable[[Door], T], item: Item) -> T | None:
        """Do it now, or have `item` say it later; None when it is to come."""
        done = self._try(action)
        if done is None:
            self._sender.submit(item)
        return done

    def _try(self, action: Callable[[Door], T]) -> T | None:
        if self._sender.away:
            return None
        try:
            with self._sender.calls:
                return action(self._sender.door())
        except _WAITS as error:
            if isinstance(error, Unsupported):
                raise
            self._sender.set_away(error)
            return None
        except (Conflict, NotFound):
            if self._takes_logs():
                raise
            # Somebody closed or deleted the run: what comes later is refused, and told at the end.
            return None

    def _takes_logs(self) -> bool:
        try:
            found = self._sender.door().runs.show(ref=self._run)
        except MillwrightError:
            return False
        return found.status == "running" and found.deleted_us is None


def _plain(value: object) -> object:
    """Return scalars and arrays of NumPy and its like as numbers and lists."""
    to_list = getattr(value, "tolist", None)
    if not callable(to_list):
        raise NotImplementedError(f"a {type(value).__name__} is no plain data")
    return to_list()


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or Path(text).suffix in TABLE_FORMATS


def _bytes_writer(data: bytes) -> Callable[[Path], object]:
    """Return what writes these bytes to a file."""
    return lambda file: file.write_bytes(data)


@contextmanager
def _scratch() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mill-run-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
