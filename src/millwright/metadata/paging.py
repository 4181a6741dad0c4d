"""Pages that are read on from the last row's place in the order, never by counting rows off."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from millwright.metadata.connection import Value
from millwright.metadata.filters import FilterError

Cursor: TypeAlias = "list[str | int | float]"
"""The order values of the last row of a page."""
Term: TypeAlias = "tuple[str, bool]"
"""An expression that is never NULL, and whether it descends."""

MAX_TOKEN_CHARS = 20_000


def order_by(terms: Sequence[Term]) -> str:
    """Return what stands behind ORDER BY."""
    return ", ".join(f"{sql} {'DESC' if down else 'ASC'}" for sql, down in terms)


def behind(terms: Sequence[Term], after: Cursor, *, seeks: bool) -> tuple[str, Mapping[str, Value]]:
    """Return the condition, with its parameters, that a row stands behind the one of `after`.

    `seeks` repeats it for the first term alone, by which an index can be told where to begin.
    Raises FilterError when the cursor is that of another order.
    """
    if len(after) != len(terms):
        raise foreign_token()
    given: dict[str, Value] = {}
    same: list[str] = []
    ways: list[str] = []
    for number, ((sql, down), value) in enumerate(zip(terms, after, strict=True)):
        given[f"after{number}"] = value
        ways.append(" AND ".join([*same, f"{sql} {'<' if down else '>'} :after{number}"]))
        same.append(f"{sql} = :after{number}")
    condition = " OR ".join(f"({way})" for way in ways)
    if not seeks:
        return f"({condition})", given
    sql, down = terms[0]
    return f"{sql} {'<=' if down else '>='} :after0 AND ({condition})", given


def write_token(cursor: Cursor) -> str:
    """Return a cursor as a text that may stand in an address."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def read_token(token: str) -> Cursor:
    """Return the cursor of a text; raises FilterError for one that we did not write."""
    try:
        if len(token) > MAX_TOKEN_CHARS:
            raise ValueError("it is too long")
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return msgspec.msgpack.decode(raw, type=list[str | int | float])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise FilterError(
            f"the page token {token[:80]!r} cannot be read", fix="begin again without a token"
        ) from error


def foreign_token() -> FilterError:
    """Return the error that a token does not belong to the search at hand."""
    return FilterError(
        "the page token belongs to another search",
        why="filter, order and scope must be those of the page before",
        fix="begin again without a token",
    )
