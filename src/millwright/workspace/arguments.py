"""Checks of what callers of more than one service pass as text or number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean

MAX_PAGE = 1000

T = TypeVar("T", bound=str)


def parse_choice(text: str, choices: Iterable[T], noun: str) -> T:
    """Return the one of `choices` that `text` spells; raises Invalid naming them all."""
    known = list(choices)
    for choice in known:
        if choice == text:
            return choice
    names = [str(choice) for choice in known]
    raise Invalid(
        f"there is no {noun} {text!r}",
        why=f"there are: {', '.join(names)}",
        fix=did_you_mean(text, names),
    )


def check_page(limit: int) -> int:
    """Return how many entries an answer may have; raises Invalid outside 1 to 1000.

    >>> check_page(100)
    100
    """
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(
            f"a page of {limit} entries was asked for",
            why=f"a page has 1 to {MAX_PAGE}",
            fix="read on from the last one, page by page",
        )
    return limit
