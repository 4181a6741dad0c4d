"""The SQL that finds runs: one statement that stops as soon as the page is full.

Which table leads decides everything. Ordered by a metric, the index over its newest values is
walked from its end and each run on it is held against the other comparisons; runs whose value is
not a number, and runs without one, follow in stages of their own. Otherwise the most selective
comparison leads when few runs fit it, counted up to a bound; else the runs, newest first.

Pages are read on from the last row's order values, never by counting rows off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal, TypeAlias, cast

from millwright.metadata.connection import Value
from millwright.metadata.database import Reader
from millwright.metadata.filters import Clause, Field, Order
from millwright.metadata.paging import Cursor, Term, behind, foreign_token, order_by
from millwright.metadata.parameters import in_list
from millwright.metadata.tables.telemetry import Keys

View: TypeAlias = Literal["active", "deleted", "all"]

FEW = 20_000
"""Up to so many runs are sorted rather than walked in order."""
LEAST = 500
"""So few are sorted in any case."""
SHORT_CHARS = 100
"""Texts up to this length stand in the index by value (revision 0004)."""

_STAGES = ("o.nan = 0", "o.nan = 1", None)


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one attribute of a run is spelled in SQL."""

    sql: str
    """Over `run`; never NULL where `nullable` is False."""
    nullable: bool = False
    is_number: bool = False
    order: str | None = None
    """What to order by instead, where an index knows it better."""
    stored: Callable[[str], str] | None = None
    """How a text that is compared is spelled in the table; such a one is compared whole."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    experiments: Sequence[int]
    """Keys of the experiments; empty for all of the project."""
    project: int
    clauses: Sequence[Clause]
    order: Sequence[Order]
    view: View
    attributes: Mapping[str, Attribute]
    parent_pk: int | None = None
    kinds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One page: keys of runs in order, and where to read on.

    The cursor holds the stage, then the order values of the last row.
    """

    run_pks: list[int]
    cursor: Cursor | None


def find_runs(tx: Reader, keys: Keys, query: Query, *, limit: int, after: Cursor | None) -> Found:
    """Return a page of runs; `after` is the cursor of the page before.

    Raises FilterError when a comparison cannot be made, or the cursor belongs to another search.
    """
    statement = _Statement(tx, keys, query, limit=limit)
    if statement.matches_nothing:
        return Found([], None)
    stages = statement.stages()
    stage = 0
    if after is not None:
        if not after or not isinstance(after[0], int) or not 0 <= after[0] < len(stages):
            raise foreign_token()
        stage = after[0]
    rows: list[tuple[object, ...]] = []
    cursor: Cursor | None = None
    for number in range(stage, len(stages)):
        wanted = limit + 1 - len(rows)
        begins = after[1:] if after is not None and number == stage else None
        found = statement.page(stages[number], limit=wanted, after=begins)
        if len(rows) + len(found) > limit:
            kept = found[: limit - len(rows)]
            rows += kept
            last = kept[-1] if kept else None
            # Without a last row the page ended exactly with the stage before.
            behind = cast("Cursor", [] if last is None else list(last[1:]))
            cursor = [number, *behind]
            break
        rows += found
    return Found([int(str(row[0])) for row in rows], cursor)


def count_runs(tx: Reader, keys: Keys, query: Query) -> int:
    """Return how many runs fit."""
    statement = _Statement(tx, keys, query, limit=FEW)
    return 0 if statement.matches_nothing else statement.count()


@dataclass(frozen=True, slots=True)
class _Stage:
    tables: str
    conditions: tuple[str, ...]
    terms: tuple[Term, ...]
    """Order: an expression that is never NULL, and whether it descends."""
    seeks: bool
    """Whether the first term is that of an index, which is told where to begin."""


class _Statement:
    """Puts the parts together; every value it is given becomes a parameter."""

    def __init__(self, tx: Reader, keys: Keys, query: Query, *, limit: int) -> None:
        self._tx = tx
        self._query = query
        self._limit = limit
        self._given: dict[str, Value] = {}
        named = [clause.field for clause in query.clauses] + [one.field for one in query.order]
        self._keys = keys.find(
            tx, (one.key for one in named if one.entity in {"metric", "param", "tag"})
        )
        self._conditions: list[str] = []
        self._selective: list[tuple[str, str]] = []
        """Tables with the `run_pk` of runs that fit a comparison, and its condition."""
        self.matches_nothing = False
        self._scope()
        for clause in query.clauses:
            self._add(clause)

    def stages(self) -> list[_Stage]:
        """Return the parts of the answer in their order."""
        query = self._query
        first = query.order[0] if query.order else None
        rest = tuple(self._term(one) for one in query.order[1:])
        tail = (*(term for terms in rest for term in terms), *self._last_terms())
        if first is not None and first.field.entity == "metric":
            return self._metric_stages(first, tail)
        tables, narrowed = self._lead()
        head = () if first is None else self._term(first)
        seeks = self._newest_first() and not narrowed
        return [_Stage(tables, tuple(self._conditions), (*head, *tail), seeks=seeks)]

    def page(self, stage: _Stage, *, limit: int, after: Cursor | None) -> list[tuple[object, ...]]:
        """Return at most `limit` rows: the run's key, then its order values."""
        conditions = list(stage.conditions)
        given = dict(self._given)
        if after:
            condition, more = behind(stage.terms, after, seeks=stage.seeks)
            conditions.append(condition)
            given |= more
        selected = ", ".join(["run.pk", *(sql for sql, _ in stage.terms)])
        where = " AND ".join(conditions) or "TRUE"
        # The number is ours; spelled out, so that a planner sees how soon it may stop.
        return self._tx.raw(
            f"SELECT {selected} FROM {stage.tables} WHERE {where} ORDER BY {order_by(stage.terms)} "
            f"LIMIT {int(limit)}",
            **given,
        )

    def count(self) -> int:
        """Return how many runs fit."""
        tables, _ = self._lead()
        where = " AND ".join(self._conditions)
        sql = f"SELECT count(*) FROM {tables} WHERE {where}"
        return self._tx.value(int, sql, **self._given) or 0

    def _scope(self) -> None:
        query = self._query
        if query.experiments:
            fragment, given = in_list("experiment", list(query.experiments))
            self._given |= given
            self._conditions.append(f"run.experiment_pk IN {fragment}")
        else:
            self._conditions.append("run.project_id = :project")
            self._given["project"] = query.project
        if query.view != "all":
            state = "IS NULL" if query.view == "active" else "IS NOT NULL"
            self._conditions.append(f"run.deleted_us {state}")
        if query.parent_pk is not None:
            self._conditions.append("run.parent_pk = :parent")
            self._given["parent"] = query.parent_pk
        if query.kinds:
            fragment, given = in_list("kind", list(query.kinds))
            self._given |= given
            self._conditions.append(f"run.kind IN {fragment}")

    def _add(self, clause: Clause) -> None:
        match clause.field.entity:
            case "attribute":
                self._add_attribute(clause)
            case "dataset":
                self._add_dataset(clause)
            case "metric":
                self._add_metric(clause)
            case _:
                self._add_text(clause)

    def _add_attribute(self, clause: Clause) -> None:
        attribute = self._query.attributes[clause.field.key]
        self._conditions.append(self._compare(attribute.sql, clause))

    def _add_metric(self, clause: Clause) -> None:
        key = self._keys.get(clause.field.key)
        if key is None:
            self.matches_nothing = True
            return
        # Not-a-number is unequal to everything, and compares with nothing else.
        compared = self._compare("m.value", clause)
        compared = (
            f"({compared} OR m.nan = 1)" if clause.op == "!=" else f"m.nan = 0 AND {compared}"
        )
        inner = f"FROM metric_latest m WHERE m.key_pk = {key:d} AND {compared}"
        self._conditions.append(f"EXISTS (SELECT 1 {inner} AND m.run_pk = run.pk)")
        if self._query.experiments and clause.op != "!=":
            fragment, _ = in_list("experiment", list(self._query.experiments))
            self._selective.append(("m", f"{inner} AND m.experiment_pk IN {fragment}"))

    def _add_text(self, clause: Clause) -> None:
        key = self._keys.get(clause.field.key)
        if key is None:
            self.matches_nothing = self.matches_nothing or clause.op != "IS NULL"
            return
        table = "run_param" if clause.field.entity == "param" else "run_tag"
        inner = f"FROM {table} t WHERE t.key_pk = {key:d}"
        if clause.op in {"IS NULL", "IS NOT NULL"}:
            no = "NOT " if clause.op == "IS NULL" else ""
            self._conditions.append(f"{no}EXISTS (SELECT 1 {inner} AND t.run_pk = run.pk)")
            return
        inner += f" AND {self._compare('t.value', clause)}"
        self._conditions.append(f"EXISTS (SELECT 1 {inner} AND t.run_pk = run.pk)")
        values = clause.value if isinstance(clause.value, tuple) else (str(clause.value),)
        if clause.op in {"=", "IN"} and all(len(value) <= SHORT_CHARS for value in values):
            self._selective.append(("t", f"{inner} AND length(t.value) <= {SHORT_CHARS}"))

    def _add_dataset(self, clause: Clause) -> None:
        key = clause.field.key
        column = "u.context" if key == "context" else f"d.{key}"
        found = (
            "EXISTS (SELECT 1 FROM run_dataset u JOIN logged_dataset d ON d.pk = u.dataset_pk "
            f"WHERE u.run_pk = run.pk AND {self._compare(column, clause)})"
        )
        if key != "context":
            # Versions of our own datasets are linked instead.
            found += (
                " OR EXISTS (SELECT 1 FROM run_link l WHERE l.run_pk = run.pk AND l.way = 'input' "
                f"AND l.what = 'dataset_version' AND {self._compare(f'l.{key}', clause)})"
            )
        self._conditions.append(f"({found})")

    def _compare(self, column: str, clause: Clause) -> str:
        if isinstance(clause.value, tuple):
            fragment, given = in_list(f"value{len(self._given)}", list(clause.value))
            self._given |= given
            return f"{column} {clause.op} {fragment}"
        name = f"value{len(self._given)}"
        self._given[name] = clause.value
        if clause.op in {"LIKE", "ILIKE"}:
            return self._tx.dialect.like(column, f":{name}", ignore_case=clause.op == "ILIKE")
        return f"{column} {clause.op} :{name}"

    def _lead(self) -> tuple[str, bool]:
        """Return the tables to read from, and whether a comparison narrows them to few runs."""
        if self._tx.dialect.name != "sqlite":
            return "run", False  # Its planner knows the distributions, and decides better.
        best, fewest = "", self._worth_sorting() if self._selective else 0
        for alias, inner in self._selective:
            counted = self._tx.value(
                int,
                f"SELECT count(*) FROM (SELECT 1 {inner} LIMIT {fewest})",
                **self._used(inner),
            )
            if counted is not None and counted < fewest:
                best, fewest = f"(SELECT {alias}.run_pk {inner}) f", counted
        if best:
            # SQLite joins in this order and no other.
            return f"{best} CROSS JOIN run ON run.pk = f.run_pk", True
        if len(self._query.experiments) == 1 and self._newest_first():
            return "run INDEXED BY run_by_start", False
        return "run", False

    def _worth_sorting(self) -> int:
        """Return up to how many runs are sooner sorted than `limit` of them found by walking.

        Walking passes limit * all / few runs to find its page, and sorting takes few; they are
        even at the root of limit * all.
        """
        # Keys rise with time, so that their span bounds the number; an index holds both ends.
        one = self._query.experiments[0] if len(self._query.experiments) == 1 else None
        where = "" if one is None else f"WHERE experiment_pk = {one:d}"
        span = self._tx.value(
            int,
            f"SELECT coalesce((SELECT max(pk) FROM run {where}) "
            f"- (SELECT min(pk) FROM run {where}), 0)",
        )
        return min(FEW, max(LEAST, isqrt(self._limit * (span or 0))))

    def _newest_first(self) -> bool:
        match self._query.order:
            case []:
                return True
            case [Order(field=Field(entity="attribute", key="start_time"), descending=True)]:
                return True
            case _:
                return False

    def _used(self, sql: str) -> dict[str, Value]:
        return {name: value for name, value in self._given.items() if f":{name}" in sql}

    def _term(self, order: Order) -> tuple[Term, ...]:
        field = order.field
        if field.entity == "attribute":
            attribute = self._query.attributes[field.key]
            if not attribute.nullable:
                return ((attribute.order or attribute.sql, order.descending),)
            zero = "0" if attribute.is_number else "''"
            return (
                (f"CASE WHEN {attribute.sql} IS NULL THEN 1 ELSE 0 END", False),
                (f"coalesce({attribute.sql}, {zero})", order.descending),
            )
        key = self._keys.get(field.key, -1)
        if field.entity == "metric":
            one = f"FROM metric_latest s WHERE s.run_pk = run.pk AND s.key_pk = {key:d}"
            return (
                (f"coalesce((SELECT s.nan {one}), 2)", False),
                (f"coalesce((SELECT s.value {one}), 0.0)", order.descending),
            )
        table = "run_param" if field.entity == "param" else "run_tag"
        one = f"(SELECT s.value FROM {table} s WHERE s.run_pk = run.pk AND s.key_pk = {key:d})"
        return (
            (f"CASE WHEN {one} IS NULL THEN 1 ELSE 0 END", False),
            (f"coalesce({one}, '')", order.descending),
        )

    def _last_terms(self) -> tuple[Term, ...]:
        by_start = any(
            one.field.entity == "attribute" and one.field.key == "start_time"
            for one in self._query.order
        )
        return (("run.id", False),) if by_start else (("run.start_us", True), ("run.id", False))

    def _metric_stages(self, first: Order, tail: tuple[Term, ...]) -> list[_Stage]:
        key = self._keys.get(first.field.key, -1)
        listed = self._query.experiments
        stages: list[_Stage] = []
        tables, narrowed = self._lead()
        for state in _STAGES:
            if state is None:
                missing = (
                    "NOT EXISTS (SELECT 1 FROM metric_latest o "
                    f"WHERE o.run_pk = run.pk AND o.key_pk = {key:d})"
                )
                stages.append(_Stage(tables, (*self._conditions, missing), tail, seeks=False))
                continue
            has = [state, f"o.key_pk = {key:d}"]
            if narrowed or not listed:
                joined = f"{tables} CROSS JOIN metric_latest o ON o.run_pk = run.pk"
            else:
                fragment, _ = in_list("experiment", list(listed))
                has.append(f"o.experiment_pk IN {fragment}")
                joined = "metric_latest o CROSS JOIN run ON run.pk = o.run_pk"
            if self._tx.dialect.name != "sqlite":
                joined = "metric_latest o JOIN run ON run.pk = o.run_pk"
            # The same comparison on the leading index saves walking over what it excludes.
            has += [
                self._compare("o.value", clause)
                for clause in self._query.clauses
                if state == "o.nan = 0" and clause.field == first.field and clause.op != "!="
            ]
            stages.append(
                _Stage(
                    joined,
                    (*has, *self._conditions),
                    (("o.value", first.descending), *tail),
                    seeks=not narrowed,
                )
            )
        return stages
