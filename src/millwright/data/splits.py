"""Splits by hash: the side a row falls on depends on its key and the seed, and on nothing else.

So one key is never on two sides, the order of rows does not matter, and rows that come later
move none that were there. The price: the shares are met on average, not exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl
from blake3 import blake3

from millwright.core.errors import Invalid, NotFound
from millwright.core.refs import did_you_mean
from millwright.data.kinds import normalise

_SPACE = 1 << 64
_EXACT_FLOAT = 1 << 53


def split_by_key(
    frame: pl.DataFrame, *, shares: Mapping[str, float], seed: int, key: str | None = None
) -> dict[str, pl.DataFrame]:
    """Return the rows of `frame` by side, in their order; a side may be empty.

    `shares` (side -> share of the keys) are above 0 and add up to 1, and their order counts.
    `key` is the column that must not straddle; without one, equal rows share a side. 1 and 1.0
    are one key; what is missing is a key of its own.

    Raises Invalid on wrong shares, NotFound when there is no such column.
    """
    sides = sides_by_key(frame, shares=shares, seed=seed, key=key)
    return {side: frame.filter(sides == side) for side in shares}


def sides_by_key(
    frame: pl.DataFrame, *, shares: Mapping[str, float], seed: int, key: str | None = None
) -> pl.Series:
    """Return the side of each row (n,) as text, as `split_by_key` would split them."""
    _check_shares(shares)
    if key is not None and key not in frame.columns:
        raise NotFound(
            f"there is no column {key!r} to split by",
            why=f"the columns are {', '.join(frame.columns[:20])}",
            fix=did_you_mean(key, frame.columns),
        )
    # By name, so that the order of the columns does not matter either.
    columns = [key] if key is not None else sorted(frame.columns)
    keys = normalise(frame.lazy().select(columns)).collect()
    names, bounds = list(shares), _bounds(list(shares.values()))
    side_of: dict[str, str] = {}
    sides: list[str] = []
    for row in keys.iter_rows():
        text = "\x1f".join(_text(value) for value in row)
        side = side_of.get(text)
        if side is None:
            place = _place(text, seed)
            side = next(name for name, bound in zip(names, bounds, strict=True) if place < bound)
            # Without a key nearly every row is its own, and remembering them would not pay.
            if key is not None:
                side_of[text] = side
        sides.append(side)
    return pl.Series("side", sides, dtype=pl.String)


def _check_shares(shares: Mapping[str, float]) -> None:
    shown = ", ".join(f"{side} {share}" for side, share in shares.items())
    if not shares or "" in shares:
        raise Invalid(f"shares need named sides, got {shown or 'none'}")
    if any(not share > 0 for share in shares.values()):
        raise Invalid(f"every share must be above 0, got {shown}")
    if not math.isclose(math.fsum(shares.values()), 1.0, abs_tol=1e-9):
        raise Invalid(f"shares must add up to 1, got {shown}")


def _bounds(shares: Sequence[float]) -> list[int]:
    bounds = [round(math.fsum(shares[: at + 1]) * _SPACE) for at in range(len(shares))]
    bounds[-1] = _SPACE
    return bounds


def _place(text: str, seed: int) -> int:
    digest = blake3(f"{seed}\x1f{text}".encode("utf-8", "surrogatepass")).digest(length=8)
    return int.from_bytes(digest)


def _text(value: object) -> str:
    """Spell a value alike whether its column was read as integers or, elsewhere, as floats."""
    match value:
        case None:
            return "-"
        case bool():
            return f"b{value}"
        case str():
            return f"s{value}"
        case float() if value.is_integer() and abs(value) < _EXACT_FLOAT:
            return f"n{int(value)}"
        case int() | float():
            return f"n{value!r}"
        case datetime():
            return f"t{value.isoformat()}"
        case _:
            return f"o{value}"
