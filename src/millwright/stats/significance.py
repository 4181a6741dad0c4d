"""Is the challenger really better? Both models are judged on the same rows, so rows are paired.

A difference is always challenger less champion. Hand in losses with their sign turned, so that
up is better everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, as_floats, check_same_length
from millwright.stats.intervals import DEFAULT_ALPHA, Interval
from millwright.stats.laws import binomial_tail, normal_quantile
from millwright.stats.metrics import ScoreOrder, auc

DEFAULT_DRAWS = 1000
_CELLS_AT_ONCE = 1 << 20


class Verdict(Enum):
    """What the interval of a paired difference says; the first that holds."""

    SUPERIOR = "superior"
    """The whole interval lies above 0."""
    NOT_INFERIOR = "not-inferior"
    """The whole interval lies above minus the margin."""
    INFERIOR = "inferior"
    """The whole interval lies below minus the margin."""
    UNDETERMINED = "undetermined"
    """More rows are needed."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A metric of two models on the same rows."""

    rows: int
    champion: float
    challenger: float
    difference: Interval
    share_better: float
    """Share of the draws in which the challenger was better; half of the ties."""


def judge(difference: Interval, *, margin: float) -> Verdict:
    """Return the verdict on a difference, a loss of up to `margin` being tolerable."""
    if margin < 0:
        raise Invalid(f"the margin is {margin}; it cannot be below 0")
    if difference.lower > 0:
        return Verdict.SUPERIOR
    if difference.lower > -margin:
        return Verdict.NOT_INFERIOR
    if difference.upper < -margin:
        return Verdict.INFERIOR
    return Verdict.UNDETERMINED


def bootstrap_mean(
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    *,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    alpha: float = DEFAULT_ALPHA,
) -> PairedDifference:
    """Compare the means of two per-row metrics (n,) by drawing rows with replacement.

    Use it with `metrics.hits`, or with minus `metrics.log_losses` or `squared_errors`.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    first, second = as_floats(champion), as_floats(challenger)
    check_same_length(first, second)
    delta = second - first
    rows = len(delta)
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [delta[rng.integers(0, rows, (size, rows))].mean(axis=1) for size in _batches(draws, rows)]
    )
    return _paired(first.mean(), second.mean(), rows=rows, drawn=drawn, alpha=alpha)


def bootstrap_auc(
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    label: npt.ArrayLike,
    *,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    alpha: float = DEFAULT_ALPHA,
) -> PairedDifference:
    """Compare the AUC of two models' scores (n,) by drawing rows with replacement.

    Scores are sorted once; a draw only reweighs the rows. A draw without both classes is left
    out. Raises Invalid when `label` has one class only, or no draw had both.
    """
    first, second, labels = as_floats(champion), as_floats(challenger), as_floats(label)
    check_same_length(first, second)
    point_first, point_second = auc(first, labels), auc(second, labels)
    rows = len(labels)
    orders = ScoreOrder(first, labels), ScoreOrder(second, labels)
    rng = np.random.default_rng(seed)
    parts: list[Floats] = []
    for size in _batches(draws, rows):
        picked = rng.integers(0, rows, (size, rows)) + rows * np.arange(size)[:, None]
        flat = np.bincount(picked.reshape(-1), minlength=size * rows)
        weights = flat.reshape(size, rows).astype(np.float64)
        parts.append(orders[1].auc(weights) - orders[0].auc(weights))
    drawn = np.concatenate(parts)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        raise Invalid("no draw held rows of both classes", fix="give more rows")
    return _paired(point_first, point_second, rows=rows, drawn=drawn, alpha=alpha)


def mcnemar_exact(only_champion: int, only_challenger: int) -> float:
    """Return the exact two-sided p-value that two classifiers are right equally often.

    The arguments count the rows on which only that model was right. Source: McNemar 1947.
    """
    if min(only_champion, only_challenger) < 0:
        raise Invalid("a number of rows is below 0")
    rows = only_champion + only_challenger
    return min(1.0, 2.0 * binomial_tail(max(only_champion, only_challenger), rows, 0.5))


def delong(
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    label: npt.ArrayLike,
    *,
    alpha: float = DEFAULT_ALPHA,
) -> Interval:
    """Return the difference of two paired AUCs with its normal interval.

    Raises Invalid with fewer than two rows of a class. O(n log n).

    Source: DeLong et al., Biometrics 1988; ranks after Sun, Xu, IEEE SPL 2014.
    """
    first, second, labels = as_floats(champion), as_floats(challenger), as_floats(label)
    check_same_length(first, second)
    check_same_length(first, labels)
    positive = labels == 1
    ups, downs = int(positive.sum()), int((labels == 0).sum())
    if min(ups, downs) < 2 or ups + downs != len(labels):
        raise Invalid("labels must be 0 or 1, with at least two rows of each")
    up_parts: list[Floats] = []
    down_parts: list[Floats] = []
    for score in (first, second):
        above, below = score[positive], score[~positive]
        ranks = _midranks(score)
        up_parts.append((ranks[positive] - _midranks(above)) / downs)
        down_parts.append(1.0 - (ranks[~positive] - _midranks(below)) / ups)
    up, down = up_parts[1] - up_parts[0], down_parts[1] - down_parts[0]
    difference = float(up.mean())
    variance = float(up.var(ddof=1) / ups + down.var(ddof=1) / downs)
    half = normal_quantile(1.0 - alpha / 2.0) * math.sqrt(variance)
    return Interval(difference, difference - half, difference + half)


def _midranks(values: Floats) -> Floats:
    """Return ranks from 1, equal values sharing the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - 0.5 * (counts - 1)
    return middle[inverse]


def _batches(draws: int, rows: int) -> list[int]:
    if draws < 1:
        raise Invalid(f"{draws} draws; at least 1 is needed")
    size = max(1, _CELLS_AT_ONCE // rows)
    return [min(size, draws - start) for start in range(0, draws, size)]


def _paired(
    champion: float, challenger: float, *, rows: int, drawn: Floats, alpha: float
) -> PairedDifference:
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"alpha is {alpha}; it must lie strictly between 0 and 1")
    lower, upper = np.quantile(drawn, [alpha / 2.0, 1.0 - alpha / 2.0])
    better, ties = int(np.count_nonzero(drawn > 0)), int(np.count_nonzero(drawn == 0))
    return PairedDifference(
        rows=rows,
        champion=float(champion),
        challenger=float(challenger),
        difference=Interval(float(challenger - champion), float(lower), float(upper)),
        share_better=(better + 0.5 * ties) / len(drawn),
    )
