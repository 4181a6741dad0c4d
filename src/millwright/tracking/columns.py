"""Names of columns that a table of runs can have: attributes, and what was logged."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean

GROUPS = ("params", "metrics", "tags")


def check_columns(names: Sequence[str], attributes: Collection[str]) -> list[str]:
    """Return columns, each once; raises Invalid for one that no run has.

    >>> check_columns(["name", "metrics.auc", "name"], {"name"})
    ['name', 'metrics.auc']
    """
    for name in names:
        if name not in attributes and not is_logged(name):
            raise Invalid(
                f"{name!r} is no column of a table of runs",
                why=f"there are {', '.join(attributes)}, and what was logged, as metrics.auc",
                fix=did_you_mean(name, attributes),
            )
    return list(dict.fromkeys(names))


def is_logged(name: str) -> bool:
    """Tell whether a column holds something that was logged, as `metrics.auc`."""
    group, dot, key = name.partition(".")
    return group in GROUPS and bool(dot and key)


def fields_of(columns: Sequence[str] | None) -> list[str]:
    """Return what a search has to read of each run to fill these columns; None for all."""
    if columns is None:
        return list(GROUPS)
    return [name for name in columns if is_logged(name)]
