from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.tracking.sources.crc32c import masked
from millwright.tracking.sources.eventfile import (
    MAX_RECORD_BYTES,
    Broken,
    Framed,
    frame,
    read_frames,
)

RECORDS = st.lists(st.binary(max_size=60), max_size=6)


@given(RECORDS)
def test_records_come_back_with_their_places(records: list[bytes]) -> None:
    data = b"".join(map(frame, records))
    found = list(read_frames(io.BytesIO(data)))
    ends = [len(b"".join(map(frame, records[: at + 1]))) for at in range(len(records))]
    assert found == [Framed(record, end) for record, end in zip(records, ends, strict=True)]


@given(RECORDS, st.data())
def test_a_file_that_is_being_written_is_read_in_two_goes(
    records: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(frame, records))
    cut = data.draw(st.integers(0, len(whole)))
    first = list(read_frames(io.BytesIO(whole[:cut])))
    offset = first[-1].end if first else 0
    assert offset is not None
    rest = list(read_frames(io.BytesIO(whole), offset))
    assert [one.data for one in first + rest if isinstance(one, Framed)] == records


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=2, max_size=4), st.data())
def test_a_changed_byte_is_found_and_named(records: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(map(frame, records)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = list(read_frames(io.BytesIO(bytes(whole))))
    broken = [one for one in found if isinstance(one, Broken)]
    assert len(broken) == 1
    assert broken[0].offset <= at
    whole_ones = [one.data for one in found if isinstance(one, Framed)]
    if broken[0].end is not None:
        # Only the one record is lost.
        assert len(whole_ones) == len(records) - 1
    assert all(one in records for one in whole_ones)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_named(data: bytes) -> None:
    for one in read_frames(io.BytesIO(data)):
        assert isinstance(one, Framed | Broken)


def test_a_length_beyond_the_end_reserves_no_memory_and_waits() -> None:
    size = struct.pack("<Q", MAX_RECORD_BYTES - 1)
    data = frame(b"one") + size + struct.pack("<I", masked(size)) + b"rest"
    assert list(read_frames(io.BytesIO(data))) == [Framed(b"one", len(frame(b"one")))]


def test_a_length_that_cannot_be_is_named() -> None:
    size = struct.pack("<Q", 2**62)
    data = size + struct.pack("<I", masked(size)) + bytes(100)
    assert list(read_frames(io.BytesIO(data))) == [
        Broken(0, f"a record of {2**62} bytes, where {MAX_RECORD_BYTES} are the most", None)
    ]


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_torn_tail_is_no_fault(cut: int) -> None:
    data = frame(b"one") + frame(b"two")
    assert list(read_frames(io.BytesIO(data[:-cut]))) == [Framed(b"one", len(frame(b"one")))]
