import math

import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.stats.groups import GroupCounts, GroupVerdict, compare_rates, rate_ratio


def test_counts_add_up_and_give_rates() -> None:
    both = GroupCounts(10, 4, 5, 3).merge(GroupCounts(20, 6, 8, 5))
    assert both == GroupCounts(30, 10, 13, 8)
    assert (both.selection, both.recall) == ((10, 30), (8, 13))
    with pytest.raises(Invalid, match="contradict"):
        GroupCounts(10, 11)


def test_the_three_verdicts() -> None:
    reference = (1500, 5000)
    assert compare_rates(reference, (210, 1000)).verdict is GroupVerdict.BREACH
    assert compare_rates(reference, (300, 1000)).verdict is GroupVerdict.CLEAR
    small = compare_rates(reference, (3, 20))
    assert small.verdict is GroupVerdict.UNDETERMINED
    assert small.ratio.estimate < 0.8


@pytest.mark.parametrize("group", [(3, 20), (12, 40), (34, 130)])
def test_the_rows_it_asks_for_bring_the_verdict(group: tuple[int, int]) -> None:
    reference = (1500, 5000)
    found = compare_rates(reference, group)
    assert found.verdict is GroupVerdict.UNDETERMINED
    assert found.rows_needed is not None
    factor = found.rows_needed / group[1]
    rate = found.ratio.estimate * 0.3
    grown = (round(rate * group[1] * factor * 1.3), round(group[1] * factor * 1.3))
    assert compare_rates(reference, grown).verdict is not GroupVerdict.UNDETERMINED


def test_without_rows_nothing_is_known() -> None:
    found = compare_rates((30, 100), (0, 0))
    assert found.verdict is GroupVerdict.UNDETERMINED
    assert found.rows_needed is None
    assert math.isnan(found.ratio.estimate)
    assert (found.difference.lower, found.difference.upper) == (-1.0, 1.0)


def test_a_reference_too_small_for_a_verdict_asks_for_nothing() -> None:
    assert compare_rates((3, 10), (12, 40)).rows_needed is None


def test_ten_fair_groups_of_twenty_raise_no_alarm() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        groups = rng.binomial(20, 0.3, size=10).tolist()
        alarms += any(
            compare_rates((1500, 5000), (k, 20), comparisons=10).verdict is GroupVerdict.BREACH
            for k in groups
        )
    assert alarms <= 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="5 successes in 2"):
        rate_ratio((1, 2), (5, 2))
    with pytest.raises(Invalid, match="lowest ratio"):
        compare_rates((1, 2), (1, 2), lowest_ratio=0.0)
