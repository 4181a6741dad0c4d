"""Are two groups treated alike? Rates from counts, with three verdicts: small groups lie.

A bare rule (ratio below 0.8) raises a false alarm in 93 of 100 perfectly fair cases with ten
groups of 20. So a breach needs the rule broken *and* an interval that excludes equality; clear
needs an interval wholly on the good side; all else is undetermined and says how many rows it
would need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from millwright.core.errors import Invalid
from millwright.stats.intervals import DEFAULT_ALPHA, Interval, newcombe
from millwright.stats.laws import normal_quantile

FOUR_FIFTHS = 0.8


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """What happened to the rows of one group; adds up over windows."""

    rows: int
    selected: int
    """Rows that the model predicted positive."""
    positives: int = 0
    """Rows whose true label, now known, is positive."""
    hits: int = 0
    """Rows predicted positive whose true label is positive."""

    def __post_init__(self) -> None:
        within = 0 <= self.hits <= min(self.positives, self.selected)
        if not within or max(self.positives, self.selected) > self.rows:
            raise Invalid(f"counts of a group contradict each other: {self}")

    def merge(self, other: GroupCounts) -> GroupCounts:
        """Return the counts of both together."""
        return GroupCounts(
            rows=self.rows + other.rows,
            selected=self.selected + other.selected,
            positives=self.positives + other.positives,
            hits=self.hits + other.hits,
        )

    @property
    def selection(self) -> tuple[int, int]:
        """Selected rows among all."""
        return self.selected, self.rows

    @property
    def recall(self) -> tuple[int, int]:
        """Selected rows among the truly positive (true positive rate)."""
        return self.hits, self.positives


class GroupVerdict(Enum):
    """What the counts allow to be said of a group."""

    BREACH = "breach"
    CLEAR = "clear"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """A group's rate beside the reference group's."""

    difference: Interval
    ratio: Interval
    verdict: GroupVerdict
    rows_needed: int | None
    """Rows (of the rate's kind) the group would need for a verdict, were its rate as seen; None
    when there is a verdict, or when more rows of this group alone would not bring one."""


def compare_rates(
    reference: tuple[int, int],
    group: tuple[int, int],
    *,
    lowest_ratio: float = FOUR_FIFTHS,
    comparisons: int = 1,
    alpha: float = DEFAULT_ALPHA,
) -> GroupComparison:
    """Compare a group's rate (successes, rows) with the reference group's.

    Breach: the ratio lies below `lowest_ratio` and its interval below 1. Clear: the interval
    lies above `lowest_ratio`. Intervals are two-sided, Bonferroni-corrected for `comparisons`
    groups judged together, and hold for one look.

    Source: 29 CFR 1607.4(D); Katz et al., Biometrics 1978 (log ratio, with 0.5 added); Newcombe
    1998 (difference).
    """
    if not 0.0 < lowest_ratio <= 1.0 or comparisons < 1:
        raise Invalid(f"the lowest ratio is {lowest_ratio}, the comparisons are {comparisons}")
    level = alpha / comparisons
    difference = newcombe(reference, group, alpha=level)
    ratio = rate_ratio(reference, group, alpha=level)
    if ratio.estimate < lowest_ratio and ratio.upper < 1.0:
        verdict = GroupVerdict.BREACH
    elif ratio.lower > lowest_ratio:
        verdict = GroupVerdict.CLEAR
    else:
        verdict = GroupVerdict.UNDETERMINED
    needed = None
    if verdict is GroupVerdict.UNDETERMINED:
        goal = 1.0 if ratio.estimate < lowest_ratio else lowest_ratio
        needed = _rows_needed(reference, group, ratio=ratio.estimate, goal=goal, alpha=level)
    return GroupComparison(difference, ratio, verdict, needed)


def rate_ratio(
    reference: tuple[int, int], group: tuple[int, int], *, alpha: float = DEFAULT_ALPHA
) -> Interval:
    """Return the group's rate over the reference's; without rows it is unknown (NaN, 0 to inf)."""
    for successes, rows in (reference, group):
        if not 0 <= successes <= rows:
            raise Invalid(f"{successes} successes in {rows} rows cannot be")
    if reference[1] == 0 or group[1] == 0:
        return Interval(math.nan, 0.0, math.inf)
    z = normal_quantile(1.0 - alpha / 2.0)
    middle = math.log(_smoothed(group) / _smoothed(reference))
    half = z * math.sqrt(_log_variance(reference) + _log_variance(group))
    return Interval(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def _smoothed(rate: tuple[int, int]) -> float:
    return (rate[0] + 0.5) / (rate[1] + 0.5)


def _log_variance(rate: tuple[int, int]) -> float:
    # All or no rows selected would have no variance; half a row keeps it above nothing.
    return max(1.0 / (rate[0] + 0.5) - 1.0 / (rate[1] + 0.5), 0.5 / (rate[1] + 0.5) ** 2)


def _rows_needed(
    reference: tuple[int, int],
    group: tuple[int, int],
    *,
    ratio: float,
    goal: float,
    alpha: float,
) -> int | None:
    """Return the group's size at which the interval around `ratio` no longer holds `goal`."""
    if math.isnan(ratio) or ratio == goal:
        return None
    z = normal_quantile(1.0 - alpha / 2.0)
    allowed = (math.log(ratio / goal) / z) ** 2 - _log_variance(reference)
    if allowed <= 0:
        return None
    per_row = _log_variance(group) * group[1]
    return max(group[1] + 1, math.ceil(per_row / allowed))
