"""Intervals around rates and means: for one look, and for as many looks as one likes.

`Interval`s for one look hold with their probability when the size was fixed beforehand. The
confidence sequences hold at every look at once, so that one may stop when one sees fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from millwright.core.errors import Invalid
from millwright.stats.laws import normal_quantile

DEFAULT_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds that go with it."""

    estimate: float
    lower: float
    upper: float

    @property
    def width(self) -> float:
        """Upper less lower bound."""
        return self.upper - self.lower


@dataclass(frozen=True, slots=True)
class Sample:
    """What a mean's uncertainty needs: independent units, their mean and unbiased variance."""

    count: int
    mean: float
    variance: float


def wilson(successes: int, trials: int, *, alpha: float = DEFAULT_ALPHA) -> Interval:
    """Return the interval of a rate; with no trials it is all of 0 to 1 and the estimate NaN.

    Source: Wilson, JASA 1927.
    """
    _check_rate(successes, trials)
    z = _two_sided(alpha)
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    rate = successes / trials
    shrink = 1.0 + z * z / trials
    middle = (rate + z * z / (2.0 * trials)) / shrink
    half = z / shrink * math.sqrt(rate * (1.0 - rate) / trials + z * z / (4.0 * trials * trials))
    # At 0 and at n the bound is the rate itself, which rounding must not cross.
    lower = 0.0 if successes == 0 else max(0.0, middle - half)
    upper = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(rate, lower, upper)


def newcombe(
    first: tuple[int, int], second: tuple[int, int], *, alpha: float = DEFAULT_ALPHA
) -> Interval:
    """Return the interval of the second rate less the first; each is (successes, trials).

    Source: Newcombe, Statistics in Medicine 1998, method 10.
    """
    one, two = wilson(*first, alpha=alpha), wilson(*second, alpha=alpha)
    if math.isnan(one.estimate) or math.isnan(two.estimate):
        return Interval(math.nan, -1.0, 1.0)
    difference = two.estimate - one.estimate
    down = math.hypot(two.estimate - two.lower, one.upper - one.estimate)
    up = math.hypot(two.upper - two.estimate, one.estimate - one.lower)
    return Interval(difference, max(-1.0, difference - down), min(1.0, difference + up))


def mean_interval(sample: Sample, *, alpha: float = DEFAULT_ALPHA) -> Interval:
    """Return the normal interval of a mean; unbounded with fewer than two units."""
    if sample.count < 2:
        return Interval(sample.mean, -math.inf, math.inf)
    half = _two_sided(alpha) * math.sqrt(sample.variance / sample.count)
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def mean_sequence(sample: Sample, *, tightest_at: int, alpha: float = DEFAULT_ALPHA) -> Interval:
    """Return the asymptotic confidence sequence of a mean, valid at every look together.

    It is narrowest, against other choices, at `tightest_at` units: where one expects to decide.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, arXiv 2103.06476, theorem 2.2.
    """
    if sample.count < 2:
        return Interval(sample.mean, -math.inf, math.inf)
    if sample.variance == 0:
        return Interval(sample.mean, sample.mean, sample.mean)
    # Information is counted in units here: the variance of the mean is variance / count.
    half = math.sqrt(sample.variance) * two_sided_radius(
        float(sample.count), tightest_at=float(tightest_at), alpha=alpha
    )
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def difference_sequence(
    first: Sample, second: Sample, *, tightest_at: int, alpha: float = DEFAULT_ALPHA
) -> Interval:
    """Return the confidence sequence of the second mean less the first, valid at every look.

    The arms may have different sizes and grow at different speeds: the estimate is a Brownian
    motion in its information 1 / (v1/n1 + v2/n2). `tightest_at` counts units in each arm.

    Source: as `mean_sequence`; Jennison, Turnbull, Group Sequential Methods, 1999, chapter 11.
    """
    difference = second.mean - first.mean
    if first.count < 2 or second.count < 2:
        return Interval(difference, -math.inf, math.inf)
    variance = first.variance / first.count + second.variance / second.count
    if variance == 0:
        return Interval(difference, difference, difference)
    at = tightest_at / (first.variance + second.variance)
    half = two_sided_radius(1.0 / variance, tightest_at=at, alpha=alpha)
    return Interval(difference, difference - half, difference + half)


def two_sided_radius(information: float, *, tightest_at: float, alpha: float) -> float:
    """Return the half width at `information` (one over the estimate's variance) for all looks.

    Source: Robbins, Ann. Math. Stat. 1970 (normal mixture); Waudby-Smith et al., appendix B.2.
    """
    _check_alpha(alpha)
    ratio = information / _prior_information(tightest_at, alpha)
    grown = 1.0 + ratio
    return math.sqrt(
        grown * (2.0 * math.log(1.0 / alpha) + math.log(grown)) / (ratio * information)
    )


def one_sided_radius(information: float, *, prior_information: float, alpha: float) -> float:
    """Return how far below the estimate the lower bound lies, for all looks together.

    `prior_information` is one over the prior variance of the effect.

    Source: Waudby-Smith et al., arXiv 2103.06476, section on one-sided sequences.
    """
    _check_alpha(alpha)
    grown = 1.0 + information / prior_information
    logged = math.log1p(math.sqrt(grown) / (2.0 * alpha))
    return math.sqrt(2.0 * (information + prior_information) * logged) / information


def _prior_information(tightest_at: float, alpha: float) -> float:
    """Return the mixture's parameter that makes the boundary tightest at that information."""
    if not tightest_at > 0:
        raise Invalid(f"a sequence is tightest at {tightest_at}; give a number above 0")
    spent = -2.0 * math.log(alpha)
    return tightest_at / (spent + math.log(spent + 1.0))


def _two_sided(alpha: float) -> float:
    return normal_quantile(1.0 - _check_alpha(alpha) / 2.0)


def _check_alpha(alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"alpha is {alpha}; it must lie strictly between 0 and 1")
    return alpha


def _check_rate(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise Invalid(f"{successes} successes in {trials} trials cannot be")
