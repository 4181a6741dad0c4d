"""Artifacts in a folder of this machine: `objects/ab/cdef...`, written aside in `tmp/`.

An object is linked into `objects/` when its bytes are durable, so a writer killed at any moment
leaves either nothing or all, and at most one file in `tmp/` for `sweep` to remove. The folder
itself is never made here: an artifact folder that has gone is a disk that is not mounted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from millwright.artifacts.backend import Key
from millwright.artifacts.files import Aside, explain, sync_folder
from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Failed, MillwrightError, NotFound

OBJECT_MODE = 0o444


class LocalBackend:
    """Keeps objects in the existing folder `location`; needs a file system with hard links."""

    def __init__(self, location: str | Path) -> None:
        self._root = Path(location).absolute()
        self._objects = self._root / "objects"
        self._tmp = self._root / "tmp"
        # Folders whose own name this process has seen made durable.
        self._durable: set[Path] = set()

    def put(self, key: Key, pieces: Iterable[bytes]) -> None:
        """Store the pieces under `key`, all or nothing; a key that is there stays as it is."""
        if self.has(key):
            self._confirm(key)
        else:
            self.put_stream(pieces, lambda: key)

    def put_stream(self, pieces: Iterable[bytes], key_when_done: Callable[[], Key]) -> Key:
        """Store the pieces under the key that is asked for once the last of them is taken."""
        self._make_folder(self._tmp)
        with Aside(self._tmp, mode=OBJECT_MODE, what=f"cannot store in {self._root}") as aside:
            for piece in pieces:
                aside.write(piece)
            key = key_when_done()
            if self.has(key):
                self._confirm(key)
            else:
                path = self._path(key)
                self._make_folder(path.parent)
                aside.link_to(path)
        return key

    def open(self, key: Key) -> BinaryIO:
        """Return the object's file, at its first byte; raises NotFound."""
        try:
            return self._path(key).open("rb")
        except OSError as error:
            raise self._read_error(error, key) from error

    def has(self, key: Key) -> bool:
        """Return whether `key` is stored; raises Failed when the whole folder is gone."""
        try:
            self._path(key).stat()
        except FileNotFoundError as error:
            if not self._root.is_dir():
                raise self._gone() from error
            return False
        except OSError as error:
            raise self._read_error(error, key) from error
        return True

    def size(self, key: Key) -> int:
        """Return the length of the object's file in bytes; raises NotFound."""
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            raise self._read_error(error, key) from error

    def delete(self, key: Key) -> None:
        """Remove the object's file; that it is not there is no error."""
        path = self._path(key)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError as error:
            if not self._root.is_dir():
                raise self._gone() from error
        except OSError as error:
            raise explain(error, f"cannot remove {path}") from error

    def list_keys(self, prefix: str = "") -> Iterator[Key]:
        """Iterate over the keys that begin with `prefix`, in order of their characters."""
        if not self._root.is_dir():
            raise self._gone()
        return self._walk(self._objects, "", prefix)

    def place(self, key: Key) -> str:
        """Return the path of the object's file."""
        return str(self._path(key))

    def sweep(self, *, older_than_s: float, clock: Clock) -> int:
        """Remove the files in `tmp/` that were last written more than `older_than_s` ago."""
        before_s = clock.now_us() / US_PER_S - older_than_s
        removed = 0
        try:
            leftovers = list(self._tmp.iterdir()) if self._tmp.is_dir() else []
            for path in leftovers:
                try:
                    if path.stat().st_mtime < before_s:
                        path.unlink()
                        removed += 1
                except FileNotFoundError:
                    # Its writer ended, or another sweep was quicker.
                    continue
        except OSError as error:
            raise explain(error, f"cannot sweep {self._tmp}") from error
        return removed

    def _path(self, key: Key) -> Path:
        return self._objects / key

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` below the root, and its name durable, with all between them."""
        if folder in self._durable or folder == self._root:
            return
        self._make_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=True)
            # Also where another process made it: that one may not have come to this yet.
            sync_folder(folder.parent)
        except OSError as error:
            if not self._root.is_dir():
                raise self._gone() from error
            raise explain(error, f"cannot store in {self._root}") from error
        self._durable.add(folder)

    def _confirm(self, key: Key) -> None:
        """Make durable the name of an object that another writer may only just have linked."""
        folder = self._path(key).parent
        self._make_folder(folder)
        try:
            sync_folder(folder)
        except OSError as error:
            raise explain(error, f"cannot store in {self._root}") from error

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[Key]:
        try:
            with os.scandir(folder) as found:
                # "a-b" stands before "a/b", and "a0" behind: a folder sorts with its slash.
                entries = sorted((e.name + "/" if e.is_dir() else e.name) for e in found)
        except FileNotFoundError:
            # Nothing was ever stored, or the folder was removed while we walked.
            return
        except OSError as error:
            raise explain(error, f"cannot list {folder}") from error
        for name in entries:
            path = above + name
            if name.endswith("/"):
                if path.startswith(prefix) or prefix.startswith(path):
                    yield from self._walk(folder / name, path, prefix)
            elif path.startswith(prefix):
                yield Key(path)

    def _read_error(self, error: OSError, key: Key) -> MillwrightError:
        if not isinstance(error, FileNotFoundError):
            return explain(error, f"cannot read {self._path(key)}")
        if not self._root.is_dir():
            return self._gone()
        return NotFound(f"nothing is stored under {key}", why=f"{self._path(key)} is not there")

    def _gone(self) -> Failed:
        return Failed(
            f"the artifact folder {self._root} is not there",
            why="it was moved, never made, or its disk is not mounted",
            fix="bring it back, or make it if nothing was stored yet",
        )
