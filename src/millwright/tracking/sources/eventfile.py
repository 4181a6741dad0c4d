"""The frame of TensorBoard's event files: records one behind the other, each checked.

A record is its length, a checksum of the length, the bytes, and a checksum of the bytes. A file
may still be written to: a record that is not whole yet ends the reading without a complaint,
and reading goes on from its offset another time.

Source: `tensorflow/core/lib/io/record_writer.h`, the comment on the format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from millwright.tracking.sources.crc32c import masked

MAX_RECORD_BYTES = 1 << 30
_HEAD = struct.Struct("<QI")
_SUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Framed:
    """One whole record."""

    data: bytes
    end: int
    """Where the next record begins in the file."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A place where the file is not what was written."""

    offset: int
    why: str
    end: int | None
    """Where the next record begins; None when nothing behind it can be read."""


Frame: TypeAlias = Framed | Broken


def read_frames(stream: BinaryIO, offset: int = 0) -> Iterator[Frame]:
    """Iterate over the records from `offset` on, up to the last that is whole.

    A record whose bytes do not fit their checksum is named and passed over. A length that does
    not fit its own ends the reading, for nobody knows then where the next record begins.
    """
    # What is written behind this place meanwhile is for another time; and a length that leads
    # over it reserves no memory.
    whole = stream.seek(0, os.SEEK_END)
    stream.seek(offset)
    while True:
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        size, size_sum = _HEAD.unpack(head)
        if masked(head[:8]) != size_sum:
            yield Broken(offset, "the length of a record does not fit its checksum", None)
            return
        if size > MAX_RECORD_BYTES:
            yield Broken(
                offset,
                f"a record of {size} bytes, where {MAX_RECORD_BYTES} are the most",
                None,
            )
            return
        end = offset + _HEAD.size + size + _SUM.size
        if end > whole:
            return
        data = stream.read(size)
        if masked(data) != _SUM.unpack(stream.read(_SUM.size))[0]:
            yield Broken(offset, "a record does not fit its checksum", end)
        else:
            yield Framed(data, end)
        offset = end


def frame(data: bytes) -> bytes:
    """Return a record as it stands in a file."""
    size = struct.pack("<Q", len(data))
    return size + _SUM.pack(masked(size)) + data + _SUM.pack(masked(data))
