"""Protocol Buffers on the wire, read and written without generated code.

A message is a row of fields, each a number and a value; what a number means stands in the
format's public schema, and the modules that know a format name the numbers they need. Nothing
read here is trusted: a field that runs over the end of its message raises Corrupt, and no
length makes us reserve memory.

Source: the encoding chapter of the Protocol Buffers documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from millwright.core.errors import Corrupt

Field: TypeAlias = "tuple[int, int | bytes]"
"""A field's number and its value: an int for a varint, else the bytes that hold it."""

MAX_VARINT_BYTES = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_U64 = (1 << 64) - 1
_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint that begins at `at`, and where the next byte stands; raises Corrupt."""
    value = shift = 0
    for place in range(at, min(at + MAX_VARINT_BYTES, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, place + 1
        shift += 7
    raise Corrupt(f"a number at byte {at} of a message does not end")


def read_fields(data: bytes) -> Iterator[Field]:
    """Iterate over the fields of a message in the order they stand; raises Corrupt."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = read_varint(data, at)
        elif kind == _FIXED64:
            size = 8
        elif kind == _FIXED32:
            size = 4
        else:
            raise Corrupt(f"a message holds a field of the unknown kind {kind} at byte {at}")
        if size > end - at:
            raise Corrupt(f"a field at byte {at} has {size} bytes, and {end - at} are left")
        yield key >> 3, data[at : at + size]
        at += size


class Message:
    """The fields of one message by number; the last of several counts where one is meant."""

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        fields: dict[int, list[int | bytes]] = {}
        for number, value in read_fields(data):
            fields.setdefault(number, []).append(value)
        self._fields = fields

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def numbers(self) -> list[int]:
        """Return the numbers of the fields that stand in the message."""
        return list(self._fields)

    def unsigned(self, number: int) -> int:
        """Return an unsigned integer, a boolean or an enumeration; 0 where there is none."""
        value = self._last(number)
        return value if isinstance(value, int) else 0

    def signed(self, number: int) -> int:
        """Return an int32 or int64; 0 where there is none."""
        return _signed(self.unsigned(number))

    def double(self, number: int) -> float:
        """Return a double; 0 where there is none."""
        value = self._last(number)
        return _DOUBLE.unpack(value)[0] if isinstance(value, bytes) and len(value) == 8 else 0.0

    def float32(self, number: int) -> float:
        """Return a float; 0 where there is none."""
        value = self._last(number)
        return _FLOAT.unpack(value)[0] if isinstance(value, bytes) and len(value) == 4 else 0.0

    def raw(self, number: int) -> bytes:
        """Return bytes; none where there is no such field."""
        value = self._last(number)
        return value if isinstance(value, bytes) else b""

    def text(self, number: int) -> str:
        """Return text; what is not UTF-8 in it is replaced."""
        return self.raw(number).decode("utf-8", "replace")

    def message(self, number: int) -> Message:
        """Return a message that stands in this one; an empty one where there is none."""
        return Message(self.raw(number))

    def raws(self, number: int) -> list[bytes]:
        """Return the bytes of every such field."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def texts(self, number: int) -> list[str]:
        """Return the text of every such field."""
        return [value.decode("utf-8", "replace") for value in self.raws(number)]

    def messages(self, number: int) -> list[Message]:
        """Return every such message."""
        return [Message(value) for value in self.raws(number)]

    def doubles(self, number: int) -> list[float]:
        """Return a row of doubles, packed or not."""
        return _unpacked("d", 8, self.raws(number))

    def floats(self, number: int) -> list[float]:
        """Return a row of floats, packed or not."""
        return _unpacked("f", 4, self.raws(number))

    def integers(self, number: int) -> list[int]:
        """Return a row of signed integers, packed or not."""
        found: list[int] = []
        for value in self._fields.get(number, ()):
            if isinstance(value, int):
                found.append(_signed(value))
                continue
            at = 0
            while at < len(value):
                one, at = read_varint(value, at)
                found.append(_signed(one))
        return found

    def _last(self, number: int) -> int | bytes | None:
        values = self._fields.get(number)
        return values[-1] if values else None


def varint(value: int) -> bytes:
    r"""Return an integer, signed as int64 or not, as a varint.

    >>> varint(300)
    b'\xac\x02'
    """
    value &= _U64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_integer(number: int, value: int) -> bytes:
    """Return a field that holds an integer, a boolean or an enumeration."""
    return varint(number << 3 | _VARINT) + varint(value)


def put_double(number: int, value: float) -> bytes:
    """Return a field that holds a double."""
    return varint(number << 3 | _FIXED64) + _DOUBLE.pack(value)


def put_float(number: int, value: float) -> bytes:
    """Return a field that holds a float; what is too large for one becomes infinite."""
    try:
        packed = _FLOAT.pack(value)
    except OverflowError:
        packed = _FLOAT.pack(float("inf") if value > 0 else float("-inf"))
    return varint(number << 3 | _FIXED32) + packed


def put_bytes(number: int, value: bytes | str) -> bytes:
    """Return a field that holds bytes, text or a message."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _unpacked(kind: str, size_bytes: int, parts: list[bytes]) -> list[float]:
    data = b"".join(parts)
    count, rest = divmod(len(data), size_bytes)
    if rest:
        raise Corrupt(f"a row of numbers has {len(data)} bytes, no multiple of {size_bytes}")
    return list(struct.unpack(f"<{count}{kind}", data))
