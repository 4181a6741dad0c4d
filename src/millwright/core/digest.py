"""Content addresses: BLAKE3 for stored things, SHA-256 for the journal's tree.

A digest is text, `b3:` and 64 hexadecimal digits, so that it can stand in a file, a URL or a
journal leaf as it is; the prefix leaves room for another function one day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NewType

from blake3 import blake3

from millwright.core.errors import Invalid

Digest = NewType("Digest", str)

PREFIX = "b3:"
_SHAPE = re.compile(r"b3:[0-9a-f]{64}")
_READ_BYTES = 1 << 20


class Hasher:
    """Takes bytes piece by piece and gives their digest."""

    def __init__(self) -> None:
        self._state = blake3()
        self.size_bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._state.update(data)
        self.size_bytes += len(data)

    def digest(self) -> Digest:
        """Return the digest of all bytes taken so far."""
        return Digest(PREFIX + self._state.hexdigest())


def digest_bytes(data: bytes | bytearray | memoryview) -> Digest:
    """Return the digest of `data`."""
    return Digest(PREFIX + blake3(data).hexdigest())


def digest_pieces(pieces: Iterable[bytes]) -> Digest:
    """Return the digest of the pieces put one behind the other."""
    hasher = Hasher()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def digest_stream(stream: BinaryIO) -> Digest:
    """Return the digest of what is left in `stream`, read in pieces of 1 MiB."""
    return digest_pieces(iter(lambda: stream.read(_READ_BYTES), b""))


def digest_file(path: Path) -> Digest:
    """Return the digest of a file's bytes; raises OSError as the file system does."""
    with path.open("rb") as stream:
        return digest_stream(stream)


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest; raises Invalid when it is not `b3:` and 64 hex digits."""
    if not _SHAPE.fullmatch(text):
        raise Invalid(
            f"{text[:80]!r} is not a digest",
            why="a digest is 'b3:' and 64 lower-case hexadecimal digits",
        )
    return Digest(text)
