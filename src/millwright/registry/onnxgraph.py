"""Graphs that other tools made: how plain columns become their tensors, and answers ours.

Two shapes are common: one tensor with a table of all columns, and one tensor of (n, 1) for each
column, called by its name. A classifier answers labels and, as a tensor or as a list of
dictionaries, the probability of each; anything else one number a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from millwright.core.errors import Unsupported
from millwright.registry.answers import one_a_row
from millwright.registry.matrices import matrix_of
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Columns

_KINDS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_TEXT = "tensor(string)"


def feed_of(inputs: Sequence[tuple[str, str]], columns: Columns) -> dict[str, Array]:
    """Return the tensors for a graph's inputs, given as (name, type).

    Raises Unsupported when the columns are not what they take.
    """
    names = [name for name, _ in inputs]
    if len(inputs) == 1 and names != list(columns):
        name, kind = inputs[0]
        return {name: _tensor(columns, list(columns), kind)}
    if set(names) != set(columns):
        raise Unsupported(
            f"the ONNX graph takes {', '.join(names[:8])}",
            why=f"the rows have {', '.join(list(columns)[:8])}",
            fix="log it with an input example whose columns have the names of its inputs",
        )
    return {name: _tensor(columns, [name], kind) for name, kind in inputs}


def answers_of(outputs: Sequence[object]) -> dict[str, Array]:
    """Return a graph's outputs in our words; raises Unsupported for several numbers a row."""
    first = np.asarray(outputs[0])
    if len(outputs) > 1 and first.dtype.kind in "iOUb" and first.size == len(first):
        probabilities = _probabilities(outputs[1])
        if probabilities is not None and len(probabilities) == len(first):
            two = probabilities.shape[1] == 2
            return {
                PREDICTION: first.reshape(-1),
                PROBABILITY: np.ascontiguousarray(probabilities[:, 1]) if two else probabilities,
            }
    if first.dtype.kind in "iOUb" and first.ndim and first.size == len(first):
        return {PREDICTION: first.reshape(-1)}
    return {PREDICTION: one_a_row(first)}


def _tensor(columns: Columns, names: Sequence[str], kind: str) -> Array:
    if kind == _TEXT:
        return np.column_stack([columns[name].astype(np.object_) for name in names])
    if kind not in _KINDS:
        raise Unsupported(f"the ONNX graph takes a {kind}, which no column gives")
    return matrix_of(columns, names, _KINDS[kind])


def _probabilities(output: object) -> Array | None:
    """Return (n, k) numbers from a tensor, or from one dictionary for each row."""
    if isinstance(output, list):
        rows = cast("list[Mapping[object, float]]", output)
        if not rows or not all(isinstance(row, dict) for row in rows):
            return None
        return np.array([list(row.values()) for row in rows], dtype=np.float64)
    array = np.asarray(output)
    return array.astype(np.float64) if array.ndim == 2 and array.dtype.kind == "f" else None
