"""One metadata store: short transactions on pooled connections, the same on both databases.

Readers get one snapshot and block nobody. Writers on SQLite begin IMMEDIATE, one at a time;
on PostgreSQL they run READ COMMITTED, and what must be serial takes a lock of its own.

Making a commit durable costs more than what most of them write. Whoever has several calls
waiting makes them `together`: each is undone by itself when it fails, and all share one commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from millwright.core.errors import Failed
from millwright.metadata.connection import Commit, Connection, Cursor, close_quietly
from millwright.metadata.dialects import Collided, Dialect, dialect_for
from millwright.metadata.transactions import NotDurable, Reader, WouldWait, Writer

T = TypeVar("T")

MAX_IDLE = 8
MAX_AGAIN = 3


class _Joined(threading.local):
    """The transaction that this thread's calls share, if any."""

    cursor: Cursor | None = None
    writer: Writer | None = None
    """The innermost part of it that is not ended yet."""
    depth: int = 0
    is_one: bool = False
    """Whether it is one call's alone, which is undone as a whole or not at all."""


class _Lost(Failed):
    """The shared transaction is gone, with what all its calls wrote."""


class Database:
    """A metadata store; safe to use from several threads and, on disk, several processes."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._idle: dict[Commit, list[Connection]] = {"durable": [], "relaxed": [], "at_once": []}
        """Connections that nobody uses."""
        self._lock = threading.Lock()
        self._joined = _Joined()

    @classmethod
    def at(cls, address: str) -> Database:
        """Return the database at a path, `sqlite:///PATH` or `postgresql://…`, not yet opened."""
        return cls(dialect_for(address))

    @contextmanager
    def read(self) -> Generator[Reader]:
        """Open a transaction that sees one snapshot and changes nothing."""
        if self._joined.cursor is not None:
            # A call among others sees what it has written itself.
            yield Reader(self._joined.cursor, self.dialect)
            return
        with self._transaction(self.dialect.begin_read()) as cursor:
            yield Reader(cursor, self.dialect)

    @contextmanager
    def write(self, *, relaxed: bool = False) -> Generator[Writer]:
        """Open a transaction that is committed when the block ends and undone when it raises.

        A `relaxed` one is for telemetry: where the database can, its commit waits for no disk.
        """
        if self._joined.cursor is not None:
            with self._savepoint(self._joined.cursor, relaxed=relaxed) as writer:
                yield writer
            return
        relaxed = relaxed and self.dialect.can_relax
        commit: Commit = "relaxed" if relaxed else "durable"
        with self._transaction(self.dialect.begin_write(), commit) as cursor:
            writer = Writer(cursor, self.dialect, relaxed=relaxed)
            yield writer
        writer.call_after_commit()

    def together(
        self, calls: Sequence[Callable[[], T]], *, relaxed: bool = False
    ) -> list[T | Exception]:
        """Make `calls` in this thread with one commit for all; return what each gave or raised.

        What a call raises undoes what it wrote, and nothing of the others. When the commit fails
        none is kept, and each outcome is that error. `relaxed` as in `write`; when one of the
        calls writes what must be durable, all are undone and made again, durably. One that the
        database undid for the sake of another writer is made again by itself.
        """
        if self._joined.cursor is not None:
            return [self._outcome(self._joined.cursor, call) for call in calls]
        if relaxed and self.dialect.can_relax:
            try:
                return self._join(calls, "relaxed")
            except NotDurable:
                pass
        outcomes = self._join(calls, "durable")
        for at, call in enumerate(calls):
            for _ in range(MAX_AGAIN):
                if isinstance(outcomes[at], Collided):
                    outcomes[at] = self._join([call], "durable")[0]
        return outcomes

    def at_once(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, committed as telemetry is, without waiting for anything.

        Raises WouldWait where that cannot be: another transaction is writing, what `call` writes
        must survive a power cut, or the database is not on this machine. Where nothing else is
        ever committed, its log grows: let every so many go another way.
        """
        if not self.dialect.can_relax:
            raise WouldWait
        return _given(self._join([call], "at_once")[0])

    def once(self, call: Callable[[], T], *, relaxed: bool = False) -> T:
        """Return what `call` returns once it is committed, as `together` does for several."""
        return _given(self.together([call], relaxed=relaxed)[0])

    def _join(self, calls: Sequence[Callable[[], T]], commit: Commit) -> list[T | Exception]:
        outcomes: list[T | Exception] = []
        relaxed = commit != "durable"
        try:
            with self._transaction(self.dialect.begin_write(), commit) as cursor:
                shared = Writer(cursor, self.dialect, relaxed=relaxed)
                self._joined.cursor, self._joined.writer = cursor, shared
                # A lone call of telemetry needs no savepoint: what it raises undoes it all.
                self._joined.is_one = relaxed and len(calls) == 1
                try:
                    outcomes = (
                        [calls[0]()]
                        if self._joined.is_one
                        else [self._outcome(cursor, call) for call in calls]
                    )
                finally:
                    self._joined.cursor = self._joined.writer = None
                    self._joined.is_one = False
        except WouldWait:
            raise
        except Exception as error:  # noqa: BLE001 (each caller raises it)
            return [error] * len(calls)
        shared.call_after_commit()
        return outcomes

    def _outcome(self, cursor: Cursor, call: Callable[[], T]) -> T | Exception:
        """Return what a call of the shared transaction gave or raised; then it wrote nothing.

        It may write in several blocks: what the last of them raises undoes the first as well.
        """
        try:
            with self._savepoint(cursor, relaxed=True):
                return call()
        except (NotDurable, _Lost):
            raise
        except Exception as error:  # noqa: BLE001 (the caller raises it)
            return error

    @contextmanager
    def _savepoint(self, cursor: Cursor, *, relaxed: bool) -> Generator[Writer]:
        """Open a part of the shared transaction that is kept with it or undone alone."""
        around = self._joined.writer
        assert around is not None, "a savepoint lies in a shared transaction"
        if not relaxed:
            around.require_durable()
        if self._joined.is_one:
            yield around
            return
        name = f"call_{self._joined.depth}"
        writer = Writer(cursor, self.dialect, relaxed=around.is_relaxed)
        self._end(cursor, f"SAVEPOINT {name}")
        self._joined.depth += 1
        self._joined.writer = writer
        try:
            yield writer
        except BaseException:
            self._end_part(cursor, f"ROLLBACK TO SAVEPOINT {name}")
            raise
        finally:
            self._joined.depth -= 1
            self._joined.writer = around
        self._end_part(cursor, f"RELEASE SAVEPOINT {name}")
        writer.hand_over(around)

    def _end_part(self, cursor: Cursor, statement: str) -> None:
        """End a savepoint; where there is none any more, all calls have lost what they wrote.

        A full disk may have SQLite undo everything. The next savepoint would then begin a
        transaction of its own.
        """
        try:
            self._end(cursor, statement)
        except Exception as error:
            raise _Lost(
                "the database gave up what several calls wrote", why=str(error), fix="try again"
            ) from error

    def close(self) -> None:
        """Close the idle connections; one in use is closed when its transaction ends."""
        with self._lock:
            idle = [one for connections in self._idle.values() for one in connections]
            self._idle = {commit: [] for commit in self._idle}
        for connection in idle:
            close_quietly(connection)

    @contextmanager
    def _transaction(self, begin: str, commit: Commit = "durable") -> Generator[Cursor]:
        connection, cursor = self._begin(begin, commit)
        try:
            try:
                yield cursor
                self._end(cursor, "COMMIT")
            except BaseException:
                # The connection may be gone; the database undoes what it never committed.
                with suppress(Exception):
                    self._end(cursor, "ROLLBACK")
                raise
        finally:
            with suppress(Exception):
                cursor.close()
            self._give_back(connection, commit)

    def _begin(self, begin: str, commit: Commit) -> tuple[Connection, Cursor]:
        while True:
            connection, was_idle = self._take(commit)
            try:
                cursor: Cursor = connection.cursor()
                cursor.execute(begin)
            except Exception as error:
                if commit == "at_once":
                    # Whatever it is, whoever may wait is told.
                    self._give_back(connection, commit)
                    raise WouldWait from error
                close_quietly(connection)
                if was_idle and self.dialect.name != "sqlite":
                    continue  # The server closed it while it lay idle; the next one may live.
                raise self.dialect.explain(error) or error from error
            return connection, cursor

    def _end(self, cursor: Cursor, statement: str) -> None:
        try:
            cursor.execute(statement)
        except Exception as error:
            raise self.dialect.explain(error) or error from error

    def _take(self, commit: Commit) -> tuple[Connection, bool]:
        with self._lock:
            if self._idle[commit]:
                return self._idle[commit].pop(), True
        return self.dialect.connect(commit), False

    def _give_back(self, connection: Connection, commit: Commit) -> None:
        if self.dialect.is_usable(connection):
            with self._lock:
                if len(self._idle[commit]) < MAX_IDLE:
                    self._idle[commit].append(connection)
                    return
        close_quietly(connection)


def _given(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
