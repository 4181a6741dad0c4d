"""TensorFlow's tensors as they stand in events: numbers and texts with a shape.

Field numbers are those of `tensorflow/core/framework/tensor.proto`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from millwright.core.errors import Corrupt
from millwright.tracking.sources.wire import Message

MAX_VALUES = 1 << 22

_STRING, _HALF, _BFLOAT16 = 7, 19, 14
# What a type is called by the struct module, and the field its values stand in one by one.
_NUMBERS: dict[int, tuple[str, int]] = {
    1: ("f", 5),
    2: ("d", 6),
    3: ("i", 7),
    4: ("B", 7),
    5: ("h", 7),
    6: ("b", 7),
    9: ("q", 10),
    10: ("?", 11),
    17: ("H", 7),
    _HALF: ("e", 13),
    _BFLOAT16: ("H", 13),
    22: ("I", 16),
    23: ("Q", 17),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's values in row-major order: either numbers or texts."""

    shape: tuple[int, ...]
    numbers: list[float]
    texts: list[bytes]


def read_tensor(message: Message) -> Tensor:
    """Return the tensor that a TensorProto holds; raises Corrupt."""
    kind = message.unsigned(1)
    shape = tuple(dim.signed(1) for dim in message.message(2).messages(2))
    if any(size < 0 for size in shape):
        raise Corrupt(f"a tensor has the shape {list(shape)}")
    count = math.prod(shape)
    if count > MAX_VALUES:
        raise Corrupt(f"a tensor has {count} values, where {MAX_VALUES} are the most")
    if kind == _STRING:
        texts = message.raws(8)
        if len(texts) != count:
            raise Corrupt(f"a tensor of the shape {list(shape)} has {len(texts)} texts")
        return Tensor(shape, [], texts)
    if kind not in _NUMBERS:
        raise Corrupt(f"a tensor has the type {kind}, which nobody knows here")
    numbers = _numbers(message, kind, count)
    if len(numbers) < count and numbers:
        # A row that ends in the same value is written once.
        numbers += [numbers[-1]] * (count - len(numbers))
    if len(numbers) != count:
        raise Corrupt(f"a tensor of the shape {list(shape)} has {len(numbers)} values")
    return Tensor(shape, numbers, [])


def _numbers(message: Message, kind: int, count: int) -> list[float]:
    code, field = _NUMBERS[kind]
    content = message.raw(4)
    if content:
        try:
            found = struct.unpack(f"<{count}{code}", content)
        except struct.error as error:
            raise Corrupt(f"a tensor of {count} values has {len(content)} bytes") from error
        return [_brain(int(value)) for value in found] if kind == _BFLOAT16 else list(found)
    if code == "f":
        return message.floats(field)
    if code == "d":
        return message.doubles(field)
    whole = message.integers(field)
    if kind == _HALF:
        return [_half(value) for value in whole]
    if kind == _BFLOAT16:
        return [_brain(value) for value in whole]
    return [float(value) for value in whole]


def _half(bits: int) -> float:
    return struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0]


def _brain(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", (bits & 0xFFFF) << 16))[0]
