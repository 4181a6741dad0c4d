"""How a revision writes tables once for both databases."""

from __future__ import annotations

from collections.abc import Iterable

from alembic import context, op


def create(statements: Iterable[str]) -> None:
    """Execute each statement with `{pk}`, `{int}`, `{bytes}`… spelled for the database at hand."""
    types: dict[str, str] = context.config.attributes["types"]
    for statement in statements:
        op.execute(statement.format(**types))
