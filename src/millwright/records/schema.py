"""Columns and their kinds: what a dataset holds and what a model takes and gives."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

ColumnKind: TypeAlias = Literal["integer", "float", "boolean", "text", "timestamp"]


class Column(Struct, frozen=True, kw_only=True):
    """One column of a table."""

    name: str
    kind: ColumnKind
    nullable: bool = False


class TableSchema(Struct, frozen=True, kw_only=True):
    """The columns of a table, in their order; no two share a name."""

    columns: list[Column]


class Signature(Struct, frozen=True, kw_only=True):
    """What a model takes and what it answers, column by column."""

    inputs: list[Column]
    outputs: list[Column]
