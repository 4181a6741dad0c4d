from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.records.studies import Choice, Dimension, FloatRange, IntRange
from millwright.tracking.spaces import check_space, check_trial, lies_in, spelled

RANGES = st.tuples(st.integers(-100, 100), st.integers(0, 100)).map(
    lambda pair: IntRange(low=pair[0], high=pair[0] + pair[1])
)


@given(RANGES, st.integers(-250, 250))
def test_a_whole_number_lies_between_its_ends(dimension: IntRange, value: int) -> None:
    inside = dimension.low <= value <= dimension.high
    assert lies_in(dimension, str(value)) == inside
    assert lies_in(dimension, f"{value}.0") == inside
    assert not lies_in(dimension, f"{value}.5")
    check_space({"x": dimension})


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (FloatRange(low=0.0, high=1.0), ["0", "1e-3", "1.0"], ["1.01", "x", "nan", "inf", ""]),
        (Choice(values=["gini", "3"]), ["gini", "3"], ["Gini", "3.0", ""]),
        (IntRange(low=1, high=3), ["1", "3"], ["0", "4", "two", "nan"]),
    ],
)
def test_what_lies_in_a_dimension(
    dimension: Dimension, inside: list[str], outside: list[str]
) -> None:
    assert all(lies_in(dimension, value) for value in inside)
    assert not any(lies_in(dimension, value) for value in outside)


@pytest.mark.parametrize(
    ("dimension", "why"),
    [
        (FloatRange(low=1.0, high=0.0), "1 is above 0"),
        (FloatRange(low=0.0, high=1.0, log=True), "a logarithm needs more than 0"),
        (FloatRange(low=0.0, high=float("inf")), "finite"),
        (FloatRange(low=0.0, high=1.0, step=0.0), "a step is above 0"),
        (IntRange(low=2, high=1), "2 is above 1"),
        (IntRange(low=1, high=2, step=-1), "a step is above 0"),
        (Choice(values=[]), "nothing to choose from"),
        (Choice(values=["a", "a"]), "twice"),
    ],
)
def test_a_dimension_that_cannot_be_searched_says_why(dimension: Dimension, why: str) -> None:
    with pytest.raises(Invalid, match="the space of 'x' cannot be searched") as raised:
        check_space({"x": dimension})
    assert why in raised.value.why


def test_a_space_has_parameters() -> None:
    with pytest.raises(Invalid, match="not 0"):
        check_space({})
    with pytest.raises(Invalid, match="cannot be the name"):
        check_space({"": Choice(values=["a"])})


def test_a_trial_may_lack_some_and_have_others() -> None:
    space: dict[str, Dimension] = {"depth": IntRange(low=1, high=9)}
    check_trial(space, {})
    check_trial(space, {"seed": "7", "depth": "9"})
    with pytest.raises(Invalid, match="depth = '10' lies outside") as raised:
        check_trial(space, {"depth": "10"})
    assert raised.value.why == "it takes whole numbers 1 to 9"


def test_dimensions_in_words() -> None:
    assert spelled(FloatRange(low=0.5, high=2.0, step=0.5)) == "0.5 to 2, in steps of 0.5"
    assert spelled(IntRange(low=1, high=64, log=True)) == "whole numbers 1 to 64, by its logarithm"
    assert spelled(Choice(values=["a", "b"])) == "one of a, b"
