"""What we use of a driver, alike on both databases: connections, cursors, and what they carry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, Protocol, TypeAlias

Value: TypeAlias = "str | int | float | bytes | None"
Params: TypeAlias = Mapping[str, Value]
Commit: TypeAlias = Literal["durable", "relaxed", "at_once"]
"""What a commit waits for: the disk, so that it survives a power cut; no disk; nor any other
writer, for whom it makes way."""


class Cursor(Protocol):
    """What we use of a driver's cursor, alike on both drivers."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    @property
    def description(self) -> Any:
        """The last answer's columns; the first item of each is its name."""
        ...

    def execute(self, sql: Any, params: Any = ..., /) -> Any:
        """Execute a statement."""
        ...

    def executemany(self, sql: Any, params: Any, /) -> Any:
        """Execute a statement once for each set of parameters."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    def fetchmany(self, size: int, /) -> list[Any]:
        """Return the next rows, at most so many; none when no more are left."""
        ...

    def close(self) -> None:
        """Let go of the answer."""
        ...


class Connection(Protocol):
    """What we use of a driver's connection, alike on both drivers."""

    def cursor(self) -> Any:
        """Return a new cursor."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def close_quietly(connection: Connection) -> None:
    """Close a connection of which nothing more is wanted, however it has died."""
    with suppress(Exception):
        connection.close()
