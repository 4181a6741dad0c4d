from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.tracking.sources.crc32c import crc32c, masked


def bit_by_bit(data: bytes) -> int:
    """Return the checksum as its definition says it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        # RFC 3720, B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_known_checksums(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@given(st.binary(max_size=300))
def test_short_data_is_summed_as_defined(data: bytes) -> None:
    assert crc32c(data) == bit_by_bit(data)


@settings(max_examples=5)
@given(st.integers((1 << 14) - 2, (1 << 14) + 3000), st.integers(0, 255))
def test_long_data_is_summed_in_lanes_to_the_same(size: int, fill: int) -> None:
    data = bytes((fill * at * at + at // 7) & 0xFF for at in range(size))
    assert crc32c(data) == bit_by_bit(data)


def test_a_masked_checksum_is_that_of_the_first_record_of_every_event_file() -> None:
    # The length field of TensorFlow's own version event, 24 bytes, and its checksum.
    assert masked((24).to_bytes(8, "little")) == 0x224B7FA3
