"""Contributions: how much each raw column moved one answer away from the usual one.

They are Shapley values against background rows (the interventional kind): a coalition's worth
is the mean answer when its columns come from the row and the others from each background row.
They add up, with no rest, to the answer minus the mean answer of the background.

Three ways to compute the same thing, so that methods can be compared with each other:

- `explain_exactly` asks the model about every coalition: up to 10 columns;
- `explain_by_sampling` walks random orders of the columns, each one forwards and backwards,
  adds up exactly as well, and states the standard error of each value;
- `trees.explain_trees`, exact and fast, where the model is an ensemble of trees.

Sources: Shapley 1953; Štrumbelj and Kononenko, JMLR 2010 (sampling); Mitchell et al., JMLR 2022
(antithetic permutations); Lundberg et al., Nature Machine Intelligence 2020 (interventional).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.registry.signature import Array, Columns, row_count

Floats: TypeAlias = npt.NDArray[np.float64]
Predict: TypeAlias = Callable[[Columns], Floats]
"""Answers rows of raw columns with one number each."""
Scale: TypeAlias = Literal["probability", "margin", "prediction"]
Method: TypeAlias = Literal["trees", "linear", "exact", "sampling"]

MAX_EXACT_COLUMNS = 10
_MAX_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Contributions:
    """One answer, taken apart."""

    output: float
    """What the model answered to the row."""
    base: float
    """What it answers to the background rows on average."""
    values: dict[str, float]
    """Raw column -> how far it moved the answer from `base` towards `output`."""
    residue: float
    """`output - base - sum(values)`: rounding, and nothing else."""
    scale: Scale
    """`margin`: before the link function, such as log-odds."""
    method: Method
    background_rows: int
    standard_error: dict[str, float] | None = None
    """Of each value, where it was sampled; None where it is exact."""


def explain_exactly(
    predict: Predict, row: Columns, background: Columns, *, scale: Scale = "probability"
) -> Contributions:
    """Return the Shapley values of one row, from every coalition of its columns.

    `row` has one row. Asks the model 2**columns times about each background row. Raises Invalid
    with more than 10 columns, and when row and background do not fit together.
    """
    names = _check(row, background)
    n = len(names)
    if n > MAX_EXACT_COLUMNS:
        raise Invalid(
            f"{n} columns make {2**n} coalitions",
            why=f"all of them are asked about for up to {MAX_EXACT_COLUMNS} columns",
            fix="use explain_by_sampling",
        )
    coalitions = np.arange(1 << n)[:, None] >> np.arange(n) & 1 == 1
    worth = _worth(predict, row, background, coalitions)
    sizes = np.count_nonzero(coalitions, axis=1)
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    values: dict[str, float] = {}
    for index, name in enumerate(names):
        without = np.flatnonzero(~coalitions[:, index])
        gain = worth[without | 1 << index] - worth[without]
        values[name] = float(np.sum(weight[sizes[without]] * gain))
    return finish(
        values,
        output=float(worth[-1]),
        base=float(worth[0]),
        scale=scale,
        method="exact",
        background_rows=row_count(background),
    )


def explain_by_sampling(
    predict: Predict,
    row: Columns,
    background: Columns,
    *,
    random: np.random.Generator,
    orders: int = 32,
    scale: Scale = "probability",
) -> Contributions:
    """Return estimated Shapley values of one row, and their standard errors.

    Draws `orders` random orders of the columns (at least 2); each is walked forwards and
    backwards, and the two are one draw, since they err in opposite directions. The values of
    every walk add up to the answer minus the base, and so does their mean.
    """
    names = _check(row, background)
    if orders < 2:
        raise Invalid(f"{orders} orders give no standard error", fix="draw at least 2")
    n = len(names)
    draws = np.zeros((orders, n))
    base, output = np.nan, np.nan
    for draw in range(orders):
        order = random.permutation(n)
        for walk in (order, order[::-1]):
            place = np.empty(n, dtype=np.int64)
            place[walk] = np.arange(n)
            worth = _worth(predict, row, background, place[None, :] < np.arange(n + 1)[:, None])
            draws[draw, walk] += np.diff(worth) / 2
            base, output = float(worth[0]), float(worth[-1])
    means = draws.mean(axis=0)
    errors = draws.std(axis=0, ddof=1) / np.sqrt(orders)
    return finish(
        dict(zip(names, means.tolist(), strict=True)),
        output=output,
        base=base,
        scale=scale,
        method="sampling",
        background_rows=row_count(background),
        standard_error=dict(zip(names, errors.tolist(), strict=True)),
    )


def finish(
    values: dict[str, float],
    *,
    output: float,
    base: float,
    scale: Scale,
    method: Method,
    background_rows: int,
    standard_error: dict[str, float] | None = None,
) -> Contributions:
    """Return the contributions with what rounding left over."""
    return Contributions(
        output=output,
        base=base,
        values=values,
        residue=output - base - sum(values.values()),
        scale=scale,
        method=method,
        background_rows=background_rows,
        standard_error=standard_error,
    )


def _check(row: Columns, background: Columns) -> list[str]:
    names = list(row)
    if row_count(row) != 1:
        raise Invalid(f"one row is explained at a time, not {row_count(row)}")
    if set(names) != set(background):
        different = sorted(set(names) ^ set(background))
        raise Invalid("row and background have different columns", why=", ".join(different[:5]))
    if not row_count(background):
        raise Invalid(
            "there are no background rows", why="a contribution is a distance from the usual"
        )
    return names


def _worth(
    predict: Predict, row: Columns, background: Columns, coalitions: npt.NDArray[np.bool_]
) -> Floats:
    """Return the worth of each coalition: (coalitions, columns) -> (coalitions,)."""
    n_background = row_count(background)
    step = max(1, _MAX_ROWS_AT_ONCE // n_background)
    parts: list[Floats] = []
    for start in range(0, len(coalitions), step):
        some = coalitions[start : start + step]
        mixed = {
            name: _mix(row[name], background[name], some[:, index])
            for index, name in enumerate(row)
        }
        answers = predict(mixed).astype(np.float64)
        parts.append(answers.reshape(len(some), n_background).mean(axis=1))
    return np.concatenate(parts)


def _mix(value: Array, background: Array, from_row: npt.NDArray[np.bool_]) -> Array:
    kind = np.promote_types(value.dtype, background.dtype)
    tiled = np.tile(background.astype(kind), len(from_row))
    return np.where(np.repeat(from_row, len(background)), value.astype(kind), tiled)
