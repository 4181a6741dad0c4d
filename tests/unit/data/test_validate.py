from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Refused
from millwright.data.batches import open_table
from millwright.data.validate import require, validate
from millwright.records.data import (
    Expectation,
    ExpectationResult,
    HasType,
    InRange,
    IsUnique,
    NotNull,
    OneOf,
    RowCount,
)

DAY = "2020-01-01 00:00:00+00:00"
FRAME = pl.DataFrame(
    {
        "age": [34, None, -5, 200],
        "income": ["1200.50", "?", "7", None],
        "ratio": [0.5, float("nan"), 2.0, float("inf")],
        "sex": ["f", "m", "x", None],
        "flag": [True, False, None, True],
        "seen": [datetime(2020, 1, 1, tzinfo=UTC)] * 4,
    }
)


def check(expectation: Expectation, frame: pl.DataFrame = FRAME) -> ExpectationResult:
    return validate(frame, [expectation]).results[0]


@pytest.mark.parametrize(
    ("expectation", "examples"),
    [
        (HasType(column="age", kind="integer"), []),
        (HasType(column="age", kind="float"), []),
        (HasType(column="age", kind="text"), []),
        (HasType(column="age", kind="boolean"), ["row 0: 34", "row 2: -5", "row 3: 200"]),
        (HasType(column="income", kind="float"), ["row 1: '?'"]),
        (HasType(column="ratio", kind="integer"), ["row 0: 0.5"]),
        (HasType(column="seen", kind="timestamp"), []),
        (HasType(column="flag", kind="boolean"), []),
        (InRange(column="age", low=0), ["row 2: -5"]),
        (InRange(column="age", low=0, high=120), ["row 2: -5", "row 3: 200"]),
        (InRange(column="income", low=10), ["row 1: '?'", "row 2: '7'"]),
        (InRange(column="ratio", high=3), ["row 3: inf"]),
        (NotNull(column="age"), ["row 1: None"]),
        (NotNull(column="ratio"), ["row 1: None"]),
        (OneOf(column="sex", values=["f", "m"]), ["row 2: 'x'"]),
        (OneOf(column="age", values=[34, 200.0, -5]), []),
        (OneOf(column="age", values=["34", True, 200, 0.5, 1e300]), ["row 0: 34", "row 2: -5"]),
        (OneOf(column="flag", values=[1, True]), ["row 1: False"]),
        (OneOf(column="ratio", values=[0.5, 2]), ["row 3: inf"]),
        (OneOf(column="seen", values=["2020-01-01"]), [f"row {at}: {DAY}" for at in range(4)]),
        (IsUnique(columns=["age"]), []),
        (IsUnique(columns=["flag"]), ["row 3: True"]),
        (IsUnique(columns=["flag", "seen"]), [f"row 3: True, {DAY}"]),
    ],
)
def test_what_offends_is_counted_and_shown(expectation: Expectation, examples: list[str]) -> None:
    result = check(expectation)
    assert result.examples == [example.replace(": ", ": value ") for example in examples]
    assert result.failed_rows == len(examples)
    assert result.passed is (not examples)
    assert result.checked_rows == 4


def test_a_range_over_times_fails_every_row() -> None:
    assert check(InRange(column="seen", low=0)).failed_rows == 4


def test_some_may_be_missing_when_that_is_said() -> None:
    assert check(NotNull(column="age", max_ratio=0.25)).passed
    assert not check(NotNull(column="age", max_ratio=0.24)).passed
    assert check(NotNull(column="age", max_ratio=0.25)).message == (
        "age is missing in at most 25.0% of rows: 1 of 4 rows are missing"
    )


def test_the_number_of_rows_is_held_against_its_bounds() -> None:
    assert check(RowCount(low=4, high=4)).passed
    result = check(RowCount(low=5))
    assert not result.passed
    assert result.message == "number of rows at least 5: there are 4"
    assert not check(RowCount(high=3)).passed


def test_a_column_that_is_not_there_fails_for_every_row() -> None:
    for expectation in (NotNull(column="agee"), IsUnique(columns=["agee"])):
        result = check(expectation)
        assert (result.passed, result.failed_rows) == (False, 4)
        assert result.message.endswith("there is no column 'agee'; did you mean 'age'?")


def test_at_most_five_examples_are_kept_over_all_batches() -> None:
    frame = pl.DataFrame({"x": range(100)})
    batches = [frame[at : at + 3] for at in range(0, 100, 3)]
    result = validate(iter(batches), [InRange(column="x", high=89)]).results[0]
    assert result.failed_rows == 10
    assert result.examples == [f"row {at}: value {at}" for at in range(90, 95)]


def test_a_refusal_says_which_how_many_and_which_rows() -> None:
    report = validate(
        FRAME,
        [
            InRange(column="age", low=0, high=120),
            NotNull(column="sex"),
            HasType(column="age", kind="integer"),
        ],
    )
    with pytest.raises(Refused) as caught:
        require(report)
    assert str(caught.value) == (
        "2 of 3 expectations failed on 4 rows\n"
        "age from 0 to 120: 2 of 4 rows fail\n"
        "  row 2: value -5\n"
        "  row 3: value 200\n"
        "sex is never missing: 1 of 4 rows are missing\n"
        "  row 3: value None\n"
        "correct the data, or the expectation where it asks too much"
    )


def test_a_report_that_passed_is_given_back() -> None:
    report = validate(open_table(FRAME), [RowCount(low=1)])
    assert require(report) is report
    assert report.results[0].message == "number of rows at least 1: there are 4"


@settings(max_examples=30)
@given(
    values=st.lists(st.none() | st.integers(-5, 5), max_size=30),
    cut=st.integers(0, 30),
)
def test_a_stream_fares_as_the_whole_and_as_a_plain_look(
    values: list[int | None], cut: int
) -> None:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    expectations: list[Expectation] = [
        InRange(column="x", low=-2, high=2),
        NotNull(column="x", max_ratio=0.1),
        IsUnique(columns=["x"]),
        OneOf(column="x", values=[0, 1]),
    ]
    whole = validate(frame, expectations)
    assert validate([frame[:cut], frame[cut:]], expectations) == whole
    present = [value for value in values if value is not None]
    assert [result.failed_rows for result in whole.results] == [
        sum(not -2 <= value <= 2 for value in present),
        len(values) - len(present),
        len(values) - len(set(values)),
        sum(value not in {0, 1} for value in present),
    ]
