"""CRC-32C, the checksum of event files, in Python where nothing compiled computes it for us.

Short data goes byte by byte through a table. Long data is cut into as many lanes as make one
lane short, all lanes go through the table at once, and their checksums are joined: a checksum
is linear, so that what a lane adds is its own checksum moved over the bytes that follow it.

Source: Castagnoli, Bräuer, Herrmann, IEEE Trans. Communications 41(6), 1993; RFC 3720 B.4.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_U32 = 0xFFFFFFFF
_LONG_BYTES = 1 << 14
_LANE_BYTES = 1 << 10


def _make_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _make_table()


def crc32c(data: bytes) -> int:
    """Return the checksum of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    head = len(data) % _LANE_BYTES if len(data) >= _LONG_BYTES else len(data)
    crc = _U32
    table = _TABLE
    for byte in data[:head]:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    if head != len(data):
        crc = _in_lanes(crc, memoryview(data)[head:])
    return crc ^ _U32


def masked(data: bytes) -> int:
    """Return the checksum as event files hold it: turned and moved.

    A checksum over data that holds checksums would otherwise be a weak one.
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _U32


def _in_lanes(crc: int, data: memoryview) -> int:
    # Scalars, which are most of what is read, need no NumPy; importing it takes 0.1 s.
    import numpy as np

    table = np.array(_TABLE, dtype=np.uint32)
    lanes = np.frombuffer(data, dtype=np.uint8).reshape(-1, _LANE_BYTES)
    crcs = np.zeros(len(lanes), dtype=np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        crcs = table[(crcs ^ column) & 0xFF] ^ crcs >> np.uint32(8)
    move = _mover(_LANE_BYTES)
    for lane in crcs.tolist():
        moved = 0
        for at in range(4):
            moved ^= move[at][crc >> 8 * at & 0xFF]
        crc = moved ^ lane
    return crc


def _mover(zeros: int) -> list[list[int]]:
    """Return tables that move a checksum over so many zero bytes, a table for each byte of it."""
    bits: list[int] = []
    for bit in range(32):
        crc = 1 << bit
        for _ in range(zeros):
            crc = _TABLE[crc & 0xFF] ^ crc >> 8
        bits.append(crc)
    tables: list[list[int]] = []
    for at in range(4):
        row = [0] * 256
        for byte in range(256):
            for bit in range(8):
                if byte >> bit & 1:
                    row[byte] ^= bits[8 * at + bit]
        tables.append(row)
    return tables
