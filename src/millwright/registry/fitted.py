"""Runs a fitted scikit-learn model on plain columns, without a data-frame library.

A fitted `ColumnTransformer` wants the kind of frame it was fitted on, and takes milliseconds
to cut one row into columns. What it would do is known once it is fitted: which columns go to
which transformer and in which order the results stand. That is done here on arrays.

scikit-learn is known by the names of its classes only, so this module imports none of it; it
comes into memory when a flavour loads a model that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid, Unsupported
from millwright.registry.signature import Array, Columns

# scikit-learn has no types; what is known of an estimator is what its documentation says.
Estimator: TypeAlias = Any
Picked: TypeAlias = "str | int | slice | Sequence[str] | Sequence[int] | npt.NDArray[np.bool_]"

# Their `predict` is defined as the class of the highest `predict_proba`, so that one pass over
# the trees is enough. Others (logistic regression, boosting) cut at 0 of another quantity.
_LABEL_IS_LIKELIEST = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreeClassifier",
        "ExtraTreesClassifier",
        "HistGradientBoostingClassifier",
        "RandomForestClassifier",
    }
)


@dataclass(frozen=True, slots=True)
class Block:
    """Named columns, in the order in which the estimator first saw them."""

    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    rows: int

    def pick(self, positions: Sequence[int]) -> Block:
        """Return some of the columns."""
        return Block(
            tuple(self.names[index] for index in positions),
            tuple(self.arrays[index] for index in positions),
            self.rows,
        )

    def matrix(self) -> Array:
        """Return (rows, columns): numbers where all columns are, objects otherwise."""
        if not self.arrays:
            return np.zeros((self.rows, 0))
        if all(values.dtype.kind in "biuf" for values in self.arrays):
            return np.column_stack(self.arrays)
        out = np.empty((self.rows, len(self.arrays)), dtype=object)
        for index, values in enumerate(self.arrays):
            out[:, index] = values
        return out


def block_of(columns: Columns) -> Block:
    """Return the columns as a block, in their order."""
    arrays = tuple(columns.values())
    return Block(tuple(columns), arrays, len(arrays[0]) if arrays else 0)


def class_name(estimator: Estimator) -> str:
    """Return the name of the estimator's class when scikit-learn made it, else ''."""
    kind = type(cast("object", estimator))
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def split_pipeline(model: Estimator) -> tuple[list[Estimator], Estimator]:
    """Return the transformers of a model in their order, and the estimator that answers."""
    if class_name(model) != "Pipeline":
        return [], model
    steps = [step for _, step in model.steps if not _is_idle(step)]
    if not steps:
        raise Invalid("the pipeline has no step")
    earlier, last = split_pipeline(steps[-1])
    return [*steps[:-1], *earlier], last


def encode(model: Estimator, columns: Columns) -> Array:
    """Return the matrix that the last estimator of `model` sees for these rows."""
    block = block_of(columns)
    transformers, _ = split_pipeline(model)
    return _chain(transformers, block)


def answer(model: Estimator, columns: Columns) -> tuple[Array, Array | None]:
    """Return the model's predictions and, where it knows them, its (n, k) probabilities."""
    _, last = split_pipeline(model)
    matrix = encode(model, columns)
    if not hasattr(last, "predict_proba"):
        return _flat(np.asarray(last.predict(matrix))), None
    probabilities = np.asarray(last.predict_proba(matrix))
    if class_name(last) in _LABEL_IS_LIKELIEST:
        return np.asarray(last.classes_)[np.argmax(probabilities, axis=1)], probabilities
    return _flat(np.asarray(last.predict(matrix))), probabilities


def column_positions(picked: Picked, block_names: Sequence[str]) -> list[int]:
    """Return where the columns stand that a fitted `ColumnTransformer` hands to one transformer.

    Raises Unsupported when it names a column that the rows do not have.
    """
    if isinstance(picked, str):
        return [_position(picked, block_names)]
    if isinstance(picked, slice):
        if isinstance(picked.start, str) or isinstance(picked.stop, str):
            start = None if picked.start is None else _position(picked.start, block_names)
            stop = None if picked.stop is None else _position(picked.stop, block_names) + 1
            picked = slice(start, stop, picked.step)
        return list(range(len(block_names)))[picked]
    if isinstance(picked, int | np.integer):
        return [range(len(block_names))[int(picked)]]
    chosen = list(picked)
    if chosen and all(isinstance(item, bool | np.bool_) for item in chosen):
        return [index for index, item in enumerate(chosen) if item]
    return [
        _position(item, block_names)
        if isinstance(item, str)
        else range(len(block_names))[int(item)]
        for item in chosen
    ]


def fitted_parts(transformer: Estimator) -> Iterator[tuple[str, Estimator, Picked]]:
    """Iterate over (name, transformer, columns) of a fitted `ColumnTransformer`, in output order.

    What it drops is left out.
    """
    for name, part, picked in transformer.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        yield name, part, picked


def forget_frames(model: Estimator) -> None:
    """Have a loaded model take arrays in silence and give arrays back.

    Fitted on a frame it would warn at every array, and may be set to answer with frames.
    """
    for part in walk(model):
        state = cast("dict[str, object]", vars(part))
        for name in ("feature_names_in_", "_sklearn_output_config"):
            state.pop(name, None)


def walk(model: Estimator) -> Iterator[Estimator]:
    """Iterate once over every object of scikit-learn's that `model` holds, itself first."""
    seen: set[int] = set()
    waiting: list[object] = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, list | tuple):
            waiting.extend(cast("Sequence[object]", item))
        elif isinstance(item, dict):
            waiting.extend(cast("dict[object, object]", item).values())
        elif isinstance(item, np.ndarray):
            held = cast("Array", item)
            if held.dtype.kind == "O":
                waiting.extend(cast("list[object]", held.reshape(-1).tolist()))
        elif class_name(item) and hasattr(item, "__dict__") and not isinstance(item, type):
            yield item
            waiting.extend(vars(item).values())


def _chain(transformers: Sequence[Estimator], block: Block) -> Array:
    """Apply the transformers one behind the other; only the first sees named columns."""
    if not transformers:
        return block.matrix()
    matrix = _apply(transformers[0], block)
    for transformer in transformers[1:]:
        matrix = _dense(transformer.transform(matrix))
    return matrix


def _apply(transformer: Estimator, block: Block) -> Array:
    kind = class_name(transformer)
    if kind == "Pipeline":
        return _chain([step for _, step in transformer.steps if not _is_idle(step)], block)
    if kind == "ColumnTransformer":
        return _apply_to_columns(transformer, block)
    return _dense(transformer.transform(block.matrix()))


def _apply_to_columns(transformer: Estimator, block: Block) -> Array:
    weights = cast("dict[str, float]", transformer.transformer_weights or {})
    results: list[Array] = []
    for name, part, picked in fitted_parts(transformer):
        positions = column_positions(picked, block.names)
        if not positions:
            continue
        chosen = block.pick(positions)
        if isinstance(part, str):  # "passthrough"
            result = chosen.matrix()
        elif isinstance(picked, str | int):
            result = _dense(part.transform(chosen.arrays[0]))
        else:
            result = _apply(part, chosen)
        results.append(result * weights[name] if name in weights else result)  # pyright: ignore[reportOperatorIssue, reportUnknownArgumentType]
    return np.hstack(results) if results else np.zeros((block.rows, 0))


def _dense(result: Any) -> Array:
    array = cast("Array", result.toarray() if hasattr(result, "toarray") else np.asarray(result))
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _flat(array: Array) -> Array:
    if array.ndim == 2 and array.shape[1] != 1:
        raise Unsupported(
            f"the model answers with {array.shape[1]} values a row; one is supported",
            fix="train a model for each target",
        )
    return array.reshape(-1)


def _is_idle(step: Estimator) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


def _position(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise Unsupported(
            f"the model was fitted on a column {name!r} that the rows do not have",
            fix="package it with example rows that hold the columns it was fitted on",
        )
    return names.index(name)
