"""The byte form of sketches: little-endian fields in a fixed order, read back with suspicion.

The same state gives the same bytes on every machine, so that a profile can be content-addressed.
No compressor is used: its output differs between library versions.
"""

from __future__ import annotations

import struct

import numpy as np

from millwright.core.errors import Corrupt
from millwright.stats.arrays import Floats, Ints


class Writer:
    """Collects fields; `header` is four ASCII characters that name the kind and its version."""

    def __init__(self, header: str) -> None:
        self._parts = [header.encode("ascii")]

    def integer(self, value: int) -> None:
        """Write a signed integer of 64 bits."""
        self._parts.append(struct.pack("<q", value))

    def number(self, value: float) -> None:
        """Write a float of 64 bits."""
        self._parts.append(struct.pack("<d", value))

    def blob(self, value: bytes) -> None:
        """Write bytes with their length in front."""
        self._parts.append(struct.pack("<I", len(value)) + value)

    def text(self, value: str) -> None:
        """Write text as UTF-8; a lone surrogate is kept as it is."""
        self.blob(value.encode("utf-8", "surrogatepass"))

    def floats(self, values: Floats) -> None:
        """Write an array of floats."""
        self.blob(values.astype("<f8").tobytes())

    def integers(self, values: Ints) -> None:
        """Write an array of integers."""
        self.blob(values.astype("<i8").tobytes())

    def done(self) -> bytes:
        """Return everything written."""
        return b"".join(self._parts)


class Reader:
    """Reads fields back; raises Corrupt when the bytes end early, go on, or are of another kind."""

    def __init__(self, data: bytes, header: str) -> None:
        self._data = data
        self._at = 0
        self._noun = header
        found = self._take(len(header))
        if found != header.encode("ascii"):
            raise Corrupt(
                f"expected stored statistics of the kind {header}, got {found!r}",
                why="the bytes were damaged, or written by another version",
            )

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise Corrupt(f"stored statistics ({self._noun}) end early, at byte {len(self._data)}")
        self._at += size
        return piece

    def integer(self) -> int:
        """Read a signed integer of 64 bits."""
        return int.from_bytes(self._take(8), "little", signed=True)

    def count(self) -> int:
        """Read an integer that cannot be negative."""
        value = self.integer()
        self.check(value >= 0, "a count is negative")
        return value

    def number(self) -> float:
        """Read a float of 64 bits."""
        return float(np.frombuffer(self._take(8), dtype="<f8")[0])

    def blob(self) -> bytes:
        """Read bytes that carry their length."""
        return self._take(int.from_bytes(self._take(4), "little"))

    def text(self) -> str:
        """Read text."""
        try:
            return self.blob().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise Corrupt(
                f"stored statistics ({self._noun}) hold text that is not UTF-8"
            ) from error

    def floats(self) -> Floats:
        """Read an array of floats."""
        return np.frombuffer(self._whole(), dtype="<f8").astype(np.float64)

    def integers(self) -> Ints:
        """Read an array of integers."""
        return np.frombuffer(self._whole(), dtype="<i8").astype(np.int64)

    def counts(self) -> Ints:
        """Read an array of integers, none of them negative."""
        values = self.integers()
        self.check(bool(np.all(values >= 0)), "a count is negative")
        return values

    def _whole(self) -> bytes:
        data = self.blob()
        self.check(len(data) % 8 == 0, "an array does not hold whole numbers of 8 bytes")
        return data

    def check(self, holds: bool, why: str) -> None:
        """Raise Corrupt, saying why, when what was read cannot have been written by us."""
        if not holds:
            raise Corrupt(f"stored statistics ({self._noun}) are damaged", why=why)

    def end(self) -> None:
        """Raise Corrupt when bytes are left."""
        self.check(self._at == len(self._data), "there are bytes left at the end")
