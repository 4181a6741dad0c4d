"""The five kinds of column, as Polars types and as text: one meaning for a value in any file.

A batch holds integers of 64 bits, floats of 64 bits, booleans, texts and UTC timestamps to the
microsecond; a value that is missing is null, and so is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from millwright.core.errors import Invalid
from millwright.records.schema import Column, ColumnKind, TableSchema

TYPES: Mapping[ColumnKind, pl.DataType] = {
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
}
"""Kind -> the one type in which its values travel."""

SAMPLE_ROWS = 1000
_NARROWEST_FIRST: tuple[ColumnKind, ...] = ("boolean", "integer", "float", "timestamp")

# What a number would lose: a postcode its leading zero, a long account number its last digits.
_NO_INTEGER = r"^[+-]?0\d+$"
_NO_FLOAT = r"^[+-]?(?:0\d+|\d{19,})$"

_TIME = r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?)?$"


def kind_of(name: str, dtype: pl.DataType) -> ColumnKind:
    """Return the kind a column of type `dtype` has; raises Invalid when it has none."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if dtype == pl.Boolean:
        return "boolean"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        return "text"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "timestamp"
    raise Invalid(
        f"column {name!r} holds {dtype}, which no column of a dataset can",
        why=f"the kinds are {', '.join(TYPES)}",
        fix="leave the column out, or write it as text or numbers",
    )


def normal(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the column in the type of its kind: NaN becomes missing, a time without zone is UTC.

    Raises Invalid when the column has no kind.
    """
    kind, column = kind_of(name, dtype), pl.col(name)
    if kind == "float":
        return column.cast(pl.Float64).fill_nan(None)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if kind == "timestamp":
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return column.cast(TYPES[kind])


def normalise(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the frame with every column in the type of its kind; raises Invalid as `normal`."""
    return frame.select(normal(name, dtype) for name, dtype in frame.collect_schema().items())


def schema_of(frame: pl.LazyFrame) -> tuple[TableSchema, int]:
    """Return the schema and the row count of a frame whose types are normal, in one pass."""
    types = frame.collect_schema()
    found = _counts(
        frame, {f"{at}": pl.col(name).null_count() for at, name in enumerate(types.names())}
    )
    columns = [
        Column(name=name, kind=kind_of(name, dtype), nullable=found[f"{at}"] > 0)
        for at, (name, dtype) in enumerate(types.items())
    ]
    return TableSchema(columns=columns), found["rows"]


def present(text: pl.Expr) -> pl.Expr:
    """Return a column of a CSV with its empty fields missing; nothing else stands for missing."""
    return pl.when(text != "").then(text)


def from_text(text: pl.Expr, kind: ColumnKind) -> pl.Expr:
    """Return the values that a text column spells in `kind`; what it does not spell is null.

    Numbers are decimal; `nan`, `inf` and what overflows to infinity are none. Booleans are
    `true` and `false` in any case. Timestamps are ISO 8601 dates or times, UTC without an offset.
    """
    if kind == "text":
        return text
    if kind == "integer":
        return text.cast(pl.Int64, strict=False)
    if kind == "float":
        value = text.cast(pl.Float64, strict=False)
        return pl.when(value.is_finite()).then(value)
    if kind == "boolean":
        lower = text.str.to_lowercase()
        return pl.when(lower == "true").then(True).when(lower == "false").then(False)
    return _timestamps(text)


def _timestamps(text: pl.Expr) -> pl.Expr:
    iso = pl.when(text.str.contains(_TIME)).then(text.str.replace(" ", "T", literal=True))
    naive = [
        iso.str.to_datetime(shape, time_unit="us", strict=False).dt.replace_time_zone("UTC")
        for shape in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    ]
    date = iso.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    offset = iso.str.replace("Z", "+00:00", literal=True).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
    )
    return pl.coalesce(*naive, date.dt.replace_time_zone("UTC"), offset)


def infer_text(frame: pl.LazyFrame) -> TableSchema:
    """Return the narrowest kind that holds every value of each text column, over all rows.

    A column is text when a number would lose something of it (a leading zero, digits beyond 64
    bits), and when it has no value at all.
    """
    names = frame.collect_schema().names()
    # A thousand rows rule out most kinds, so that the pass over all of them tries few.
    tried = dict.fromkeys(names, _NARROWEST_FIRST)
    sampled = _fitting(frame.head(SAMPLE_ROWS), tried)
    fitting = _fitting(frame, {name: found.kinds for name, found in sampled.items()})
    return TableSchema(
        columns=[
            Column(
                name=name,
                kind=found.kinds[0] if found.kinds and found.present else "text",
                nullable=found.present < found.rows,
            )
            for name, found in fitting.items()
        ]
    )


@dataclass(frozen=True, slots=True)
class _Fitting:
    """What was seen of a text column."""

    kinds: tuple[ColumnKind, ...]
    """Those that hold every value; without a value, all that were tried."""
    present: int
    rows: int


def _fitting(frame: pl.LazyFrame, tried: Mapping[str, Sequence[ColumnKind]]) -> dict[str, _Fitting]:
    asked: dict[str, pl.Expr] = {}
    for at, (name, kinds) in enumerate(tried.items()):
        asked[f"{at}"] = pl.col(name).count()
        for kind in kinds:
            asked[f"{at} {kind}"] = _kept(pl.col(name), kind).count()
    found = _counts(frame, asked)
    return {
        name: _Fitting(
            kinds=tuple(kind for kind in kinds if found[f"{at} {kind}"] == found[f"{at}"]),
            present=found[f"{at}"],
            rows=found["rows"],
        )
        for at, (name, kinds) in enumerate(tried.items())
    }


def _kept(text: pl.Expr, kind: ColumnKind) -> pl.Expr:
    value = from_text(text, kind)
    if kind == "integer":
        return pl.when(~text.str.contains(_NO_INTEGER)).then(value)
    if kind == "float":
        return pl.when(~text.str.contains(_NO_FLOAT)).then(value)
    return value


def _counts(frame: pl.LazyFrame, asked: Mapping[str, pl.Expr]) -> dict[str, int]:
    exprs = [expr.alias(alias) for alias, expr in asked.items()]
    row = frame.select(pl.len().alias("rows"), *exprs).collect(engine="streaming").row(0)
    return dict(zip(("rows", *asked), (int(value) for value in row), strict=True))
