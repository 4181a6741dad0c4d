"""The port of the artifact store: a place that keeps bytes under a key, once and for all.

A backend knows nothing of digests or trees. It promises that a key is seen only when all of its
bytes are stored durably, and that a stored object never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NewType, Protocol, runtime_checkable

from millwright.core import plugins
from millwright.core.clock import Clock
from millwright.core.errors import Failed, Invalid

Key = NewType("Key", str)
"""A relative key such as `ab/cdef`, made by us and never taken from a request."""

GROUP = "millwright.artifacts.backends"
MAX_KEY_CHARS = 512
_KEY = re.compile(r"[0-9a-z][0-9a-z._-]*(/[0-9a-z][0-9a-z._-]*)*")


def parse_key(text: str) -> Key:
    """Return `text` as a key; raises Invalid unless it is lower-case parts joined by `/`.

    No part begins with a dot, so that no key climbs out of the place it is kept in, and no two
    keys differ by case alone, which some file systems would take for one.
    """
    if len(text) > MAX_KEY_CHARS or not _KEY.fullmatch(text):
        raise Invalid(
            f"{text[:80]!r} is not a storage key",
            why=f"a key has at most {MAX_KEY_CHARS} characters: parts of a-z, 0-9, '.', '_', '-' "
            "that begin with a letter or digit, joined by '/'",
        )
    return Key(text)


@runtime_checkable
class Backend(Protocol):
    """Keeps immutable objects by key; safe for any number of threads and processes.

    No key is a folder of another: who stores `ab` never stores `ab/cd`. Every method raises
    Denied when the place forbids it, and Failed or Unreachable when the place is not there.
    """

    def put(self, key: Key, pieces: Iterable[bytes]) -> None:
        """Store the pieces, one behind the other, under `key`, all or nothing.

        When the key is there already nothing happens, and the pieces may stay unread.
        """
        ...

    def put_stream(self, pieces: Iterable[bytes], key_when_done: Callable[[], Key]) -> Key:
        """Store the pieces under the key that is asked for once the last of them is taken.

        So content that is named by its digest is hashed and stored in one pass. When the key is
        there already, what is stored stays. What `pieces` raises is passed on, and nothing is
        stored. Returns the key.
        """
        ...

    def open(self, key: Key) -> BinaryIO:
        """Return a seekable stream at the object's first byte; raises NotFound."""
        ...

    def has(self, key: Key) -> bool:
        """Return whether `key` is stored."""
        ...

    def size(self, key: Key) -> int:
        """Return how many bytes are stored under `key`; raises NotFound."""
        ...

    def delete(self, key: Key) -> None:
        """Remove the object; that it is not there is no error."""
        ...

    def list_keys(self, prefix: str = "") -> Iterator[Key]:
        """Iterate over the keys that begin with `prefix`, in order of their characters."""
        ...

    def place(self, key: Key) -> str:
        """Return where a person would look for `key`: a path or an address, for messages."""
        ...

    def sweep(self, *, older_than_s: float, clock: Clock) -> int:
        """Remove what killed writers left and nobody has written to for `older_than_s` seconds.

        Stored objects are never touched. Returns how many leftovers were removed. A writer that
        pauses for longer than that loses its work, and is told so when it ends.
        """
        ...


def load_backend(name: str, location: str) -> Backend:
    """Return the backend that installed packages offer as `name`, over `location`.

    The peer is called with `location` alone: a folder for `local`, an address for a remote one.
    Raises NotFound, naming the nearest, when nobody offers that name.
    """
    make = plugins.load(GROUP, name)
    backend = make(location) if callable(make) else make
    if not isinstance(backend, Backend):
        raise Failed(
            f"{GROUP}: {name!r} is not an artifact backend",
            why=f"it gives a {type(backend).__name__} that lacks methods of the port",
            fix="run millwright.testing.artifacts.BackendSuite on it",
        )
    return backend
