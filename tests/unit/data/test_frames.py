from __future__ import annotations

import importlib
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.data.frames import arrow_bytes, from_pandas
from millwright.data.kinds import normalise

# pandas has no types of its own.
pd = importlib.import_module("pandas")


def test_a_pandas_frame_comes_over_column_by_column() -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [1.5, np.nan],
            "b": [True, False],
            "s": ["a", None],
            "c": pd.Categorical(["u", None]),
            "n": pd.array([1, None], dtype="Int64"),
            "t": pd.to_datetime(["2020-01-01", None]),
            "z": pd.to_datetime(["2020-01-01", "2020-06-01"]).tz_localize("Europe/Oslo"),
        },
        index=[7, 9],
    )
    assert normalise(from_pandas(frame).lazy()).collect().to_dicts() == [
        {
            "i": 1,
            "f": 1.5,
            "b": True,
            "s": "a",
            "c": "u",
            "n": 1,
            "t": datetime(2020, 1, 1, tzinfo=UTC),
            "z": datetime(2019, 12, 31, 23, tzinfo=UTC),
        },
        {
            "i": 2,
            "f": None,
            "b": False,
            "s": None,
            "c": None,
            "n": None,
            "t": None,
            "z": datetime(2020, 5, 31, 22, tzinfo=UTC),
        },
    ]


def test_pandas_columns_of_one_name_are_named() -> None:
    with pytest.raises(Invalid, match="names columns twice: 'a'"):
        from_pandas(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]))


def test_a_pandas_column_of_mixed_values_is_named() -> None:
    with pytest.raises(Invalid, match="column 'a' of the data frame mixes int, str"):
        from_pandas(pd.DataFrame({"a": [1, "x"]}))


VALUES = st.fixed_dictionaries(
    {
        "f": st.none() | st.floats(allow_nan=False),
        "s": st.none() | st.text(max_size=20),
        "i": st.none() | st.integers(-9, 9),
        "b": st.none() | st.booleans(),
    }
)
SCHEMA = pl.Schema({"f": pl.Float64(), "s": pl.String(), "i": pl.Int64(), "b": pl.Boolean()})


@settings(max_examples=40)
@given(rows=st.lists(VALUES, min_size=1, max_size=12), cut=st.integers(0, 12))
def test_equal_frames_have_equal_bytes_however_they_were_made(
    rows: list[dict[str, object]], cut: int
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    other = pl.DataFrame(
        [{"f": 1.0, "s": "something longer than twelve", "i": 1, "b": True}], schema=SCHEMA
    )
    nan_for_missing = frame.with_columns(pl.col("f").fill_null(float("nan")).fill_nan(None))
    for made in (
        pl.concat([frame[:cut], frame[cut:]]),
        pl.concat([other, frame])[1:],
        pl.concat([frame, other]).with_row_index("at").filter(pl.col("at") < len(rows)).drop("at"),
        frame.reverse().reverse(),
        nan_for_missing,
    ):
        assert arrow_bytes(made.lazy()) == arrow_bytes(frame.lazy())
    assert pl.read_ipc(arrow_bytes(frame.lazy())).equals(frame)


def test_bits_of_a_longer_mask_do_not_reach_the_bytes() -> None:
    flags = pl.DataFrame({"b": [True, True, None, True]})
    short = pl.DataFrame({"b": [True]})
    assert arrow_bytes(flags[3:].lazy()) == arrow_bytes(short.lazy())
    assert arrow_bytes(flags[1:2].lazy()) == arrow_bytes(short.lazy())


def test_a_missing_value_is_not_a_blank_one() -> None:
    missing = pl.LazyFrame({"s": [None], "i": [None]}, schema={"s": pl.String, "i": pl.Int64})
    assert arrow_bytes(missing) != arrow_bytes(pl.LazyFrame({"s": [""], "i": [0]}))
