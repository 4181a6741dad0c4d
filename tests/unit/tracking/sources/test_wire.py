from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import put_doubles
from millwright.core.errors import Corrupt
from millwright.tracking.sources.wire import (
    Message,
    put_bytes,
    put_double,
    put_float,
    put_integer,
    read_fields,
    read_varint,
    varint,
)

NUMBERS = st.integers(1, 2**29 - 1)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=4))
def test_a_varint_comes_back(value: int, rest: bytes) -> None:
    data = varint(value)
    assert read_varint(data + rest, 0) == (value, len(data))


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_signed_number_comes_back(value: int) -> None:
    assert Message(put_integer(1, value)).signed(1) == value


@given(
    NUMBERS,
    st.integers(0, 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=300),
    st.text(max_size=50),
)
def test_fields_of_all_kinds_come_back(
    number: int, integer: int, double: float, data: bytes, text: str
) -> None:
    last = number + 4 if number < 2**29 - 5 else 1
    message = Message(
        put_integer(number, integer)
        + put_double(last, double)
        + put_bytes(last - 1 or 9, data)
        + put_bytes(last + 1, text)
    )
    assert message.unsigned(number) == integer
    assert message.double(last) == double
    assert message.raw(last - 1 or 9) == data
    assert message.text(last + 1) == text
    assert number in message
    assert sorted(message.numbers()) == sorted({number, last, last - 1 or 9, last + 1})


@given(st.lists(st.floats(allow_nan=False, width=32)), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_rows_of_numbers_come_back_packed_or_not(floats: list[float], integers: list[int]) -> None:
    packed = put_bytes(1, b"".join(struct.pack("<f", one) for one in floats))
    packed += put_bytes(2, b"".join(map(varint, integers))) + put_doubles(3, floats)
    loose = b"".join(put_float(1, one) for one in floats)
    loose += b"".join(put_integer(2, one) for one in integers)
    loose += b"".join(put_double(3, one) for one in floats)
    for data in (packed, loose):
        message = Message(data)
        assert message.floats(1) == floats
        assert message.integers(2) == integers
        assert message.doubles(3) == floats


def test_what_is_not_there_is_empty() -> None:
    message = Message(b"")
    assert (message.unsigned(1), message.double(2), message.float32(3)) == (0, 0.0, 0.0)
    assert (message.raw(4), message.text(5), message.raws(6), message.texts(7)) == (b"", "", [], [])
    assert message.message(8).numbers() == []
    assert message.messages(9) == []
    # A field of another kind than expected counts as none.
    assert Message(put_bytes(1, b"abc")).unsigned(1) == 0
    assert Message(put_integer(1, 5)).raw(1) == b""


def test_the_last_of_several_counts() -> None:
    message = Message(put_integer(1, 5) + put_integer(1, 6) + put_bytes(2, "a") + put_bytes(2, "b"))
    assert message.unsigned(1) == 6
    assert message.texts(2) == ["a", "b"]


def test_a_float_that_is_too_large_becomes_infinite() -> None:
    assert Message(put_float(1, 1e300)).float32(1) == math.inf
    assert Message(put_float(1, -1e300)).float32(1) == -math.inf


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        fields = list(read_fields(data))
    except Corrupt:
        return
    assert sum(len(value) for _, value in fields if isinstance(value, bytes)) <= len(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x08", "a number at byte 1 of a message does not end"),
        (b"\x08" + b"\xff" * 11, "a number at byte 1 of a message does not end"),
        (b"\x0a\x05abc", "a field at byte 2 has 5 bytes, and 3 are left"),
        (
            b"\x0a" + varint(2**62) + b"abc",
            "a field at byte 10 has 4611686018427387904 bytes, and 3 are left",
        ),
        (b"\x0b", "a message holds a field of the unknown kind 3 at byte 1"),
        (b"\x09abc", "a field at byte 1 has 8 bytes, and 3 are left"),
    ],
)
def test_a_broken_message_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(Corrupt, match="^" + what):
        list(read_fields(data))


def test_a_row_of_numbers_that_ends_in_the_middle_of_one_is_refused() -> None:
    with pytest.raises(Corrupt, match="no multiple of 8"):
        Message(put_bytes(1, b"123")).doubles(1)
