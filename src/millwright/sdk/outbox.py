"""Artifacts on their way to a server: a folder that is sent, object by object, and thrown away."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from millwright.artifacts.backend import Key
from millwright.core.clock import Clock
from millwright.core.errors import NotFound


class Outbox:
    """Fills `artifacts.backend.Backend` in an empty folder of one process.

    Unlike the local backend it makes nothing durable, and so needs nothing of the operating
    system that only some have. Objects are kept in the order in which they were stored: a
    folder's manifest stands behind its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stored: dict[Key, Path] = {}

    def paths(self) -> list[Path]:
        """Return the files of all objects, in the order in which they were stored."""
        return list(self._stored.values())

    def put(self, key: Key, pieces: Iterable[bytes]) -> None:
        """Store the pieces under `key`; a key that is there stays as it is."""
        if key not in self._stored:
            self.put_stream(pieces, lambda: key)

    def put_stream(self, pieces: Iterable[bytes], key_when_done: Callable[[], Key]) -> Key:
        """Store the pieces under the key that is asked for once the last of them is taken."""
        path = self._folder / secrets.token_hex(16)
        try:
            with path.open("wb") as stream:
                stream.writelines(pieces)
            key = key_when_done()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if key in self._stored:
            path.unlink()
        else:
            self._stored[key] = path
        return key

    def open(self, key: Key) -> BinaryIO:
        """Return the object's file at its first byte; raises NotFound."""
        return self._path(key).open("rb")

    def has(self, key: Key) -> bool:
        """Return whether `key` is stored."""
        return key in self._stored

    def size(self, key: Key) -> int:
        """Return the length of the object in bytes; raises NotFound."""
        return self._path(key).stat().st_size

    def delete(self, key: Key) -> None:
        """Remove the object; that it is not there is no error."""
        path = self._stored.pop(key, None)
        if path is not None:
            path.unlink()

    def list_keys(self, prefix: str = "") -> Iterator[Key]:
        """Iterate over the keys that begin with `prefix`, in order of their characters."""
        return iter(sorted(key for key in self._stored if key.startswith(prefix)))

    def place(self, key: Key) -> str:
        """Return the path of the object's file, or the folder's where it is not stored."""
        return str(self._stored.get(key, self._folder))

    def sweep(self, *, older_than_s: float, clock: Clock) -> int:  # noqa: ARG002 (of the port)
        """Remove nothing: no other process writes here, and the folder goes as a whole."""
        return 0

    def _path(self, key: Key) -> Path:
        path = self._stored.get(key)
        if path is None:
            raise NotFound(f"nothing is stored under {key}", why=f"looked in {self._folder}")
        return path
