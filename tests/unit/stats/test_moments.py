import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt
from millwright.stats.moments import Moments, measure, measure_counted

COLUMN = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=30)


def close(first: Moments, second: Moments) -> bool:
    exact = (first.count, first.missing, first.infinite, first.low, first.high)
    if exact != (second.count, second.missing, second.infinite, second.low, second.high):
        return False
    return first.mean == pytest.approx(second.mean, rel=1e-9, abs=1e-6) and first.m2 == (
        pytest.approx(second.m2, rel=1e-9, abs=1e-3)
    )


@settings(max_examples=50)
@given(COLUMN, COLUMN, COLUMN)
def test_merging_equals_measuring_at_once_in_any_order(
    a: list[float], b: list[float], c: list[float]
) -> None:
    whole = measure(a + b + c)
    assert close(measure(a).merge(measure(b)).merge(measure(c)), whole)
    assert close(measure(c).merge(measure(a).merge(measure(b))), whole)
    assert measure(a).merge(measure(b)) == measure(b).merge(measure(a))


def test_the_plain_definitions_hold() -> None:
    found = measure([1.0, 2.0, 4.0, np.nan, -np.inf])
    assert (found.count, found.missing, found.infinite, found.low, found.high) == (
        3,
        1,
        1,
        1.0,
        4.0,
    )
    assert found.mean == pytest.approx(7 / 3)
    assert found.deviation == pytest.approx(np.std([1, 2, 4], ddof=1))


def test_a_large_offset_does_not_eat_the_variance() -> None:
    values = 1e9 + np.random.default_rng(1).normal(size=4000)
    parts = [measure(part) for part in np.array_split(values, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged.variance == pytest.approx(float(np.var(values, ddof=1)), rel=1e-6)


def test_counted_values_equal_repeated_ones() -> None:
    counted = measure_counted(np.array([1.0, 5.0, 9.0]), np.array([2, 3, 0], dtype=np.int64))
    assert close(counted, measure([1.0, 1.0, 5.0, 5.0, 5.0]))


def test_nothing_has_no_variance_and_huge_values_do_not_warn() -> None:
    assert math.isnan(Moments().variance)
    assert measure([1e308, -1e308, 1e308]).count == 3


@given(COLUMN)
@settings(max_examples=20)
def test_it_survives_bytes(column: list[float]) -> None:
    found = measure(column)
    assert Moments.from_bytes(found.to_bytes()) == found
    with pytest.raises(Corrupt):
        Moments.from_bytes(found.to_bytes()[:-1])
