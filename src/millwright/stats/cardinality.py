"""How many different values a column has: HyperLogLog over 64-bit hashes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from millwright.stats.arrays import Floats, Hashes
from millwright.stats.coding import Reader, Writer

_HEADER = "hll1"
_P = 12
_REGISTERS = 1 << _P
_REST_BITS = 64 - _P
_SPARSE_BELOW = 1024


def hash_texts(texts: Iterable[str]) -> Hashes:
    """Return a 64-bit hash for each text: BLAKE2b of its UTF-8, alike everywhere and for ever."""
    pieces = [
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in texts
    ]
    return np.frombuffer(b"".join(pieces), dtype="<u8").astype(np.uint64)


def hash_floats(values: Floats) -> Hashes:
    """Return a 64-bit hash for each number; 0.0 and -0.0 are the same number."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class CardinalitySketch:
    """Estimates the number of different hashes; the standard error is 1.6 %.

    4,096 registers. Order and repetition do not matter; merging is exact.

    Source: Flajolet et al., AofA 2007; the estimator without tables of Ertl, arXiv 1702.01284.
    """

    def __init__(self) -> None:
        self._registers: npt.NDArray[np.uint8] = np.zeros(_REGISTERS, dtype=np.uint8)

    def update(self, hashes: Hashes) -> None:
        """Take in `hashes` (n,), made by `hash_texts` or `hash_floats`."""
        index = (hashes >> np.uint64(_REST_BITS)).astype(np.int64)
        rest = hashes & np.uint64((1 << _REST_BITS) - 1)
        # The rest has 52 bits, which a float holds exactly: its exponent is the bit length.
        length = np.frexp(rest.astype(np.float64))[1]
        rank = (_REST_BITS - length + 1).astype(np.uint8)
        np.maximum.at(self._registers, index, rank)

    def merge(self, other: CardinalitySketch) -> CardinalitySketch:
        """Return the sketch of both columns."""
        merged = CardinalitySketch()
        merged._registers = np.maximum(self._registers, other._registers)
        return merged

    def estimate(self) -> float:
        """Return the estimated number of different values; 0.0 when nothing was seen."""
        histogram = np.bincount(self._registers, minlength=_REST_BITS + 2)
        m = float(_REGISTERS)
        z = m * _tau(1.0 - float(histogram[_REST_BITS + 1]) / m)
        for rank in range(_REST_BITS, 0, -1):
            z = 0.5 * (z + float(histogram[rank]))
        z += m * _sigma(float(histogram[0]) / m)
        return m * m / (2.0 * math.log(2.0) * z)

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads: 3 per register in use, at most 3 kB."""
        writer = Writer(_HEADER)
        used = np.flatnonzero(self._registers)
        writer.integer(len(used))
        if len(used) < _SPARSE_BELOW:
            writer.blob(used.astype("<u2").tobytes())
            writer.blob(self._registers[used].tobytes())
        else:
            writer.blob(_pack(self._registers))
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> CardinalitySketch:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _HEADER)
        sketch = CardinalitySketch()
        used = reader.count()
        if used < _SPARSE_BELOW:
            places, ranks = reader.blob(), np.frombuffer(reader.blob(), dtype=np.uint8)
            reader.check(len(places) == 2 * used == 2 * len(ranks), "registers are missing")
            index = np.frombuffer(places, dtype="<u2")
            reader.check(bool(np.all(index < _REGISTERS)), "a register has no place")
            sketch._registers[index] = ranks
        else:
            packed = reader.blob()
            reader.check(len(packed) == _REGISTERS * 6 // 8, "registers are missing")
            sketch._registers = _unpack(packed)
        reader.end()
        highest = int(sketch._registers.max())
        reader.check(highest <= _REST_BITS + 1, "a register is too high")
        reader.check(
            int(np.count_nonzero(sketch._registers)) == used, "the registers do not add up"
        )
        return sketch


def _pack(registers: npt.NDArray[np.uint8]) -> bytes:
    bits = np.unpackbits(registers.reshape(-1, 1), axis=1)[:, 2:]
    return np.packbits(bits.reshape(-1)).tobytes()


def _unpack(packed: bytes) -> npt.NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).reshape(-1, 6)
    padded = np.concatenate((np.zeros((len(bits), 2), dtype=np.uint8), bits), axis=1)
    return np.packbits(padded, axis=1).reshape(-1)


def _sigma(x: float) -> float:
    """Sum of x + x**2 + 2 x**4 + 4 x**8 ..., the share of empty registers (Ertl, section 4.3)."""
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    """Sum over square roots, the share of full registers (Ertl, section 4.3)."""
    if x in {0.0, 1.0}:
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0
