from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from fixtures.steps import Stage
from millwright.catalogue.clean import clean


def test_text_is_trimmed_rows_without_a_target_and_repeated_ones_left_out(stage: Stage) -> None:
    rows = pl.DataFrame(
        {
            "id": ["a", " b ", "c", "a ", "d"],
            "x": [1.0, 2.0, 3.0, 1.0, None],
            "y": ["yes", "no", None, "yes", "no"],
        }
    )
    wanted = pl.DataFrame({"id": ["a", "b", "d"], "x": [1.0, 2.0, None], "y": ["yes", "no", "no"]})
    assert_frame_equal(clean(rows, "y", stage.ctx), wanted)
    assert stage.heard.metrics == {
        "rows_before": 5,
        "rows_without_target": 1,
        "rows_repeated": 1,
        "rows_after": 3,
    }


def test_rows_that_differ_in_their_key_alone_both_stay(stage: Stage) -> None:
    rows = pl.DataFrame({"id": ["a", "b"], "x": [1, 1], "y": [0, 0]})
    assert clean(rows, "y", stage.ctx).height == 2


def test_clean_rows_stay_as_they_are(stage: Stage, people: pl.DataFrame) -> None:
    assert_frame_equal(clean(people, "says", stage.ctx), people)
