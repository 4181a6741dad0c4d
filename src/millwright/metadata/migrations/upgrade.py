"""Bring a store's schema to what this code expects, or refuse one made by newer code.

Looking costs one small query. Alembic and SQLAlchemy are imported only when there is
something to do, since importing them takes longer than most commands.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from millwright.core.errors import MillwrightError, Unsupported
from millwright.metadata.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every revision this code knows, oldest first; the last is the one it works with."""

HEAD = REVISIONS[-1]
_UPGRADE_LOCK = 0x6D696C6C  # "mill": PostgreSQL's advisory lock for changing the schema.


def revision_of(database: Database) -> str | None:
    """Return the store's schema revision, or None for an empty store.

    Raises Unreachable, Denied or Corrupt when the store cannot be read.
    """
    with suppress(_NoTable), database.read() as tx:
        sql = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
            if database.dialect.name == "sqlite"
            else "SELECT CAST(to_regclass('alembic_version') AS TEXT)"
        )
        if tx.value(str | None, sql) is None:  # pyright: ignore[reportArgumentType]
            raise _NoTable
        return tx.value(str, "SELECT version_num FROM alembic_version")
    return None


def upgrade(database: Database) -> str | None:
    """Bring the schema to HEAD when it is not there; return the revision it came from.

    Two processes may call this at once on a new store: one changes it, the other waits and
    finds it done. Either all steps are kept or none. Raises Unsupported for a newer schema.
    """
    found = revision_of(database)
    if found == HEAD:
        return found
    if found is not None and found not in REVISIONS:
        raise Unsupported(
            f"{database.dialect.label()} has schema {found}, newer than this Millwright knows",
            why=f"this version works with schema {HEAD} and was not told what changed since",
            fix="upgrade Millwright; nothing in the store was changed",
        )
    _run_alembic(database)
    return found


class _NoTable(Exception):
    """The store has no schema at all."""


def _run_alembic(database: Database) -> None:
    from alembic import command
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(database.dialect.sqlalchemy_url(), poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _autocommit(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        if isinstance(connection, sqlite3.Connection):
            # The driver's own BEGIN comes too late to cover table definitions.
            connection.isolation_level = None
            connection.execute("PRAGMA busy_timeout=30000")
            connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")

    try:
        with engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            config.attributes["types"] = dict(database.dialect.types)
            command.upgrade(config, HEAD)
    except MillwrightError:
        raise
    except Exception as error:
        raise database.dialect.explain(getattr(error, "orig", error)) or error from error
    finally:
        engine.dispose()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "millwright.metadata:migrations")
    config.set_main_option("path_separator", "os")
    return config
