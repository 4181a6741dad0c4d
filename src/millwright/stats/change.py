"""Evidence of change that may be looked at as often as one likes.

An e-value is a bet against "nothing changed": its expectation is at most 1 while nothing did,
so it reaches 1 / alpha with probability at most alpha. Evidence is returned as its logarithm.

**Canary** (`harm_evidence`). The unit is the sticky key: each key gives one rate, and the arms
are compared by their means over keys, since requests of one key resemble each other. The
difference of two such means is a Brownian motion in its information (one over its variance),
whatever the speed at which keys and requests come in; we bet on it with a half-normal mixture
(mSPRT), which holds at every look. Papers: Robbins 1970; Johari et al. 2022 (mSPRT);
Waudby-Smith et al., arXiv 2103.06476 (asymptotic sequences). The variance is estimated, so the
guarantee is asymptotic in keys; below MIN_KEYS in an arm there is no evidence. A key that was
served by both arms (it moved when the traffic split did) belongs to the arm that served it
last, or to none: keep it out of the other one.

**Drift** (`drift_evidence`). A reference of a few hundred rows is as noisy as the window it is
compared with, so it cannot be taken as exact. Cells are compared one by one, each against those
behind it; the bet is exp(s * D), D being the log likelihood ratio of the two rates and s < 1
what a normal prior with deviation `tau` on the log odds ratio makes of the information there.
It is divided by its exact expectation under two laws, and the larger divisor counts:
  - given both samples' totals, the counts of a cell are hypergeometric, whatever the true
    shares are (cells fixed beforehand);
  - given a reference whose own quantiles are the edges, they follow Polya's urn.
So at a given look the evidence is an e-value at any size, with no cell too rare and no
large-sample argument. Within one growing window it is the multivariate normal mixture in the
limit (information n * n0 / (n + n0), which again is a Brownian motion's time), and may be
watched; simulated at sizes from 300 rows up. Over windows that start afresh, window j (from 1)
pays the weight 1 / (j (j + 1)): the weights add up to 1, so the promise holds for ever, however
much the windows depend on each other through their common reference.

Not chosen: the plain Bayes factor (an e-value only on average over the prior), universal
inference (exact for ever, but too weak for 350 rows in 10 cells), conformal martingales (need
randomness and forget), a fixed-size test at each look (its false alarms add up). A simulation
in which a growing window alarms more often than alpha would change our mind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, Ints, Mask, as_counts, as_floats, check_same_length
from millwright.stats.distances import total_variation
from millwright.stats.intervals import DEFAULT_ALPHA, Interval, Sample, one_sided_radius
from millwright.stats.laws import log_hypergeometric, log_polya, normal_cdf

MIN_KEYS = 20
DEFAULT_LOG_ODDS_TAU = 0.5
DEFAULT_DRAWS = 400

_MAX_LOG = 700.0
_GRID = 129
_REACH = 12.0


@dataclass(frozen=True, slots=True)
class HarmEvidence:
    """What is known of canary less control, up being worse."""

    difference: Interval
    """Each bound holds at every look with probability 1 - alpha, on its own side."""
    log_e: float
    """Evidence that the difference exceeds the margin; 0.0 with too few keys."""
    control_keys: int
    canary_keys: int

    @property
    def e_value(self) -> float:
        """The evidence itself; reject at 1 / alpha."""
        return _to_e(self.log_e)

    @property
    def enough_keys(self) -> bool:
        """Whether both arms have the keys below which nothing is concluded."""
        return min(self.control_keys, self.canary_keys) >= MIN_KEYS


@dataclass(frozen=True, slots=True)
class DriftEvidence:
    """How strongly a window of rows speaks against the reference's distribution."""

    log_e: float
    reference_rows: int
    current_rows: int

    @property
    def e_value(self) -> float:
        """The evidence itself; give a table's columns to `e_bh`."""
        return _to_e(self.log_e)


def key_sample(totals: npt.ArrayLike, counts: npt.ArrayLike) -> Sample:
    """Return what the keys of an arm say: `totals` (k,) summed over `counts` (k,) requests each.

    Totals are failures, milliseconds or anything else that adds up over requests. A key without
    requests is left out.
    """
    sums, requests = as_floats(totals), as_counts(counts)
    if len(sums) != len(requests):
        raise Invalid(f"{len(sums)} totals came with {len(requests)} counts")
    served = requests > 0
    rates = sums[served] / requests[served]
    if len(rates) == 0:
        return Sample(0, 0.0, 0.0)
    variance = float(rates.var(ddof=1)) if len(rates) > 1 else 0.0
    return Sample(len(rates), float(rates.mean()), variance)


def harm_evidence(
    control: Sample,
    canary: Sample,
    *,
    tau: float,
    margin: float = 0.0,
    alpha: float = DEFAULT_ALPHA,
) -> HarmEvidence:
    """Return the evidence that the canary is worse than control by more than `margin`.

    Samples are over sticky keys (`key_sample`), up being worse. `tau` is the size of harm one
    wants to find soonest, in the metric's unit; it does not touch validity. It keeps no state:
    give it all keys seen so far.

    Raises Invalid when tau is not above 0.
    """
    if not tau > 0 or not 0.0 < alpha < 1.0:
        raise Invalid(f"tau is {tau}, alpha {alpha}; tau must exceed 0, alpha lie within 0 to 1")
    difference = canary.mean - control.mean
    keys = (control.count, canary.count)
    if min(keys) < MIN_KEYS:
        unknown = Interval(difference, -math.inf, math.inf)
        return HarmEvidence(unknown, 0.0, control_keys=keys[0], canary_keys=keys[1])
    variance = sum(_cautious_variance(arm, difference) for arm in (control, canary))
    if variance == 0.0:
        # No key of either arm differs from any other, as when nothing ever failed: there is no
        # noise to measure, and a bound that pretends to none would be a lie.
        unknown = Interval(difference, -math.inf, math.inf)
        return HarmEvidence(unknown, 0.0, control_keys=keys[0], canary_keys=keys[1])
    information = 1.0 / variance
    prior = 1.0 / (tau * tau)
    grown = information + prior
    score = (difference - margin) * information / math.sqrt(grown)
    log_e = (
        math.log(2.0) + 0.5 * math.log(prior / grown) + 0.5 * score * score + _log_normal_cdf(score)
    )
    radius = one_sided_radius(information, prior_information=prior, alpha=alpha)
    bounds = Interval(difference, difference - radius, difference + radius)
    return HarmEvidence(bounds, log_e, control_keys=keys[0], canary_keys=keys[1])


def drift_evidence(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    window: int = 1,
    tau: float = DEFAULT_LOG_ODDS_TAU,
) -> DriftEvidence:
    """Return the evidence that `current` (k,) counts come from other shares than `reference` (k,).

    Cells must have been fixed before the window began: by the reference's quantiles, its levels,
    or by hand. For a rate (missing, unseen) give two cells. `window` counts the windows judged
    against this reference, from 1; a growing window keeps its number. O(k).

    Raises Invalid on negative counts, different lengths, or a window below 1.
    """
    return _drift_evidence(reference, current, groups=(0,), window=window, tau=tau)


def ordered_drift_evidence(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    window: int = 1,
    tau: float = DEFAULT_LOG_ODDS_TAU,
) -> DriftEvidence:
    """Return what `drift_evidence` does, for cells that have an order, such as a histogram's.

    The bet is shared equally among the cells as they are, in quarters, and in halves: a shift
    moves neighbours together and is seen with fewer rows so, and the mean of e-values is one.
    """
    return _drift_evidence(reference, current, groups=(0, 4, 2), window=window, tau=tau)


def effect_interval(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    alpha: float = DEFAULT_ALPHA,
) -> Interval:
    """Return the total variation between the shares behind two vectors of counts (k,).

    The interval is for one look and errs on the wide side: a norm changes by no more than the
    norm of its noise, whose 1 - alpha quantile is drawn from both samples. The estimate itself
    is the plain distance, which noise alone makes positive; a lower bound of 0 says so.
    """
    before, now = as_counts(reference), as_counts(current)
    estimate = total_variation(before, now)
    rng = np.random.default_rng(seed)
    noise = np.zeros((draws, len(before)))
    for counts, sign in ((before, 1.0), (now, -1.0)):
        rows = int(counts.sum())
        shares = counts / rows
        noise += sign * (rng.multinomial(rows, shares, size=draws) / rows - shares)
    reach = float(np.quantile(0.5 * np.abs(noise).sum(axis=1), 1.0 - alpha))
    return Interval(estimate, max(0.0, estimate - reach), min(1.0, estimate + reach))


def e_bh(evidence: npt.ArrayLike, *, alpha: float) -> Mask:
    """Return which of the e-values (k,) to act on, so that at most alpha of those are false.

    Holds under any dependence; when nothing changed at all, any alarm has probability <= alpha.

    Source: Wang, Ramdas, JRSS B 2022.
    """
    e_values = as_floats(evidence)
    order = np.argsort(-e_values, kind="stable")
    ranks = np.arange(1, len(e_values) + 1)
    passing = np.flatnonzero(e_values[order] * ranks * alpha >= len(e_values))
    chosen = np.zeros(len(e_values), dtype=np.bool_)
    if len(passing):
        chosen[order[: passing[-1] + 1]] = True
    return chosen


def bonferroni(evidence: npt.ArrayLike, *, alpha: float) -> Mask:
    """Return which of the e-values (k,) to act on, so that one is false with chance <= alpha."""
    e_values = as_floats(evidence)
    return e_values * alpha >= len(e_values)


def _cautious_variance(arm: Sample, difference: float) -> float:
    """Return the variance of an arm's mean as if one more key had looked like the other arm.

    Without it an arm in which no key failed, or every key did, would seem to have no noise.
    """
    extra = difference * difference * arm.count / (arm.count + 1.0)
    return ((arm.count - 1) * arm.variance + extra) / arm.count / arm.count


def _log_normal_cdf(z: float) -> float:
    if z > -30.0:
        return math.log(normal_cdf(z))
    return -0.5 * z * z - math.log(-z) - 0.5 * math.log(2.0 * math.pi)


def _drift_evidence(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    groups: tuple[int, ...],
    window: int,
    tau: float,
) -> DriftEvidence:
    before, now = as_counts(reference), as_counts(current)
    check_same_length(before, now)
    if window < 1:
        raise Invalid(f"window {window}; windows are counted from 1")
    if not tau > 0:
        raise Invalid(f"tau is {tau}; it must be above 0")
    rows = int(before.sum()), int(now.sum())
    if min(rows) == 0:
        return DriftEvidence(0.0, reference_rows=rows[0], current_rows=rows[1])
    logs = _conditional_evidence(_group(before, groups), _group(now, groups), tau=tau)
    top = float(logs.max())
    log_e = top + math.log(float(np.exp(logs - top).mean())) - math.log(window * (window + 1.0))
    return DriftEvidence(log_e, reference_rows=rows[0], current_rows=rows[1])


def _group(counts: Ints, groups: tuple[int, ...]) -> list[Ints]:
    """Return the counts as they are (0) or with neighbours added up into so many cells."""
    return [
        counts
        if not size or size >= len(counts)
        else np.add.reduceat(counts, np.arange(size) * len(counts) // size)
        for size in groups
    ]


def _conditional_evidence(before: list[Ints], now: list[Ints], *, tau: float) -> Floats:
    """Return for each grouping the log of the product over cells, each against all behind it."""
    old = np.concatenate([counts[:-1] for counts in before]).astype(np.float64)
    new = np.concatenate([counts[:-1] for counts in now]).astype(np.float64)
    old_left = np.concatenate([_from_here_on(counts) for counts in before])
    new_left = np.concatenate([_from_here_on(counts) for counts in now])
    evidence = np.zeros(len(old))
    live = (old_left > 0) & (new_left > 0)
    if live.any():
        steps = _Steps(old[live], old_left[live], new_left[live], tau * tau)
        divisors = np.maximum(steps.fixed_cells(new[live]), steps.quantile_cells())
        evidence[live] = steps.bet(new[live], old[live]) - divisors
    ends = np.cumsum([len(counts) - 1 for counts in now])
    total = np.concatenate((np.zeros(1), np.cumsum(evidence)))
    return np.diff(total[np.concatenate((np.zeros(1, dtype=np.int64), ends))])


def _from_here_on(counts: Ints) -> Floats:
    return np.cumsum(counts[::-1])[::-1][:-1].astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The comparisons (m,) of a cell with those behind it, all computed together."""

    old: Floats
    old_left: Floats
    new_left: Floats
    prior_variance: float

    def bet(self, new: Floats, old: Floats) -> Floats:
        """Return s * D for counts (m,) or (g, m)."""
        total = self.old_left + self.new_left
        both = new + old
        deviance = (
            _x_log(new, self.new_left * both / total)
            + _x_log(old, self.old_left * both / total)
            + _x_log(self.new_left - new, self.new_left * (total - both) / total)
            + _x_log(self.old_left - old, self.old_left * (total - both) / total)
        )
        return self._strength(both) * np.maximum(deviance, 0.0)

    def _strength(self, both: Floats) -> Floats:
        total = self.old_left + self.new_left
        spread = _hypergeometric_variance(self.new_left, both, total)
        grown = self.prior_variance * spread
        return grown / (1.0 + grown)

    def fixed_cells(self, new: Floats) -> Floats:
        """Return the log expectation of the bet, given how many rows of both lie in the cell."""
        both = self.old + new
        total = self.old_left + self.new_left
        middle = self.new_left * both / total
        spread = _hypergeometric_variance(self.new_left, both, total)
        low = np.maximum(0.0, self.new_left + both - total)
        high = np.minimum(self.new_left, both)
        grid = self._grid(middle, spread, low, high, strength=self._strength(both))
        logs = log_hypergeometric(grid, drawn=self.new_left, marked=both, total=total)
        return _log_sum(logs + self.bet(grid, both - grid), grid)

    def quantile_cells(self) -> Floats:
        """Return the log expectation of the bet, given the reference's counts in the cells."""
        first = np.maximum(self.old, 1.0)
        second = np.maximum(self.old_left - self.old, 1.0)
        gaps = first + second
        middle = self.new_left * first / gaps
        share = first * second / (gaps * gaps)
        spread = self.new_left * share * (gaps + self.new_left) / (gaps + 1.0)
        far = np.minimum(self.new_left, middle + 6.0 * np.sqrt(spread))
        strength = np.maximum(self._strength(self.old + middle), self._strength(self.old + far))
        grid = self._grid(middle, spread, np.zeros_like(middle), self.new_left, strength=strength)
        logs = log_polya(grid, drawn=self.new_left, first=first, second=second)
        return _log_sum(logs + self.bet(grid, self.old), grid)

    @staticmethod
    def _grid(
        middle: Floats, spread: Floats, low: Floats, high: Floats, *, strength: Floats
    ) -> Floats:
        """Return whole counts (g, m) that cover all that matters of each step's expectation."""
        reach = _REACH * np.sqrt((spread + 1.0) / (1.0 - strength))
        start = np.maximum(low, np.floor(middle - reach))
        end = np.minimum(high, np.ceil(middle + reach))
        return np.rint(np.linspace(start, end, _GRID))


def _hypergeometric_variance(drawn: Floats, marked: Floats, total: Floats) -> Floats:
    return drawn * (marked / total) * (1.0 - marked / total) * (total - drawn) / (total - 1.0)


def _log_sum(logs: Floats, grid: Floats) -> Floats:
    """Return the log of the sum over all whole counts, from those on the grid (trapezoids)."""
    gaps = np.diff(grid, axis=0) / 2.0
    ends = np.full((1, grid.shape[1]), 0.5)
    weights = np.concatenate((ends, gaps)) + np.concatenate((gaps, ends))
    top = logs.max(axis=0)
    return top + np.log((np.exp(logs - top) * weights).sum(axis=0))


def _x_log(x: Floats, expected: Floats) -> Floats:
    """Return x log(x / expected), 0 where x is 0."""
    held = x > 0
    return np.where(held, x * np.log(np.where(held, x, 1.0) / np.where(held, expected, 1.0)), 0.0)


def _to_e(log_e: float) -> float:
    return math.exp(min(log_e, _MAX_LOG))
