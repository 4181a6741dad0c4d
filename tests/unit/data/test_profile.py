from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.data.batches import open_table
from millwright.data.profile import profile_batches
from millwright.stats.profile import NumericProfile, TableProfile, TextProfile, reference_bins

START = datetime(1970, 1, 1, tzinfo=UTC)


def profiled(frame: pl.DataFrame) -> TableProfile:
    table = open_table(frame)
    return profile_batches(table.batches(), table.schema)


def test_every_kind_of_column_is_profiled() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, 2, None],
            "x": [0.5, float("nan"), 1.5],
            "b": [True, True, False],
            "t": [START, None, START + timedelta(seconds=1)],
            "times": ["a", "a", None],
        }
    )
    profile = profiled(frame)
    assert profile.rows == 3
    numbers = {
        name: (column.moments.low, column.moments.high, column.moments.count, column.missing)
        for name, column in profile.columns.items()
        if isinstance(column, NumericProfile)
    }
    assert numbers == {
        "n": (1, 2, 2, 1),
        "x": (0.5, 1.5, 2, 1),
        "b": (0, 1, 3, 0),
        "t": (0, 1_000_000, 2, 1),
    }
    text = profile.columns["times"]
    assert isinstance(text, TextProfile)
    assert (text.count, text.missing, text.frequent.top(3)) == (2, 1, [("a", 2)])


def test_the_same_rows_give_the_same_bytes() -> None:
    rng = np.random.default_rng(5)
    words = [f"w{at}" for at in rng.integers(0, 3000, 70_000)]
    frame = pl.DataFrame({"x": rng.normal(size=70_000), "w": words})
    assert profiled(frame).to_bytes() == profiled(frame.clone()).to_bytes()


def test_rows_are_counted_in_the_bins_of_a_reference() -> None:
    frame = pl.DataFrame({"x": [float(at) for at in range(100)], "w": ["a", "b"] * 50})
    table = open_table(frame)
    bins = reference_bins(profiled(frame))
    counted = profile_batches(table.batches(), table.schema, bins=bins)
    x, w = counted.columns["x"], counted.columns["w"]
    assert isinstance(x, NumericProfile)
    assert isinstance(w, TextProfile)
    assert x.histogram is not None
    assert w.levels is not None
    assert x.rows == w.rows == 100


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(-99, 99), st.none() | st.text(max_size=3)), min_size=1
    )
)
def test_counts_are_those_of_a_plain_look(rows: list[tuple[int | None, str | None]]) -> None:
    profile = profiled(pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row"))
    assert profile.rows == len(rows)
    assert profile.columns["n"].missing == sum(n is None for n, _ in rows)
    assert profile.columns["s"].missing == sum(s is None for _, s in rows)
