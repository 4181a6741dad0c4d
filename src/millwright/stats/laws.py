"""Probability laws that numpy does not know: the normal, chi-square, binomial and two of counts."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats

_STANDARD = NormalDist()
_STIRLING_FROM = 16
_SMALL = np.array([math.lgamma(n + 1.0) for n in range(_STIRLING_FROM)])
_ENOUGH_TERMS = 10_000


def normal_cdf(z: float) -> float:
    """Return P(Z <= z), with full relative precision in the lower tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """Return the z with P(Z <= z) = p; raises Invalid unless 0 < p < 1."""
    if not 0.0 < p < 1.0:
        raise Invalid(f"{p} is not a probability strictly between 0 and 1")
    return _STANDARD.inv_cdf(p)


def chi2_survival(x: float, df: int) -> float:
    """Return P(X > x) for chi-square with `df` degrees of freedom.

    Source: Abramowitz, Stegun 6.5.29 (series) and 6.5.31 (continued fraction, Lentz).
    """
    if df < 1 or math.isnan(x):
        raise Invalid(f"chi-square needs a number and at least 1 degree of freedom, got {x}, {df}")
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    a, half = 0.5 * df, 0.5 * x
    front = math.exp(a * math.log(half) - half - math.lgamma(a))
    if half < a + 1.0:
        return max(0.0, 1.0 - front * _gamma_series(a, half))
    return front * _gamma_fraction(a, half)


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return P(X >= k) for X binomial with n trials of probability p."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    count = np.arange(k, n + 1, dtype=np.float64)
    logs = log_choose(float(n), count) + count * math.log(p) + (n - count) * math.log1p(-p)
    return min(1.0, float(np.exp(logs).sum()))


def log_factorial(n: npt.ArrayLike) -> Floats:
    """Return log n! for whole n >= 0, to 1e-12 relative. Source: Stirling's series, three terms."""
    count = np.asarray(n, dtype=np.float64)
    large = np.maximum(count, _STIRLING_FROM)
    inverse = 1.0 / large
    square = inverse * inverse
    tail = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    stirling = (large + 0.5) * np.log(large) - large + 0.5 * math.log(2.0 * math.pi) + tail
    small = _SMALL[np.minimum(count, _STIRLING_FROM - 1).astype(np.int64)]
    return np.where(count < _STIRLING_FROM, small, stirling)


def log_choose(n: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """Return the log of n over k, for whole 0 <= k <= n."""
    whole, part = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    return log_factorial(whole) - log_factorial(part) - log_factorial(whole - part)


def log_hypergeometric(count: Floats, *, drawn: Floats, marked: Floats, total: Floats) -> Floats:
    """Return log P(`count` of the `drawn` are marked), `marked` of the `total` being so."""
    return (
        log_choose(marked, count)
        + log_choose(total - marked, drawn - count)
        - log_choose(total, drawn)
    )


def log_polya(count: Floats, *, drawn: Floats, first: Floats, second: Floats) -> Floats:
    """Return log P(`count` of `drawn` fall to the first) in Polya's urn of `first` and `second`.

    With whole `first` and `second` >= 1 it is the law of how many new values fall between order
    statistics `first` apart, of a sample that leaves `second` gaps outside.
    """
    return (
        log_choose(count + first - 1, count)
        + log_choose(drawn - count + second - 1, drawn - count)
        - log_choose(drawn + first + second - 1, drawn)
    )


def _gamma_series(a: float, x: float) -> float:
    """Return P(a, x) without its factor x**a e**-x / Gamma(a)."""
    term = total = 1.0 / a
    for step in range(1, _ENOUGH_TERMS):
        term *= x / (a + step)
        total += term
        if term < total * 1e-16:
            break
    return total


def _gamma_fraction(a: float, x: float) -> float:
    """Return Q(a, x) without its factor x**a e**-x / Gamma(a)."""
    tiny = 1e-300
    b = x + 1.0 - a
    c = 1.0 / tiny
    d = 1.0 / b
    value = d
    for step in range(1, _ENOUGH_TERMS):
        factor = -step * (step - a)
        b += 2.0
        d = 1.0 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return value
