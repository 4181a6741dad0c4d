"""The array types every statistic speaks, and the one way into them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def as_floats(values: npt.ArrayLike) -> Floats:
    """Return `values` as a flat float array; raises Invalid when it has more than one dimension."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise Invalid(f"expected a flat array, got the shape {array.shape}")
    return array


def as_counts(values: npt.ArrayLike) -> Ints:
    """Return `values` as a flat array of counts; raises Invalid on a negative or broken count."""
    array = as_floats(values)
    if not np.all(np.isfinite(array)) or np.any(array < 0) or np.any(array != np.floor(array)):
        raise Invalid("a count is negative or not whole", fix="give whole numbers from 0 up")
    return array.astype(np.int64)


def check_same_length(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> None:
    """Raise Invalid when the two arrays do not have the same length, or are empty."""
    if len(first) != len(second):
        raise Invalid(f"the arrays have {len(first)} and {len(second)} values; they must be equal")
    if len(first) == 0:
        raise Invalid("the arrays are empty", why="nothing can be computed from no rows")
