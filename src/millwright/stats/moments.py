"""Count, missing, range, mean and spread of a column of numbers, in a form that merges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millwright.stats.arrays import Floats, Ints, as_floats
from millwright.stats.coding import Reader, Writer

_HEADER = "mom1"


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of a column after one pass.

    Merging is commutative to the bit; it is associative up to rounding.

    Source: Welford 1962; Chan, Golub, LeVeque, The American Statistician 1983 (merge).
    """

    count: int = 0
    """Finite values; mean, m2, low and high are over these."""
    missing: int = 0
    """NaN."""
    infinite: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    m2: float = 0.0
    """Sum of squared distances from the mean."""

    @property
    def variance(self) -> float:
        """The unbiased variance; NaN with fewer than two values."""
        return self.m2 / (self.count - 1) if self.count > 1 else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation; NaN with fewer than two values."""
        return math.sqrt(self.variance)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both columns put together."""
        count = self.count + other.count
        if count == 0:
            mean = m2 = 0.0
        else:
            delta = other.mean - self.mean
            mean = self.mean * (self.count / count) + other.mean * (other.count / count)
            m2 = self.m2 + other.m2 + delta * delta * (self.count * other.count / count)
        return Moments(
            count=count,
            missing=self.missing + other.missing,
            infinite=self.infinite + other.infinite,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            mean=mean,
            m2=m2,
        )

    def to_bytes(self) -> bytes:
        """Return 60 bytes that `from_bytes` reads."""
        writer = Writer(_HEADER)
        for whole in (self.count, self.missing, self.infinite):
            writer.integer(whole)
        for number in (self.low, self.high, self.mean, self.m2):
            writer.number(number)
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> Moments:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _HEADER)
        moments = Moments(
            count=reader.count(),
            missing=reader.count(),
            infinite=reader.count(),
            low=reader.number(),
            high=reader.number(),
            mean=reader.number(),
            m2=reader.number(),
        )
        reader.end()
        return moments


def measure(values: npt.ArrayLike) -> Moments:
    """Return the moments of `values` (n,); NaN is missing, an infinity is only counted."""
    array = as_floats(values)
    finite = array[np.isfinite(array)]
    missing = int(np.count_nonzero(np.isnan(array)))
    return _of_finite(finite, missing=missing, infinite=len(array) - len(finite) - missing)


def measure_counted(values: Floats, counts: Ints) -> Moments:
    """Return the moments of finite `values` (n,), each seen `counts` (n,) times."""
    total = int(counts.sum())
    if total == 0:
        return Moments()
    seen = values[counts > 0]
    mean = float(np.dot(values, counts) / total)
    m2 = float(np.dot(np.square(values - mean), counts))
    return Moments(count=total, low=float(seen.min()), high=float(seen.max()), mean=mean, m2=m2)


def _of_finite(finite: Floats, *, missing: int, infinite: int) -> Moments:
    if len(finite) == 0:
        return Moments(missing=missing, infinite=infinite)
    # Values near the largest float overflow to infinity, which is then the honest answer.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(finite.mean())
        centred = finite - mean
        m2 = float(np.dot(centred, centred))
    return Moments(
        count=len(finite),
        missing=missing,
        infinite=infinite,
        low=float(finite.min()),
        high=float(finite.max()),
        mean=mean,
        m2=m2,
    )
