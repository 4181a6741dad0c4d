"""Peers found by name: each port has an entry-point group, and nothing imports a peer directly."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from millwright.core.errors import Failed, NotFound
from millwright.core.refs import did_you_mean


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Return the names that installed packages offer in `group`, sorted; imports none of them."""
    return sorted(_group(group))


def load(group: str, name: str) -> object:
    """Import and return what `name` stands for in `group`.

    Raises NotFound, naming the nearest, when no installed package offers it, and Failed when
    its import breaks.
    """
    point = _group(group).get(name)
    if point is None:
        known = names(group)
        raise NotFound(
            f"nothing called {name!r} in {group}",
            why=f"installed: {', '.join(known) or 'none'}",
            fix=did_you_mean(name, known),
        )
    try:
        return point.load()
    except ImportError as error:
        raise Failed(
            f"{group}: {name!r} cannot be imported",
            why=str(error),
            fix=f"install what {point.value} needs",
        ) from error
