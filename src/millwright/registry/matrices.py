"""Named columns as the matrix of numbers that a booster or a network takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Unsupported
from millwright.registry.signature import Columns, row_count

T = TypeVar("T", bound=np.generic)

_SPACE = re.compile(r"\s")


def matched(names: Sequence[str], columns: Sequence[str]) -> list[str] | None:
    """Return `columns` in the order of a model's own `names`, or None when they are others.

    LightGBM writes white space in names as underscores, so that counts as the same name.
    """
    given = set(columns)
    if set(names) == given:
        return list(names)
    spelled = {_SPACE.sub("_", name): name for name in columns}
    if len(spelled) == len(given) and set(names) == set(spelled):
        return [spelled[name] for name in names]
    return None


def ordered(columns: Columns, names: Sequence[str]) -> list[str]:
    """Return the columns in the order a model was fitted on: by `names` where they match.

    A model that knows no names, or knows others (fitted on an array, its library makes some
    up), takes the columns as they stand.
    """
    return matched(names, list(columns)) or list(columns)


def matrix_of(columns: Columns, names: Sequence[str], kind: type[T]) -> npt.NDArray[T]:
    """Return (rows, columns) in the given order; raises Unsupported for a column of text."""
    out = np.empty((row_count(columns), len(names)), dtype=kind)
    for index, name in enumerate(names):
        values = columns[name]
        if values.dtype.kind not in "biuf":
            raise Unsupported(
                f"the model takes numbers, and the column {name} holds {values.dtype}",
                fix="put the model behind an encoder, in a scikit-learn pipeline",
            )
        out[:, index] = values
    return out
