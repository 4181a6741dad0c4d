from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.wandb_logs import write_log
from millwright.core.errors import Invalid
from millwright.tracking.sources.recordlog import (
    BLOCK_BYTES,
    Gap,
    Logged,
    read_log,
)

SIZES = st.one_of(
    st.integers(0, 100),
    st.integers(BLOCK_BYTES - 30, BLOCK_BYTES + 30),
    st.integers(2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 50),
)


def record(size: int, number: int) -> bytes:
    return bytes((number + at) & 0xFF for at in range(size))


def whole(data: bytes) -> list[bytes]:
    return [one.data for one in read_log(io.BytesIO(data)) if isinstance(one, Logged)]


@settings(max_examples=40)
@given(st.lists(SIZES, max_size=5))
def test_records_of_any_size_come_back(sizes: list[int]) -> None:
    records = [record(size, number) for number, size in enumerate(sizes)]
    data = write_log(records)
    found = list(read_log(io.BytesIO(data)))
    assert [one.data for one in found if isinstance(one, Logged)] == records
    assert [one for one in found if isinstance(one, Gap)] == []


@settings(max_examples=40)
@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_a_log_that_was_cut_off_gives_what_is_whole(sizes: list[int], data: st.DataObject) -> None:
    records = [record(size, number) for number, size in enumerate(sizes)]
    written = write_log(records)
    cut = data.draw(st.integers(7, len(written)))
    found = whole(written[:cut])
    assert found == records[: len(found)]
    seam = len(write_log(records[: len(found)]))
    # Where no chunk fits into the rest of a block, that rest is empty and misses nothing.
    begun = seam + (left if (left := BLOCK_BYTES - seam % BLOCK_BYTES) < 7 else 0)
    gaps = [one.why for one in read_log(io.BytesIO(written[:cut])) if isinstance(one, Gap)]
    assert gaps == (["the last record is cut off"] if cut > begun else [])


def test_a_damaged_chunk_costs_the_rest_of_its_block_only() -> None:
    records = [record(1000, number) for number in range(100)]
    written = bytearray(write_log(records))
    written[5000] ^= 1
    found = list(read_log(io.BytesIO(bytes(written))))
    gaps = [one for one in found if isinstance(one, Gap)]
    assert gaps == [Gap(7 + 4 * 1007, "a chunk does not fit its checksum")]
    assert whole(bytes(written)) == records[:4] + records[33:]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_named(data: bytes) -> None:
    for one in read_log(io.BytesIO(write_log([]) + data)):
        assert isinstance(one, Logged | Gap)


def test_a_length_that_leads_over_the_block_is_named() -> None:
    written = bytearray(write_log([b"abc"]) + bytes(100))
    written[11:13] = b"\xff\xff"
    assert list(read_log(io.BytesIO(bytes(written)))) == [
        Gap(7, "a chunk of 65535 bytes would cross its block")
    ]


def test_a_record_without_an_end_is_named_when_another_begins() -> None:
    long = write_log([record(40_000, 0)])
    # The second half of it never came; another record begins in its place.
    written = long[:BLOCK_BYTES] + write_log([b"next"])[7:]
    assert list(read_log(io.BytesIO(written))) == [
        Gap(7, "a record has no end"),
        Logged(BLOCK_BYTES, b"next"),
    ]


@pytest.mark.parametrize("data", [b"", b":W&", b"SQLite format 3\0", b":W&B\xe1\xbe\x01"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="W&B log"):
        list(read_log(io.BytesIO(data)))
