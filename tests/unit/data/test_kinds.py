from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.data.kinds import SAMPLE_ROWS, TYPES, from_text, infer_text, normalise, schema_of
from millwright.records.schema import Column, ColumnKind, TableSchema


def inferred(values: list[str | None]) -> Column:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.String)})
    return infer_text(frame.lazy()).columns[0]


def read(values: list[str], kind: ColumnKind) -> list[object]:
    return pl.DataFrame({"x": values}).select(from_text(pl.col("x"), kind)).to_series().to_list()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "2.5", "1e3"], "float"),
        (["true", "False"], "boolean"),
        (["0", "1"], "integer"),
        (["2013-01-01", "2014-05-06"], "timestamp"),
        (["2013-01-01 10:20", "2013-01-01T10:20:30.5Z"], "timestamp"),
        (["1", "?"], "text"),
        (["1", "true"], "text"),
        (["1", "NA"], "text"),
        (["1.5", "nan"], "text"),
        (["1.5", "inf"], "text"),
        (["1.5", "1e999"], "text"),
        (["1", " 2"], "text"),
        (["02139", "10001"], "text"),
        (["12345678901234567890", "1"], "text"),
        (["9223372036854775807"], "integer"),
        (["2013-02-30"], "text"),
        (["01/02/2013"], "text"),
        ([None, None], "text"),
    ],
)
def test_a_text_column_has_the_narrowest_kind_that_loses_nothing(
    values: list[str | None], kind: ColumnKind
) -> None:
    assert inferred(values) == Column(name="x", kind=kind, nullable=None in values)


def test_what_comes_after_the_sample_counts_as_much() -> None:
    late = [*["1"] * SAMPLE_ROWS, "garbage"]
    assert inferred([*late]).kind == "text"
    assert inferred([*[None] * SAMPLE_ROWS, "7"]) == Column(name="x", kind="integer", nullable=True)


def test_times_are_read_as_utc() -> None:
    assert read(
        ["2013-01-01", "2013-01-01 10:20", "2013-01-01T10:20:30.25+02:00", "2013-01-01T10Z"],
        "timestamp",
    ) == [
        datetime(2013, 1, 1, tzinfo=UTC),
        datetime(2013, 1, 1, 10, 20, tzinfo=UTC),
        datetime(2013, 1, 1, 8, 20, 30, 250_000, tzinfo=UTC),
        None,
    ]


@settings(max_examples=30)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_survive_their_text(values: list[int]) -> None:
    texts = [str(value) for value in values]
    assert inferred([*texts]).kind == "integer"
    assert read(texts, "integer") == values


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_survive_their_text(values: list[float]) -> None:
    assert read([repr(value) for value in values], "float") == values


def test_every_type_of_a_frame_comes_into_that_of_its_kind() -> None:
    noon = datetime.fromisoformat("2020-01-01T12:00")
    frame = pl.DataFrame(
        {
            "small": pl.Series([1, None], dtype=pl.Int8),
            "single": pl.Series([1.5, float("nan")], dtype=pl.Float32),
            "flag": [True, False],
            "category": pl.Series(["a", "b"], dtype=pl.Categorical),
            "nothing": [None, None],
            "day": [date(2020, 1, 1), None],
            "local": pl.Series([noon, None]).dt.replace_time_zone("Europe/Oslo"),
        }
    )
    normal = normalise(frame.lazy())
    assert normal.collect().rows() == [
        (
            1,
            1.5,
            True,
            "a",
            None,
            datetime(2020, 1, 1, tzinfo=UTC),
            datetime(2020, 1, 1, 11, tzinfo=UTC),
        ),
        (None, None, False, "b", None, None, None),
    ]
    schema, row_count = schema_of(normal)
    assert row_count == 2
    assert schema == TableSchema(
        columns=[
            Column(name="small", kind="integer", nullable=True),
            Column(name="single", kind="float", nullable=True),
            Column(name="flag", kind="boolean"),
            Column(name="category", kind="text"),
            Column(name="nothing", kind="text", nullable=True),
            Column(name="day", kind="timestamp", nullable=True),
            Column(name="local", kind="timestamp", nullable=True),
        ]
    )
    assert list(normal.collect_schema().dtypes()) == [TYPES[c.kind] for c in schema.columns]


def test_a_column_that_has_no_kind_is_named() -> None:
    with pytest.raises(Invalid, match=r"column 'x' holds List\(Int64\)"):
        normalise(pl.LazyFrame({"x": [[1], [2]]}))
