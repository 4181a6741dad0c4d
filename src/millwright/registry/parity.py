"""Do two forms of one model answer alike? Measured on rows, never assumed.

The rows are the package's examples, taken from training data, and as many again as it takes to
reach `MIN_ROWS`, each column drawn from the examples by itself: such mixed rows lie where no
example does, on either side of a tree's cuts. On the examples every label must agree; on mixed
rows a label may differ only where the two likeliest classes tie within the tolerance, which no
arithmetic decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from millwright.records.schema import Signature
from millwright.registry.flavor import Predictor
from millwright.registry.signature import (
    PREDICTION,
    PROBABILITY,
    Array,
    Columns,
    row_count,
)

TOLERANCE = 1e-5
"""The largest difference of two probabilities, or, relative to their scale, of two numbers."""
MIN_ROWS = 1000
_SEED = 20_260_101


class Parity(Struct, frozen=True, kw_only=True):
    """What was measured between a model as trained and a converted form of it."""

    example_rows: int
    mixed_rows: int
    example_labels_differ: int
    """On examples; None of them may. Always 0 for a regressor, which has no labels."""
    mixed_labels_differ: int
    """On mixed rows, ties apart."""
    max_abs_difference: float
    """Of probabilities; of predictions, for a regressor."""
    tolerance: float
    """What the difference was held against."""
    accepted: bool


def measure(trained: Predictor, converted: Predictor, rows: Columns, n_examples: int) -> Parity:
    """Return how far `converted` is from `trained` on `rows`, of which the first are examples."""
    return compare(trained.predict(rows), converted.predict(rows), n_examples)


def compare(left: Mapping[str, Array], right: Mapping[str, Array], n_examples: int) -> Parity:
    """Return how far the answers `right` are from `left`; the first are those to examples."""
    n = len(left[PREDICTION])
    is_example = np.arange(n) < n_examples
    differs = np.zeros(n, dtype=np.bool_)
    tolerance = TOLERANCE
    if PROBABILITY in left:
        differs = left[PREDICTION] != right[PREDICTION]
        differs &= is_example | ~_is_tie(_floats(left[PROBABILITY]))
        gap = _gap(left[PROBABILITY], right[PROBABILITY])
    elif left[PREDICTION].dtype.kind == "f":
        gap = _gap(left[PREDICTION], right[PREDICTION])
        size = np.abs(_floats(left[PREDICTION]))
        tolerance *= max(1.0, float(size.max(initial=0.0, where=np.isfinite(size))))
    else:
        differs = left[PREDICTION] != right[PREDICTION]
        gap = 0.0
    return Parity(
        example_rows=n_examples,
        mixed_rows=n - n_examples,
        example_labels_differ=int((differs & is_example).sum()),
        mixed_labels_differ=int((differs & ~is_example).sum()),
        max_abs_difference=gap,
        tolerance=tolerance,
        accepted=not differs.any() and gap <= tolerance,
    )


def mix(examples: Columns, signature: Signature) -> dict[str, Array]:
    """Return the examples, followed by mixed rows up to at least `MIN_ROWS` in all.

    A nullable column lacks its value in about every tenth mixed row. Always the same rows
    for the same examples.
    """
    n = row_count(examples)
    extra = max(MIN_ROWS - n, 0)
    random = np.random.default_rng(_SEED)
    nullable = {column.name for column in signature.inputs if column.nullable}
    out: dict[str, Array] = {}
    for name, values in examples.items():
        drawn = values[random.integers(0, n, extra)]
        if name in nullable:
            lacks = random.integers(0, 10, extra) == 0
            if values.dtype.kind == "O":
                drawn = np.where(lacks, np.array(None, dtype=object), drawn)
            else:
                drawn = np.where(lacks, np.nan, drawn.astype(np.float64))
        out[name] = np.concatenate([values, drawn])
    return out


def _is_tie(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    both = probability if probability.ndim == 2 else np.column_stack([1 - probability, probability])
    ranked = np.sort(both, axis=1)
    return ranked[:, -1] - ranked[:, -2] <= 2 * TOLERANCE


def _gap(left: Array, right: Array) -> float:
    """Return the largest difference: none between two that are no numbers, or the same infinity."""
    here, there = _floats(left), _floats(right)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(here - there)
    gaps[(here == there) | (np.isnan(here) & np.isnan(there))] = 0.0
    return float(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _floats(values: Array) -> npt.NDArray[np.float64]:
    return values.astype(np.float64)
