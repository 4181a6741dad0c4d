"""Universal Binary JSON, as XGBoost writes its models: read with every length held in check.

XGBoost's own reader trusts what a file says of its lengths, and takes the whole process down
with it when a file was cut short. So a file is read here first. Typed arrays come as numpy
arrays, everything else as JSON's own values.

Source: UBJSON draft 12, with XGBoost's float32 (`d`) and its lengths of 64 bits.
"""

from __future__ import annotations

import struct
from typing import TypeAlias, cast

import numpy as np

from millwright.core.errors import Corrupt
from millwright.registry.signature import Array

Ubj: TypeAlias = "str | int | float | bool | None | Array | list[Ubj] | dict[str, Ubj]"

MAX_DEPTH = 64

_NUMBERS = {
    b"i": struct.Struct(">b"),
    b"U": struct.Struct(">B"),
    b"I": struct.Struct(">h"),
    b"l": struct.Struct(">i"),
    b"L": struct.Struct(">q"),
    b"d": struct.Struct(">f"),
    b"D": struct.Struct(">d"),
}
_ARRAYS = {
    b"i": np.dtype("i1"),
    b"U": np.dtype("u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_WORDS = {b"Z": None, b"T": True, b"F": False}


def decode_ubjson(data: bytes) -> Ubj:
    """Return what `data` says; raises Corrupt when it is cut short, or no UBJSON at all."""
    reader = _Reader(data)
    try:
        value = reader.value(reader.mark(), 0)
    except UnicodeDecodeError as error:
        raise reader.broken("it holds text that is not UTF-8") from error
    if reader.place != len(data):
        raise reader.broken(f"{len(data) - reader.place} bytes stand behind its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.place = 0
        self._data = data

    def broken(self, why: str) -> Corrupt:
        return Corrupt("this is not a whole UBJSON file", why=f"at byte {self.place}: {why}")

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._data) - self.place:
            raise self.broken(f"{count} bytes are due, and {len(self._data) - self.place} left")
        self.place += count
        return self._data[self.place - count : self.place]

    def mark(self) -> bytes:
        mark = self.take(1)
        while mark == b"N":
            mark = self.take(1)
        return mark

    def count(self) -> int:
        found = self.value(self.mark(), MAX_DEPTH)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise self.broken("a length is due")
        return found

    def value(self, mark: bytes, depth: int) -> Ubj:
        if mark in _NUMBERS:
            shape = _NUMBERS[mark]
            return cast("int | float", shape.unpack(self.take(shape.size))[0])
        if mark in _WORDS:
            return _WORDS[mark]
        if mark == b"S":
            return self.take(self.count()).decode()
        if mark == b"C":
            return self.take(1).decode("ascii")
        if depth >= MAX_DEPTH:
            raise self.broken(f"it is nested deeper than {MAX_DEPTH}")
        if mark == b"[":
            return self._array(depth + 1)
        if mark == b"{":
            return self._object(depth + 1)
        raise self.broken(f"{mark!r} begins no value")

    def _array(self, depth: int) -> Ubj:
        mark = self.mark()
        if mark == b"$":
            kind, hash_sign = self.take(1), self.take(1)
            if hash_sign != b"#" or kind not in _ARRAYS:
                raise self.broken(f"an array of {kind!r} is not known")
            dtype = _ARRAYS[kind]
            raw = self.take(self.count() * dtype.itemsize)
            return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
        if mark == b"#":
            count = self.count()
            if count > len(self._data) - self.place:
                raise self.broken(f"{count} values are due in {len(self._data) - self.place} bytes")
            return [self.value(self.mark(), depth) for _ in range(count)]
        out: list[Ubj] = []
        while mark != b"]":
            out.append(self.value(mark, depth))
            mark = self.mark()
        return out

    def _object(self, depth: int) -> Ubj:
        out: dict[str, Ubj] = {}
        mark = self.mark()
        while mark != b"}":
            length = self.value(mark, MAX_DEPTH)
            if not isinstance(length, int) or isinstance(length, bool):
                raise self.broken("the length of a key is due")
            key = self.take(length).decode()
            if key in out:
                raise self.broken(f"the key {key[:40]!r} is given twice")
            out[key] = self.value(self.mark(), depth)
            mark = self.mark()
        return out
