"""The frame of W&B's transaction log: records cut into chunks that never cross a block.

The layout is LevelDB's log, in blocks of 32 KiB, behind a head of seven bytes of W&B's own, and
with plain CRC-32. A chunk that does not fit its checksum costs the rest of its block: reading
goes on at the next one, as LevelDB's own reader does.

Source: `doc/log_format.md` of LevelDB; the head by looking at files.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from millwright.core.errors import Invalid

BLOCK_BYTES = 1 << 15
MAX_RECORD_BYTES = 1 << 30
_MAGIC = b":W&B"
_HEAD = struct.Struct("<4sHB")
_HEAD_MAGIC, _HEAD_VERSION = 0xBEE1, 0
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CUT_OFF = "the last record is cut off"


@dataclass(frozen=True, slots=True)
class Logged:
    """One whole record and where it begins in the file."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where the file is not what was written, and what is wrong there."""

    offset: int
    why: str


Entry: TypeAlias = Logged | Gap


def read_log(stream: BinaryIO) -> Iterator[Entry]:
    """Iterate over the records of a log, up to the last that is whole; one cut off is a gap.

    Raises Invalid when the file does not begin as such a log does.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(_MAGIC):
        raise Invalid("the file is no W&B log", why="it does not begin with ':W&B'")
    _, magic, version = _HEAD.unpack(head)
    if (magic, version) != (_HEAD_MAGIC, _HEAD_VERSION):
        raise Invalid(
            f"the W&B log has the format {magic:#06x} version {version}",
            why=f"what can be read is {_HEAD_MAGIC:#06x} version {_HEAD_VERSION}",
        )
    yield from _records(_chunks(stream))


def _chunks(stream: BinaryIO) -> Iterator[tuple[int, int, bytes] | Gap]:
    """Iterate over (offset, kind, bytes) of each chunk."""
    offset = _HEAD.size
    whole = stream.seek(0, os.SEEK_END)
    while offset < whole:
        left = BLOCK_BYTES - offset % BLOCK_BYTES
        if left < _CHUNK.size:
            offset += left
            continue
        stream.seek(offset)
        head = stream.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            yield Gap(offset, _CUT_OFF)
            return
        checksum, size, kind = _CHUNK.unpack(head)
        if size > left - _CHUNK.size:
            yield Gap(offset, f"a chunk of {size} bytes would cross its block")
        else:
            data = stream.read(size)
            if len(data) < size:
                yield Gap(offset, _CUT_OFF)
                return
            if not size and not kind and not checksum:
                # Room that was set aside and not written to.
                offset += left
                continue
            if kind in {_FULL, _FIRST, _MIDDLE, _LAST} and _sum(kind, data) == checksum:
                yield offset, kind, data
                offset += _CHUNK.size + size
                continue
            yield Gap(offset, "a chunk does not fit its checksum")
        offset += left


def _records(chunks: Iterable[tuple[int, int, bytes] | Gap]) -> Iterator[Entry]:
    parts: list[bytes] = []
    begun = size = 0
    for chunk in chunks:
        if isinstance(chunk, Gap):
            parts.clear()
            yield chunk
            continue
        offset, kind, data = chunk
        if kind in {_FULL, _FIRST}:
            if parts:
                yield Gap(begun, "a record has no end")
            parts, begun, size = [data], offset, len(data)
        elif not parts:
            # The beginning was in a chunk that was named already.
            continue
        else:
            parts.append(data)
            size += len(data)
        if size > MAX_RECORD_BYTES:
            parts.clear()
            yield Gap(begun, f"a record has more than {MAX_RECORD_BYTES} bytes")
        elif kind in {_FULL, _LAST}:
            yield Logged(begun, b"".join(parts))
            parts = []
    if parts:
        yield Gap(begun, _CUT_OFF)


def _sum(kind: int, data: bytes | memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(bytes([kind])))
