"""What differs between SQLite and PostgreSQL, and nothing more.

SQL is written by hand once, with `:name` parameters, in the words both databases share:
`ON CONFLICT`, `RETURNING`, partial indexes, recursive queries. What they spell differently
(column types, opening, transactions, errors) is here. Floors: SQLite 3.37, PostgreSQL 15.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
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
from millwright.metadata.connection import Commit, Connection, Value, use_log

if TYPE_CHECKING:
    import psycopg

SQLITE_FLOOR = (3, 37, 0)
BUSY_TIMEOUT_S = 30.0
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_LISTED = re.compile(r"json_each\((:[a-z_][a-z0-9_]*)\)")
"""A list of values that is one parameter, as `in_list` spells it."""


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
            use_log(connection, wait_s=BUSY_TIMEOUT_S)
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
        return _by_place(text, "?")

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
        return _pyformat(text)

    def placed(self, text: str) -> str:
        """Return `text` with each `:name` written `%s`."""
        return _by_place(text.replace("%", "%%"), "%s")

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


@lru_cache(maxsize=2048)
def _pyformat(text: str) -> str:
    listed = _LISTED.sub(r"jsonb_array_elements_text(CAST(\1 AS jsonb)) AS listed(value)", text)
    return _PARAMETER.sub(r"%(\1)s", listed.replace("%", "%%"))


@lru_cache(maxsize=64)
def _by_place(text: str, mark: str) -> str:
    return _PARAMETER.sub(mark, text)


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


def in_list(name: str, values: Sequence[int] | Sequence[str]) -> tuple[str, dict[str, Value]]:
    """Return what stands behind IN for these values, and its parameters; none match nothing.

    However many there are, they are one parameter: the statement stays the same text, and
    Python's SQLite driver takes time by the square of the number of named parameters.
    """
    if not values:
        return "(NULL)", {}
    if len(values) == 1:
        # As with `=`, an index may then tell the order too.
        return f"(:{name})", {name: values[0]}
    texts = [value for value in values if isinstance(value, str)]
    if any("\0" in text for text in texts):
        # SQLite before 3.45 reads a text in JSON up to its first NUL.
        params: dict[str, Value] = {f"{name}_{at}": text for at, text in enumerate(texts)}
        return "(" + ", ".join(f":{key}" for key in params) + ")", params
    value = "value" if texts else "CAST(value AS BIGINT)"
    # Not as ASCII: a lone surrogate is refused by the driver, as everywhere.
    return f"(SELECT {value} FROM json_each(:{name}))", {
        name: json.dumps(list(values), ensure_ascii=False)
    }


def _unstorable(error: Exception) -> Invalid | None:
    """Return our error for a value that a driver could not even send."""
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return Invalid(
            f"the database cannot hold a value: {error}",
            why="numbers are whole ones of 64 bits, texts are valid Unicode",
        )
    return None
