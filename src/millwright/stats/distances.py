"""How far apart two distributions over the same cells are.

Every function takes two vectors of counts, or of probabilities, and norms each by its sum. A
distance between samples is never 0, even when nothing changed: read it beside its interval
(`change.effect_interval`) and its evidence (`change.drift_evidence`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, as_floats, check_same_length

Distance: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike], float]

PSI_FLOOR = 1e-4


def total_variation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Half the summed differences: the share of rows that would have to move; 0 to 1."""
    p, q = _normed(first, second)
    return float(0.5 * np.abs(p - q).sum())


def hellinger(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Hellinger distance, 0 to 1. Source: Hellinger 1909."""
    p, q = _normed(first, second)
    return float(np.sqrt(0.5 * np.square(np.sqrt(p) - np.sqrt(q)).sum()))


def jensen_shannon(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Jensen-Shannon distance, the root of the divergence in bits; 0 to 1.

    Source: Lin, IEEE Trans. Inf. Theory 1991; a metric by Endres, Schindelin 2003.
    """
    p, q = _normed(first, second)
    middle = 0.5 * (p + q)
    divergence = 0.5 * (_relative_entropy(p, middle) + _relative_entropy(q, middle))
    return float(np.sqrt(max(divergence, 0.0) / np.log(2.0)))


def population_stability(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Population stability index, 0 to about 18: the symmetric relative entropy in nats.

    A share below 0.0001 counts as 0.0001, so that an empty cell does not make it infinite.

    Source: Siddiqi, Credit Risk Scorecards, 2006.
    """
    p, q = _normed(first, second)
    p, q = np.maximum(p, PSI_FLOOR), np.maximum(q, PSI_FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def kolmogorov_smirnov(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Largest difference of the cumulated shares over ordered cells; 0 to 1.

    It is at most the Kolmogorov-Smirnov statistic of the rows themselves.
    """
    p, q = _normed(first, second)
    return float(np.abs(np.cumsum(p - q)).max())


def wasserstein(
    first: npt.ArrayLike, second: npt.ArrayLike, *, positions: npt.ArrayLike, scale: float
) -> float:
    """Work to turn one into the other, rows lying at `positions` (rising), divided by `scale`.

    With the reference's standard deviation as scale, 1.0 is a shift by one deviation.

    Raises Invalid when the positions do not rise or the scale is not above 0.
    """
    p, q = _normed(first, second)
    places = as_floats(positions)
    check_same_length(p, places)
    widths = np.diff(places)
    if np.any(widths < 0) or not scale > 0:
        raise Invalid("positions must rise and the scale be above 0")
    return float((np.abs(np.cumsum(p - q))[:-1] * widths).sum() / scale)


def _normed(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Floats, Floats]:
    p, q = as_floats(first), as_floats(second)
    check_same_length(p, q)
    for one in (p, q):
        if not np.all(np.isfinite(one)) or np.any(one < 0) or one.sum() <= 0:
            raise Invalid("a distribution needs finite shares, none below 0 and one above 0")
    return p / p.sum(), q / q.sum()


def _relative_entropy(p: Floats, q: Floats) -> float:
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())
