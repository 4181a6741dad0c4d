"""What differs between SQLite and PostgreSQL, and nothing more.

SQL is written by hand once, with `:name` parameters, in the words both databases share:
`ON CONFLICT`, `RETURNING`, partial indexes, recursive queries. What they spell differently
(column types, opening, transactions, errors) is here. Floors: SQLite 3.37, PostgreSQL 15.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from millwright.metadata.connection import Commit, Connection
from millwright.metadata.parameters import by_name, by_place

if TYPE_CHECKING:
    import psycopg

SQLITE_FLOOR = (3, 37, 0)
BUSY_TIMEOUT_S = 30.0


class Collided(TimedOut):
    """The database undid a transaction for the sake of another; made again, it may well pass."""


class Dialect(Protocol):
    """One kind of database."""

    name: str
    types: Mapping[str, str]
    """What `{int}`, `{bytes}` and the like in a table's definition stand for."""
    can_relax: bool
    """Whether a commit that need not survive a power cut is cheaper."""

    def connect(self, commit: Commit = "durable") -> Connection:
        """Open a connection in autocommit mode; raises Unreachable, Denied or Corrupt.

        What is not committed as `durable` survives the death of any process, and may be lost in
        a power cut; never in part.
        """
        ...

    def sql(self, text: str) -> str:
        """Return `text` with its `:name` parameters spelled as the driver wants them."""
        ...

    def placed(self, text: str) -> str:
        """Return `text` with its parameters as the driver wants them where they come in order."""
        ...

    def in_turn(self, sql: str, rows: int) -> tuple[str, str]:
        """Return the statement that begins to read rows in turn, and that for `rows` more.

        The latter is empty where the driver's own cursor gives them without holding all.
        """
        ...

    def like(self, column: str, pattern: str, *, ignore_case: bool) -> str:
        """Return the condition that a text fits a pattern with `%` and `_`."""
        ...

    def begin_read(self) -> str:
        """Return the statement that starts a read-only transaction on one snapshot."""
        ...

    def begin_write(self) -> str:
        """Return the statement that starts a transaction that will write."""
        ...

    def is_usable(self, connection: Connection) -> bool:
        """Tell whether the connection may be handed out again."""
        ...

    def explain(self, error: Exception) -> MillwrightError | None:
        """Return our error for the driver's, or None when it is not the database's fault."""
        ...

    def sqlalchemy_url(self) -> str:
        """Return the address by which SQLAlchemy, and so Alembic, reaches the same database."""
        ...

    def label(self) -> str:
        """Return the address as it may be shown: without a password."""
        ...


class Sqlite:
    """One SQLite file in WAL mode, opened by any number of processes."""

    name = "sqlite"
    types: Mapping[str, str] = {
        "pk": "INTEGER PRIMARY KEY",
        # A number is never given twice, even when the newest row is deleted.
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "int": "INTEGER",
        "real": "REAL",
        # Compared byte by byte, so that what begins alike stands together.
        "bytewise": "TEXT",
        "bytes": "BLOB",
        "strict": "STRICT",
        "rowless": "STRICT, WITHOUT ROWID",
    }

    def __init__(self, path: Path) -> None:
        if sqlite3.sqlite_version_info < SQLITE_FLOOR:
            raise Unsupported(
                f"SQLite {sqlite3.sqlite_version} is too old",
                why="Millwright needs 3.37 or newer",
                fix="use a Python built with a newer SQLite",
            )
        self.path = path

    can_relax = True

    def connect(self, commit: Commit = "durable") -> sqlite3.Connection:
        """Open the file, making it when its folder is there."""
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
            )
            _use_log(connection)
            # FULL: a commit that was acknowledged survives a power cut; the journal, the
            # registry and the jobs need no less. Points of metrics do: there an fsync for each
            # would cost more than all else together.
            synchronous = "FULL" if commit == "durable" else "NORMAL"
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")
            # As in standard SQL; who wants to ignore case says so.
            connection.execute("PRAGMA case_sensitive_like=ON")
            if commit == "at_once":
                connection.execute("PRAGMA busy_timeout=0")
                # The other connections move the log into the file, which waits for the disk.
                connection.execute("PRAGMA wal_autocheckpoint=0")
        except sqlite3.Error as error:
            raise self.explain(error) or error from error
        return connection

    def sql(self, text: str) -> str:
        """Return `text` as it is: SQLite knows `:name`."""
        return text

    def placed(self, text: str) -> str:
        """Return `text` with each `:name` written `?`."""
        return by_place(text, "?")

    def in_turn(self, sql: str, rows: int) -> tuple[str, str]:
        """Return `sql` as it is: rows are read as they are asked for."""
        del rows
        return sql, ""

    def like(self, column: str, pattern: str, *, ignore_case: bool) -> str:
        """Return a LIKE that minds case, or one over lower-case texts."""
        if ignore_case:
            return f"lower({column}) LIKE lower({pattern})"
        return f"{column} LIKE {pattern}"

    def begin_read(self) -> str:
        """Return BEGIN: WAL readers see one snapshot and block nobody."""
        return "BEGIN"

    def begin_write(self) -> str:
        """Return BEGIN IMMEDIATE.

        Two readers that both turn writer would block each other, and SQLite then fails at
        once, without waiting for the busy timeout.
        """
        return "BEGIN IMMEDIATE"

    def is_usable(self, connection: Connection) -> bool:
        """Tell that a local file's connection always is, once its transaction has ended."""
        return isinstance(connection, sqlite3.Connection) and not connection.in_transaction

    def explain(self, error: Exception) -> MillwrightError | None:
        """Return our error for SQLite's."""
        if not isinstance(error, sqlite3.Error):
            return _unstorable(error)
        text = str(error)
        if isinstance(error, sqlite3.DataError):
            return Invalid(f"the database cannot hold a value: {text}")
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"the database refused a row: {text}")
        if "locked" in text or "busy" in text:
            return TimedOut(
                f"{self.path} stayed locked for {BUSY_TIMEOUT_S:.0f} s",
                why="another process holds a long write",
                fix="try again, or find who holds it with `mill doctor`",
            )
        if "readonly" in text or "read-only" in text:
            return Denied(
                f"{self.path} cannot be written",
                why="the file or its folder is read-only for this user",
                fix="give this user write permission, or name another home with --home",
            )
        if "unable to open" in text:
            return Denied(
                f"{self.path} cannot be opened",
                why="its folder is missing or not readable and writable for this user",
                fix="check the folder's permissions, or name another home with --home",
            )
        if "not a database" in text or "malformed" in text:
            return Corrupt(
                f"{self.path} is not a sound SQLite database",
                why=text,
                fix="nothing was changed; restore the file from a backup",
            )
        if "full" in text:
            return Failed(
                f"no space left to write {self.path}", fix="free some space and try again"
            )
        return Failed(f"SQLite could not do what was asked: {text}")

    def sqlalchemy_url(self) -> str:
        """Return SQLAlchemy's address of the file."""
        return f"sqlite:///{self.path}"

    def label(self) -> str:
        """Return the file's path."""
        return str(self.path)


def _use_log(connection: sqlite3.Connection) -> None:
    """Have a file use a write-ahead log; two that make it so at once wait for each other.

    SQLite asks no busy handler here (https://sqlite.org/c3ref/busy_handler.html), so we do.
    """
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


class Postgres:
    """A PostgreSQL database, reached through psycopg (the extra `millwright[postgres]`)."""

    name = "postgresql"
    types: Mapping[str, str] = {
        "pk": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "serial": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "int": "BIGINT",
        "real": "DOUBLE PRECISION",
        "bytewise": 'TEXT COLLATE "C"',
        "bytes": "BYTEA",
        "strict": "",
        "rowless": "",
    }

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise Unsupported(
                "PostgreSQL needs a driver that is not installed",
                why=str(error),
                fix="pip install 'millwright[postgres]'",
            ) from error
        self._driver = psycopg
        self._cursors = count()
        self.url = url

    can_relax = False

    def connect(self, commit: Commit = "durable") -> psycopg.Connection[Any]:
        """Open a connection; here every commit is as durable as the server makes it."""
        del commit
        try:
            return self._driver.connect(self.url, autocommit=True, connect_timeout=10)
        except self._driver.Error as error:
            raise Unreachable(
                f"PostgreSQL at {self.label()} does not answer",
                why=str(error).strip(),
                fix="check the address, the password and that the server runs",
            ) from error

    def sql(self, text: str) -> str:
        """Return `text` with `:name` written `%(name)s`, and lists as PostgreSQL reads them."""
        return by_name(text)

    def placed(self, text: str) -> str:
        """Return `text` with each `:name` written `%s`."""
        return by_place(text.replace("%", "%%"), "%s")

    def in_turn(self, sql: str, rows: int) -> tuple[str, str]:
        """Return the making of a cursor of the server's, which ends with the transaction."""
        name = f"in_turn_{next(self._cursors)}"
        return f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", f"FETCH {rows} FROM {name}"

    def like(self, column: str, pattern: str, *, ignore_case: bool) -> str:
        """Return LIKE or ILIKE, with no character that escapes, as on SQLite."""
        word = "ILIKE" if ignore_case else "LIKE"
        return f"{column} {word} {pattern} ESCAPE ''"

    def begin_read(self) -> str:
        """Return the start of a read-only transaction that sees one snapshot."""
        return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def begin_write(self) -> str:
        """Return the start of a transaction whose statements each see what has been committed."""
        return "BEGIN ISOLATION LEVEL READ COMMITTED"

    def is_usable(self, connection: Connection) -> bool:
        """Tell whether the server still holds the connection and no transaction is open on it."""
        if not isinstance(connection, self._driver.Connection) or connection.closed:
            return False
        return connection.info.transaction_status is self._driver.pq.TransactionStatus.IDLE

    def explain(self, error: Exception) -> MillwrightError | None:
        """Return our error for psycopg's."""
        if not isinstance(error, self._driver.Error):
            return _unstorable(error)
        text, errors = str(error).strip(), self._driver.errors
        if isinstance(error, self._driver.DataError):
            # A number that is too large, or a text with a NUL.
            return Invalid(f"the database cannot hold a value: {text}")
        if isinstance(error, errors.IntegrityError):
            return Conflict(f"the database refused a row: {text}")
        if isinstance(error, errors.InsufficientPrivilege):
            return Denied(
                f"PostgreSQL denied it: {text}", fix="grant the database user what it needs"
            )
        if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
            return Collided(
                "two writers each waited for what the other had changed",
                why=f"PostgreSQL undid this one: {text}",
                fix="try again",
            )
        if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
            return TimedOut(f"PostgreSQL gave up waiting: {text}", fix="try again")
        if isinstance(error, self._driver.OperationalError):
            return Unreachable(f"PostgreSQL at {self.label()} was lost: {text}", fix="try again")
        return Failed(f"PostgreSQL could not do what was asked: {text}")

    def sqlalchemy_url(self) -> str:
        """Return SQLAlchemy's address of the database."""
        return urlunsplit(urlsplit(self.url)._replace(scheme="postgresql+psycopg"))

    def label(self) -> str:
        """Return the address without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname or 'local'}:{parts.port or 5432}{parts.path}"


def dialect_for(address: str) -> Dialect:
    """Return the dialect for `postgresql://…`, `sqlite:///PATH` or a plain path.

    Raises Invalid for any other scheme.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Sqlite(Path(address))
    if scheme == "sqlite":
        return Sqlite(Path(rest.removeprefix("/") if rest.startswith("//") else rest.lstrip("/")))
    if scheme in {"postgresql", "postgres"}:
        return Postgres(address)
    raise Invalid(
        f"{scheme!r} is not a database Millwright knows",
        why="it keeps its state in SQLite or PostgreSQL",
        fix="give a path, sqlite:///PATH or postgresql://USER@HOST/NAME",
    )


def _unstorable(error: Exception) -> Invalid | None:
    """Return our error for a value that a driver could not even send."""
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return Invalid(
            f"the database cannot hold a value: {error}",
            why="numbers are whole ones of 64 bits, texts are valid Unicode",
        )
    return None
