"""Pages that are read on from the last row's place in the order, never by counting rows off."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from blake3 import blake3

from millwright.metadata.connection import Value
from millwright.metadata.filters import FilterError

Cursor: TypeAlias = "list[str | int | float]"
"""The order values of the last row of a page."""
Term: TypeAlias = "tuple[str, bool]"
"""An expression that is never NULL, and whether it descends."""

MAX_TOKEN_CHARS = 20_000
MARK_BYTES = 8


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
    given: dict[str, Value] = {f"after{number}": value for number, value in enumerate(after)}
    # Rows are compared item by item; where the order descends, the two change sides. Written out
    # with AND and OR, a hundred terms are ten thousand comparisons.
    sides = [
        (f":after{at}", sql) if down else (sql, f":after{at}")
        for at, (sql, down) in enumerate(terms)
    ]
    condition = (
        f"({', '.join(more for more, _ in sides)}) > ({', '.join(less for _, less in sides)})"
    )
    if not seeks:
        return condition, given
    sql, down = terms[0]
    return f"{sql} {'<=' if down else '>='} :after0 AND {condition}", given


def scope_of(noun: str, *asked: object) -> str:
    """Return what pages are of, for their tokens: all that changes which rows come, and how.

    What is asked for is told apart as Python spells it, so that sequences are given as lists.
    """
    return repr((noun, *asked))


def write_token(cursor: Cursor, scope: str) -> str:
    """Return a cursor as a text that may stand in an address, and is good for that scope alone."""
    raw = msgspec.msgpack.encode(cursor)
    return base64.urlsafe_b64encode(_mark(raw, scope) + raw).decode().rstrip("=")


def read_token(token: str, scope: str) -> Cursor:
    """Return the cursor of a text; raises FilterError for one not written for this scope."""
    try:
        if len(token) > MAX_TOKEN_CHARS:
            raise ValueError("it is too long")
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        mark, raw = raw[:MARK_BYTES], raw[MARK_BYTES:]
        cursor = msgspec.msgpack.decode(raw, type=list[str | int | float])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise FilterError(
            f"the page token {token[:80]!r} cannot be read", fix="begin again without a token"
        ) from error
    if mark != _mark(raw, scope):
        raise foreign_token()
    return cursor


def _mark(raw: bytes, scope: str) -> bytes:
    """Return what tells a token of this scope from others, and from texts that we did not write."""
    return blake3(scope.encode(errors="surrogatepass") + b"\0" + raw).digest(MARK_BYTES)


def foreign_token() -> FilterError:
    """Return the error that a token does not belong to the search at hand."""
    return FilterError(
        "the page token belongs to another search",
        why="filter, order and scope must be those of the page before",
        fix="begin again without a token",
    )
