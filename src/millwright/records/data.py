"""Datasets, their versions, and what is expected of them."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import ActorId, DatasetId, DatasetVersionId
from millwright.records.schema import ColumnKind, TableSchema


class Dataset(Struct, frozen=True, kw_only=True):
    """A named series of versions."""

    id: DatasetId
    name: str
    created_us: int
    versions: int
    """How many versions there are; the newest is `v<versions>`."""


class DatasetVersion(Struct, frozen=True, kw_only=True):
    """Bytes that never change, known by their digest."""

    id: DatasetVersionId
    name: str
    version: int
    digest: Digest
    format: str
    """`csv`, `parquet` or `arrow` (what a data frame is kept as)."""
    size_bytes: int
    row_count: int
    schema: TableSchema
    profile_digest: Digest
    source: str
    """Where it came from, as the user gave it: a file's name or `data frame`."""
    actor: ActorId
    created_us: int


class HasType(Struct, frozen=True, kw_only=True, tag="type"):
    """Every value of `column` is of `kind`."""

    column: str
    kind: ColumnKind


class InRange(Struct, frozen=True, kw_only=True, tag="range"):
    """Every value present in `column` lies in [low, high]; None leaves a side open."""

    column: str
    low: float | None = None
    high: float | None = None


class NotNull(Struct, frozen=True, kw_only=True, tag="not_null"):
    """At most `max_ratio` of `column` is missing."""

    column: str
    max_ratio: float = 0.0


class IsUnique(Struct, frozen=True, kw_only=True, tag="unique"):
    """No two rows share the same values in `columns`."""

    columns: list[str]


class OneOf(Struct, frozen=True, kw_only=True, tag="one_of"):
    """Every value present in `column` is one of `values`."""

    column: str
    values: list[str | int | float | bool]


class RowCount(Struct, frozen=True, kw_only=True, tag="row_count"):
    """There are between `low` and `high` rows; None leaves a side open."""

    low: int | None = None
    high: int | None = None


Expectation: TypeAlias = HasType | InRange | NotNull | IsUnique | OneOf | RowCount


class ExpectationResult(Struct, frozen=True, kw_only=True):
    """How one expectation fared."""

    expectation: Expectation
    passed: bool
    checked_rows: int
    failed_rows: int
    examples: list[str]
    """At most five offending rows, as `row 17: value 'x'`, rows counted from 0."""
    message: str


class ValidationReport(Struct, frozen=True, kw_only=True):
    """How a table fared against its expectations."""

    passed: bool
    row_count: int
    results: list[ExpectationResult]
