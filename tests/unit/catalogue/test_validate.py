from __future__ import annotations

import polars as pl
import pytest

from fixtures.steps import Stage
from millwright.catalogue.validate import validate
from millwright.core.errors import Invalid, Refused

EXPECTED: list[dict[str, object]] = [
    {"type": "range", "column": "height", "low": 100, "high": 250},
    {"type": "unique", "columns": ["id"]},
    {"type": "not_null", "column": "age", "max_ratio": 0.1},
]


def test_rows_as_expected_pass_unchanged(stage: Stage, people: pl.DataFrame) -> None:
    assert validate(people, EXPECTED, "says", stage.ctx) is people
    assert stage.heard.metrics == {"expectations": 3, "expectations_failed": 0, "rows": 60}


def test_others_are_refused_with_counts_and_examples_that_were_logged(
    stage: Stage, people: pl.DataFrame
) -> None:
    low: dict[str, object] = {"type": "range", "column": "height", "high": 200}
    with pytest.raises(Refused) as caught:
        validate(people, [*EXPECTED, low], "says", stage.ctx)
    assert "9 of 60 rows" in str(caught.value)
    assert "row 51" in str(caught.value)
    assert stage.heard.metrics["expectations_failed"] == 1


def test_a_target_that_is_not_there_is_named_with_the_nearest(
    stage: Stage, people: pl.DataFrame
) -> None:
    with pytest.raises(Invalid, match="no column 'say' to predict") as caught:
        validate(people, EXPECTED, "say", stage.ctx)
    assert caught.value.fix == "did you mean 'says'?"


def test_a_target_without_two_values_leaves_nothing_to_tell_apart(
    stage: Stage, people: pl.DataFrame
) -> None:
    for value in ("yes", None):
        flat = people.with_columns(pl.lit(value, dtype=pl.String).alias("says"))
        with pytest.raises(Invalid, match="'says' has fewer than two values"):
            validate(flat, EXPECTED, "says", stage.ctx)


def test_an_expectation_that_is_none_is_invalid(stage: Stage, people: pl.DataFrame) -> None:
    with pytest.raises(Invalid):
        validate(people, [{"type": "rnage", "column": "height"}], "says", stage.ctx)
