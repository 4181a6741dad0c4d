"""A table held against its expectations, batch by batch.

Memory is bounded by the batch, but for uniqueness: that keeps the columns it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

import polars as pl

from millwright.core.errors import Refused
from millwright.core.refs import did_you_mean
from millwright.data.batches import Table
from millwright.data.expectations import describe
from millwright.data.kinds import from_text, normalise
from millwright.records.data import (
    Expectation,
    ExpectationResult,
    HasType,
    InRange,
    IsUnique,
    NotNull,
    OneOf,
    RowCount,
    ValidationReport,
)
from millwright.records.schema import ColumnKind

MAX_EXAMPLES = 5
MAX_VALUE_CHARS = 80
_INTEGERS_END = 1 << 63

Rows: TypeAlias = "Table | pl.DataFrame | Iterable[pl.DataFrame]"


def validate(rows: Rows, expectations: Sequence[Expectation]) -> ValidationReport:
    """Return how a table, a frame or a stream of batches fares against `expectations`.

    An expectation about a column that is not there fails for every row. What is missing fails
    only `not_null`. Rows are counted from 0 over the whole stream.
    """
    checks = [_check_for(expectation) for expectation in expectations]
    row_count = 0
    for batch in _batches(rows):
        for check in checks:
            check.update(batch, row_count)
        row_count += batch.height
    results = [check.result(row_count) for check in checks]
    return ValidationReport(
        passed=all(result.passed for result in results), row_count=row_count, results=results
    )


def require(report: ValidationReport) -> ValidationReport:
    """Return a report that passed; raises Refused, saying what failed in how many rows, if not."""
    failed = [result for result in report.results if not result.passed]
    if not failed:
        return report
    lines = [
        result.message + "".join(f"\n  {example}" for example in result.examples)
        for result in failed
    ]
    raise Refused(
        f"{len(failed)} of {len(report.results)} expectations failed on {report.row_count} rows",
        why="\n".join(lines),
        fix="correct the data, or the expectation where it asks too much",
    )


def _batches(rows: Rows) -> Iterable[pl.DataFrame]:
    if isinstance(rows, Table):
        return rows.batches()
    if isinstance(rows, pl.DataFrame):
        rows = [rows]
    return (normalise(batch.lazy()).collect() for batch in rows)


class _Check(Protocol):
    def update(self, batch: pl.DataFrame, first_row: int, /) -> None: ...
    def result(self, row_count: int) -> ExpectationResult: ...


def _check_for(expectation: Expectation) -> _Check:
    match expectation:
        case HasType():
            return _ColumnCheck(
                expectation,
                column=expectation.column,
                wrong=lambda column: _not_of_kind(column, expectation.kind),
            )
        case InRange():
            return _ColumnCheck(
                expectation,
                column=expectation.column,
                wrong=lambda column: _out_of_range(column, expectation),
            )
        case OneOf():
            return _ColumnCheck(
                expectation,
                column=expectation.column,
                wrong=lambda column: ~column.is_in(_allowed(column, expectation)),
            )
        case NotNull():
            return _ColumnCheck(
                expectation,
                column=expectation.column,
                wrong=lambda column: column.is_null(),
                allowed_ratio=expectation.max_ratio,
            )
        case IsUnique():
            return _UniqueCheck(expectation)
        case RowCount():
            return _RowCountCheck(expectation)


@dataclass(slots=True)
class _ColumnCheck:
    """An expectation that looks at one value of one column at a time."""

    expectation: Expectation
    column: str
    wrong: Callable[[pl.Series], pl.Series]
    """Which values offend; null, as comparisons give it for what is missing, counts as no."""
    allowed_ratio: float = 0.0
    failed_rows: int = 0
    examples: list[str] = field(default_factory=list[str])
    absent: str = ""

    def update(self, batch: pl.DataFrame, first_row: int) -> None:
        if self.column not in batch.columns:
            self.absent = _no_column(self.column, batch.columns)
            return
        values = batch.get_column(self.column)
        places = self.wrong(values).fill_null(value=False).arg_true()
        self.failed_rows += len(places)
        for place in places.head(MAX_EXAMPLES - len(self.examples)).to_list():
            self.examples.append(_example(first_row + place, values[place]))

    def result(self, row_count: int) -> ExpectationResult:
        if self.absent:
            return _absent_result(self.expectation, row_count, self.absent)
        passed = self.failed_rows <= self.allowed_ratio * row_count
        return ExpectationResult(
            expectation=self.expectation,
            passed=passed,
            checked_rows=row_count,
            failed_rows=self.failed_rows,
            examples=self.examples,
            message=_message(self.expectation, self.failed_rows, row_count, passed=passed),
        )


@dataclass(slots=True)
class _UniqueCheck:
    """Rows that repeat the values of an earlier row; missing equals missing."""

    expectation: IsUnique
    kept: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    absent: str = ""

    def update(self, batch: pl.DataFrame, _first_row: int) -> None:
        for column in self.expectation.columns:
            if column not in batch.columns:
                self.absent = _no_column(column, batch.columns)
                return
        self.kept.append(batch.select(self.expectation.columns))

    def result(self, row_count: int) -> ExpectationResult:
        if self.absent:
            return _absent_result(self.expectation, row_count, self.absent)
        examples: list[str] = []
        failed_rows = 0
        if self.kept:
            keys = pl.concat(self.kept)
            places = (~keys.select(pl.struct(pl.all()).is_first_distinct()).to_series()).arg_true()
            failed_rows = len(places)
            examples += [
                _example(place, *keys.row(place)) for place in places.head(MAX_EXAMPLES).to_list()
            ]
        passed = failed_rows == 0
        return ExpectationResult(
            expectation=self.expectation,
            passed=passed,
            checked_rows=row_count,
            failed_rows=failed_rows,
            examples=examples,
            message=_message(self.expectation, failed_rows, row_count, passed=passed),
        )


@dataclass(slots=True)
class _RowCountCheck:
    """The one expectation that no single row can fail."""

    expectation: RowCount

    def update(self, _batch: pl.DataFrame, _first_row: int) -> None:
        pass

    def result(self, row_count: int) -> ExpectationResult:
        low, high = self.expectation.low, self.expectation.high
        passed = (low is None or row_count >= low) and (high is None or row_count <= high)
        return ExpectationResult(
            expectation=self.expectation,
            passed=passed,
            checked_rows=row_count,
            failed_rows=0,
            examples=[],
            message=f"{describe(self.expectation)}: there are {row_count}",
        )


def _not_of_kind(column: pl.Series, kind: ColumnKind) -> pl.Series:
    """Whole numbers are floats too, and every value can be read as text; nothing else widens."""
    if kind == "text":
        return _every(column, holds=False)
    if column.dtype == pl.String:
        fits = column.to_frame("text").select(from_text(pl.col("text"), kind)).to_series()
        return column.is_not_null() & fits.is_null()
    match kind:
        case "integer" if column.dtype == pl.Float64:
            return column != column.floor()
        case "integer":
            right = column.dtype == pl.Int64
        case "float":
            right = column.dtype.is_numeric()
        case "boolean":
            right = column.dtype == pl.Boolean
        case "timestamp":
            right = isinstance(column.dtype, pl.Datetime)
    return _every(column, holds=False) if right else column.is_not_null()


def _out_of_range(column: pl.Series, expectation: InRange) -> pl.Series:
    """Text that spells a number is taken as that number; any other text lies in no range."""
    if column.dtype == pl.String:
        numbers = column.to_frame("text").select(from_text(pl.col("text"), "float")).to_series()
    elif column.dtype.is_numeric():
        numbers = column
    else:
        return column.is_not_null()
    wrong = column.is_not_null() & numbers.is_null()
    if expectation.low is not None:
        wrong |= (numbers < expectation.low).fill_null(value=False)
    if expectation.high is not None:
        wrong |= (numbers > expectation.high).fill_null(value=False)
    return wrong


def _allowed(column: pl.Series, expectation: OneOf) -> pl.Series:
    """Return those of the values that a column of this type can hold: 1 is not True, nor '1'."""
    values = expectation.values
    if column.dtype == pl.String:
        return pl.Series([value for value in values if isinstance(value, str)], dtype=pl.String)
    if column.dtype == pl.Boolean:
        return pl.Series([value for value in values if isinstance(value, bool)], dtype=pl.Boolean)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if column.dtype == pl.Int64:
        whole = [int(v) for v in numbers if abs(v) < _INTEGERS_END and v == int(v)]
        return pl.Series(whole, dtype=pl.Int64)
    if column.dtype == pl.Float64:
        return pl.Series([float(v) for v in numbers], dtype=pl.Float64)
    return pl.Series([], dtype=column.dtype)


def _every(column: pl.Series, *, holds: bool) -> pl.Series:
    return pl.repeat(holds, len(column), dtype=pl.Boolean, eager=True)


def _message(expectation: Expectation, failed_rows: int, row_count: int, *, passed: bool) -> str:
    if passed and failed_rows == 0:
        return f"{describe(expectation)}: all {row_count} rows"
    verb = "are missing" if isinstance(expectation, NotNull) else "fail"
    if isinstance(expectation, IsUnique):
        verb = "repeat an earlier one"
    return f"{describe(expectation)}: {failed_rows} of {row_count} rows {verb}"


def _no_column(column: str, known: Sequence[str]) -> str:
    near = did_you_mean(column, known)
    return f"there is no column {column!r}" + (f"; {near}" if near else "")


def _absent_result(expectation: Expectation, row_count: int, why: str) -> ExpectationResult:
    return ExpectationResult(
        expectation=expectation,
        passed=False,
        checked_rows=row_count,
        failed_rows=row_count,
        examples=[],
        message=f"{describe(expectation)}: {why}",
    )


def _example(row: int, *values: object) -> str:
    shown = ", ".join(_shown(value) for value in values)
    if len(shown) > MAX_VALUE_CHARS:
        shown = shown[: MAX_VALUE_CHARS - 1] + "…"
    return f"row {row}: value {shown}"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return repr(value)
