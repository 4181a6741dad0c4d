from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Corrupt
from millwright.tracking.sources.tensors import Tensor, read_tensor
from millwright.tracking.sources.wire import (
    Message,
    put_bytes,
    put_double,
    put_float,
    put_integer,
)


def shaped(kind: int, *shape: int) -> bytes:
    dims = b"".join(put_bytes(2, put_integer(1, size)) for size in shape)
    return put_integer(1, kind) + put_bytes(2, dims)


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        (shaped(1) + put_float(5, 0.5), [0.5]),
        (shaped(2, 2) + put_double(6, 1.0) + put_double(6, 2.0), [1.0, 2.0]),
        (shaped(2, 3) + put_double(6, 1.0) + put_double(6, 2.0), [1.0, 2.0, 2.0]),
        (shaped(3, 2) + put_integer(7, 5) + put_integer(7, -5), [5, -5]),
        (shaped(9) + put_integer(10, -(2**40)), [-(2**40)]),
        (shaped(10, 2) + put_integer(11, 1) + put_integer(11, 0), [1, 0]),
        (shaped(19) + put_integer(13, 0x3800), [0.5]),
        (shaped(14) + put_integer(13, 0x3F00), [0.5]),
        (shaped(14, 1) + put_bytes(4, struct.pack("<H", 0x3F00)), [0.5]),
        (shaped(1, 2) + put_bytes(4, struct.pack("<2f", 1, 2)), [1.0, 2.0]),
        (shaped(19, 2) + put_bytes(4, struct.pack("<2e", 1, 2)), [1.0, 2.0]),
        (shaped(4, 2) + put_bytes(4, b"\x01\xff"), [1, 255]),
    ],
)
def test_numbers_are_read_in_each_of_their_forms(data: bytes, numbers: list[float]) -> None:
    assert read_tensor(Message(data)).numbers == numbers


def test_texts_are_read() -> None:
    data = shaped(7, 2) + put_bytes(8, "a") + put_bytes(8, "b")
    assert read_tensor(Message(data)) == Tensor((2,), [], [b"a", b"b"])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (shaped(1, -1), r"a tensor has the shape \[-1\]"),
        (shaped(1, 2**31, 2**31), "a tensor has 4611686018427387904 values"),
        (shaped(7, 2) + put_bytes(8, "a"), r"a tensor of the shape \[2\] has 1 texts"),
        (shaped(20), "a tensor has the type 20"),
        (shaped(1), r"a tensor of the shape \[\] has 0 values"),
        (shaped(1, 3) + put_bytes(4, b"1234"), "a tensor of 3 values has 4 bytes"),
        (shaped(1) + put_float(5, 1) + put_float(5, 2), "has 2 values"),
    ],
)
def test_what_is_no_tensor_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(Corrupt, match=what):
        read_tensor(Message(data))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_tensor(Message(data))
    except Corrupt:
        return
