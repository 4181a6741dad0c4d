"""Lists as columns: what a user writes down by hand, each value with the type it has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid

Array: TypeAlias = npt.NDArray[np.generic]
MAX_NAMED = 5


def as_array(values: object) -> Array:
    """Return an array in which a list's values keep their types: NumPy makes texts of 1 and "a"."""
    if not isinstance(values, list | tuple):
        return np.asarray(values)
    given = cast("Sequence[object]", values)
    if _have_one_kind(set(map(type, given))):
        try:
            return np.asarray(given)
        except ValueError:
            # Lists of several lengths, which the check names.
            pass
    return np.fromiter(given, dtype=object, count=len(given))


def columns_of_matrix(
    rows: object, names: Sequence[object] | None
) -> tuple[list[str], list[Array]]:
    """Return names and columns of rows whose columns have none; raises Invalid for what is none."""
    columns = _columns_of_rows(rows)
    if columns is None:
        try:
            matrix = np.asarray(rows)
        except ValueError as error:
            raise Invalid("these rows are not all of one length", why=str(error)) from error
        if matrix.ndim != 2:
            raise Invalid(
                f"what has the shape {matrix.shape} holds no rows",
                fix="give a frame, a mapping from names to columns, or a matrix (rows, columns)",
            )
        columns = list(matrix.T)
    width = len(columns)
    called = [f"x{at}" for at in range(width)] if names is None else [str(name) for name in names]
    if len(called) != width:
        raise Invalid(
            f"the rows have {width} columns, not {len(called)}",
            why=f"the model takes: {listed(called)}",
        )
    return called, columns


def listed(names: list[str], *, limit: int = MAX_NAMED) -> str:
    """Return names in a row, the first few of many."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _columns_of_rows(rows: object) -> list[Array] | None:
    """Return the columns of rows that hold values of several kinds; None for any other."""
    if not isinstance(rows, list | tuple):
        return None
    given = cast("Sequence[Sequence[object]]", rows)
    if not all(isinstance(row, list | tuple) for row in given):
        return None
    if _have_one_kind(set(map(type, chain.from_iterable(given)))):
        return None
    if len(set(map(len, given))) > 1:
        raise Invalid("these rows are not all of one length")
    return [as_array(column) for column in zip(*given, strict=True)]


def _have_one_kind(types: set[type]) -> bool:
    return len(types) < 2 or types <= {int, float}
