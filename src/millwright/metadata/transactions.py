"""What is done within a transaction: a `Reader` asks, a `Writer` also changes.

Rows are parsed into the shape the caller names, so that a wrong type in the database is
found where it is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar, cast

import msgspec

from millwright.core.errors import Corrupt
from millwright.metadata.connection import Cursor, Params, Value
from millwright.metadata.dialects import Dialect

T = TypeVar("T")
Row: TypeAlias = "tuple[object, ...]"

ROWS_AT_ONCE = 5000


class WouldWait(Exception):
    """What was asked for at once cannot be done without waiting; nothing was written."""


class NotDurable(WouldWait):
    """Something was to be written that must survive a power cut, in a transaction that may not."""


class Reader:
    """A transaction that reads one snapshot."""

    def __init__(self, cursor: Cursor, dialect: Dialect) -> None:
        self._cursor = cursor
        self.dialect = dialect

    def rows(self, shape: type[T], sql: str, **params: Value) -> list[T]:
        """Return all rows, each parsed as `shape`: a tuple type or a Struct.

        For a Struct the columns are matched by name, so `SELECT` names or aliases them.
        Raises Corrupt when a row does not fit.
        """
        self._execute(sql, params)
        return self._parse(self._cursor.fetchall(), shape, sql)

    def raw(self, sql: str, **params: Value) -> list[Row]:
        """Return all rows as the driver gives them: for many numbers, which it checks itself."""
        self._execute(sql, params)
        return cast("list[Row]", self._cursor.fetchall())

    def iterate(self, sql: str, **params: Value) -> Iterator[Row]:
        """Iterate over rows as `raw` gives them, a few thousand at a time.

        Another statement of this transaction would end it: read what else is needed before, and
        read on to the end.
        """
        begin, more = self.dialect.in_turn(sql, ROWS_AT_ONCE)
        self._execute(begin, params)
        while rows := self.raw(more) if more else self._cursor.fetchmany(ROWS_AT_ONCE):
            yield from cast("list[Row]", rows)

    def first(self, shape: type[T], sql: str, **params: Value) -> T | None:
        """Return the first row parsed as `shape`, or None when there is none."""
        self._execute(sql, params)
        row = self._cursor.fetchone()
        return None if row is None else self._parse([row], shape, sql)[0]

    def value(self, shape: type[T], sql: str, **params: Value) -> T | None:
        """Return the first column of the first row as `shape`, or None when there is no row."""
        self._execute(sql, params)
        row = self._cursor.fetchone()
        return None if row is None else self._parse([row[0]], shape, sql)[0]

    def column(self, shape: type[T], sql: str, **params: Value) -> list[T]:
        """Return the first column of all rows, each as `shape`."""
        self._execute(sql, params)
        return self._parse([row[0] for row in self._cursor.fetchall()], shape, sql)

    def _execute(self, sql: str, params: Params) -> None:
        self._do(self._cursor.execute, self.dialect.sql(sql), params)

    def _do(self, execute: Callable[[str, object], object], spelled: str, given: object) -> None:
        try:
            execute(spelled, given)
        except Exception as error:
            raise self.dialect.explain(error) or error from error

    def _parse(self, rows: list[object], shape: type[T], sql: str) -> list[T]:
        if inspect.isclass(shape) and issubclass(shape, msgspec.Struct):
            names: list[str] = [column[0] for column in self._cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cast("list[Row]", rows)]
        try:
            return msgspec.convert(rows, list[shape])
        except msgspec.ValidationError as error:
            raise Corrupt(
                "the database holds a value of the wrong kind",
                why=f"{error}, in the answer to: {' '.join(sql.split())[:200]}",
                fix="run `mill doctor`; if the store was edited by hand, restore a backup",
            ) from error


class Writer(Reader):
    """A transaction that reads and writes; all of it is kept, or nothing."""

    def __init__(self, cursor: Cursor, dialect: Dialect, *, relaxed: bool = False) -> None:
        super().__init__(cursor, dialect)
        self._relaxed = relaxed
        self._after_commit: dict[str, Callable[[], None]] = {}

    @property
    def is_relaxed(self) -> bool:
        """Tell whether what it commits may be lost in a power cut."""
        return self._relaxed

    def require_durable(self) -> None:
        """Return when what this transaction commits will survive a power cut.

        A relaxed one is given up: `Database.together` makes its calls again, durably.
        """
        if self._relaxed:
            raise NotDurable

    def run(self, sql: str, **params: Value) -> int:
        """Execute a statement and return how many rows it changed."""
        self._execute(sql, params)
        return self._cursor.rowcount

    def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Execute a statement once for each set of parameters."""
        if rows:
            self._do(self._cursor.executemany, self.dialect.sql(sql), rows)

    def run_placed(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Execute a statement once for each row, which holds its parameters in their order.

        As `run_many`, for a thousand rows; each parameter stands in the statement once.
        """
        if rows:
            self._do(self._cursor.executemany, self.dialect.placed(sql), rows)

    def insert(self, sql: str, **params: Value) -> int:
        """Execute an INSERT that ends in `RETURNING pk` and return the key."""
        key = self.value(int, sql, **params)
        assert key is not None, "an INSERT without a conflict clause returns its row"
        return key

    def after_commit(self, name: str, action: Callable[[], None]) -> None:
        """Have `action` called once after the commit; asking again under `name` changes nothing."""
        self._after_commit.setdefault(name, action)

    def hand_over(self, other: Writer) -> None:
        """Have what was asked for called after the commit of `other` instead."""
        for name, action in self._after_commit.items():
            other.after_commit(name, action)

    def call_after_commit(self) -> None:
        """Call what was asked for; the transaction is over and cannot be undone by it."""
        for action in self._after_commit.values():
            action()
