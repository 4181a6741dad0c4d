"""The SQL that finds experiments, logged models, models and versions by filter and order.

Of these there are thousands, not millions: every row of the scope is held against the filter.
Runs have a search of their own (`run_search`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from millwright.metadata.connection import Value
from millwright.metadata.database import Reader
from millwright.metadata.filters import Clause, Order
from millwright.metadata.paging import Cursor, Term, behind, order_by
from millwright.metadata.parameters import in_list


@dataclass(frozen=True, slots=True)
class Spelled:
    """How an attribute is spelled in SQL."""

    sql: str
    nullable: bool = False
    is_number: bool = False
    order: str | None = None
    """What to order by instead."""
    stored: Callable[[str], str] | None = None
    """How a text that is compared whole is spelled in the table."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how what is named there is spelled."""

    tables: str
    """With a table or alias whose `pk` and `id` are those of what is found."""
    alias: str
    conditions: Sequence[str]
    given: Mapping[str, Value]
    attributes: Mapping[str, Spelled]
    children: Mapping[str, str]
    """Entity -> FROM … WHERE of its rows, `c`, that belong to the row at hand and have `:key`."""
    last: Sequence[Term]
    """What orders rows that are otherwise alike; the last of it is unique."""


def find(
    tx: Reader,
    scope: Scope,
    clauses: Sequence[Clause],
    order: Sequence[Order],
    *,
    limit: int,
    after: Cursor | None,
) -> tuple[list[int], Cursor | None]:
    """Return the keys of a page of rows, and the cursor to read on by."""
    given = dict(scope.given)
    conditions = list(scope.conditions)
    conditions += [_condition(tx, scope, clause, given) for clause in clauses]
    named = {(one.field.entity, one.field.key) for one in order}
    terms = [term for one in order for term in _terms(scope, one, given)]
    terms += [
        (sql, down)
        for sql, down in scope.last
        if not any(
            entity == "attribute"
            and sql in {scope.attributes[key].sql, scope.attributes[key].order}
            for entity, key in named
        )
    ]
    if after is not None:
        condition, more = behind(terms, after, seeks=False)
        conditions.append(condition)
        given |= more
    selected = ", ".join([f"{scope.alias}.pk", *(sql for sql, _ in terms)])
    rows = tx.raw(
        f"SELECT {selected} FROM {scope.tables} WHERE {' AND '.join(conditions) or 'TRUE'} "
        f"ORDER BY {order_by(terms)} LIMIT {int(limit) + 1}",
        **given,
    )
    cursor = cast("Cursor", list(rows[limit - 1][1:])) if len(rows) > limit else None
    return [cast("int", row[0]) for row in rows[:limit]], cursor


def _condition(tx: Reader, scope: Scope, clause: Clause, given: dict[str, Value]) -> str:
    if clause.field.entity == "attribute":
        spelled = scope.attributes[clause.field.key]
        return _compare(tx, spelled.sql, _as_stored(clause, spelled), given)
    inner = _keyed(scope.children[clause.field.entity], clause.field.key, given)
    if clause.op == "IS NULL":
        return f"NOT EXISTS (SELECT 1 {inner})"
    if clause.op == "IS NOT NULL":
        return f"EXISTS (SELECT 1 {inner})"
    compared = _compare(tx, "c.value", clause, given)
    if clause.field.entity == "metric":
        unequal = clause.op == "!="
        compared = f"({compared} OR c.nan = 1)" if unequal else f"(c.nan = 0 AND {compared})"
    return f"EXISTS (SELECT 1 {inner} AND {compared})"


def _as_stored(clause: Clause, spelled: Spelled) -> Clause:
    if spelled.stored is None or clause.op in {"LIKE", "ILIKE"}:
        return clause
    if isinstance(clause.value, tuple):
        return replace(clause, value=tuple(spelled.stored(one) for one in clause.value))
    return replace(clause, value=spelled.stored(str(clause.value)))


def _keyed(rows: str, key: str, given: dict[str, Value]) -> str:
    name = f"key{len(given)}"
    given[name] = key
    return rows.replace(":key", f":{name}")


def _compare(tx: Reader, column: str, clause: Clause, given: dict[str, Value]) -> str:
    name = f"value{len(given)}"
    if isinstance(clause.value, tuple):
        fragment, more = in_list(name, list(clause.value))
        given |= more
        return f"{column} {clause.op} {fragment}"
    given[name] = clause.value
    if clause.op in {"LIKE", "ILIKE"}:
        return tx.dialect.like(column, f":{name}", ignore_case=clause.op == "ILIKE")
    return f"{column} {clause.op} :{name}"


def _terms(scope: Scope, order: Order, given: dict[str, Value]) -> list[Term]:
    if order.field.entity == "attribute":
        spelled = scope.attributes[order.field.key]
        if not spelled.nullable:
            return [(spelled.order or spelled.sql, order.descending)]
        zero = "0" if spelled.is_number else "''"
        return [
            (f"CASE WHEN {spelled.sql} IS NULL THEN 1 ELSE 0 END", False),
            (f"coalesce({spelled.sql}, {zero})", order.descending),
        ]
    inner = _keyed(order.rows or scope.children[order.field.entity], order.field.key, given)
    if order.field.entity == "metric":
        newest = f"{inner} ORDER BY c.time_us DESC, c.step DESC LIMIT 1"
        return [
            (f"coalesce((SELECT c.nan {newest}), 2)", False),
            (f"coalesce((SELECT c.value {newest}), 0.0)", order.descending),
        ]
    return [
        (f"CASE WHEN EXISTS (SELECT 1 {inner}) THEN 0 ELSE 1 END", False),
        (f"coalesce((SELECT c.value {inner}), '')", order.descending),
    ]
