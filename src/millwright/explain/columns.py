"""Which raw columns stand behind each encoded one, told from the fitted transformers.

A contribution belongs to a column that a person knows: a one-hot encoded region is one column,
not eight. Names do not tell (`a_b_c` may be column `a_b` with the value `c`, or `a` with
`b_c`); what the fitted transformers learnt does: categories, dropped ones, infrequent ones
that share a column, output slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from millwright.registry.fitted import (
    Estimator,
    class_name,
    column_positions,
    fitted_parts,
    split_pipeline,
)

Sources: TypeAlias = "list[frozenset[int]]"
"""For each encoded column, the positions of the raw columns that decide it."""

CONSTANT = -1
"""The player of an encoded column that no raw column decides."""

# Each output column is made of the input column in the same place, and of no other.
_ONE_TO_ONE = frozenset(
    {
        "Binarizer",
        "FunctionTransformer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "OrdinalEncoder",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
        "VarianceThreshold",
    }
)


def trace(model: Estimator, names: Sequence[str]) -> Sources:
    """Return which raw columns stand behind each column that the last estimator sees.

    `names` are the model's input columns in order. A transformer that is not known to keep
    columns apart is taken to mix all of its inputs into each output: too much is named rather
    than too little.
    """
    transformers, _ = split_pipeline(model)
    sources: Sources = [frozenset({index}) for index in range(len(names))]
    for position, transformer in enumerate(transformers):
        sources = _through(transformer, sources, names if position == 0 else None)
    return sources


def players_of(sources: Sources) -> npt.NDArray[np.int64] | None:
    """Return the one raw column behind each encoded one, or None where some have several."""
    if any(len(source) > 1 for source in sources):
        return None
    return np.array([next(iter(source), CONSTANT) for source in sources], dtype=np.int64)


def _through(transformer: Estimator, sources: Sources, names: Sequence[str] | None) -> Sources:
    kind = class_name(transformer)
    if kind == "Pipeline":
        for position, (_, step) in enumerate(transformer.steps):
            if step is not None and not isinstance(step, str):
                sources = _through(step, sources, names if position == 0 else None)
        return sources
    if kind == "ColumnTransformer":
        return _through_columns(transformer, sources, names)
    if kind == "OneHotEncoder":
        widths = _one_hot_widths(transformer)
        return [s for s, width in zip(sources, widths, strict=True) for _ in range(width)]
    if kind == "SimpleImputer":
        return _through_imputer(transformer, sources)
    if kind == "VarianceThreshold":
        kept = cast("npt.NDArray[np.bool_]", transformer.get_support())
        return [source for source, keep in zip(sources, kept.tolist(), strict=True) if keep]
    if kind in _ONE_TO_ONE and _keeps_width(transformer):
        return sources
    mixed = frozenset(index for source in sources for index in source)
    return [mixed] * len(_names_out(transformer, len(sources)))


def _through_columns(
    transformer: Estimator, sources: Sources, names: Sequence[str] | None
) -> Sources:
    # Behind another transformer the columns have numbers only.
    known = names if names is not None else [str(index) for index in range(len(sources))]
    out: Sources = []
    for _, part, picked in fitted_parts(transformer):
        positions = column_positions(picked, known)
        if not positions:
            continue
        chosen = [sources[index] for index in positions]
        inner = [known[index] for index in positions]
        out += chosen if isinstance(part, str) else _through(part, chosen, inner)
    return out


def _one_hot_widths(encoder: Estimator) -> list[int]:
    infrequent = cast("Sequence[object] | None", getattr(encoder, "infrequent_categories_", None))
    dropped = cast("Sequence[object] | None", encoder.drop_idx_)
    widths: list[int] = []
    for index, categories in enumerate(cast("Sequence[Sequence[object]]", encoder.categories_)):
        width = len(categories)
        rare = None if infrequent is None else infrequent[index]
        if rare is not None:
            width -= len(cast("Sequence[object]", rare)) - 1
        if dropped is not None and dropped[index] is not None:
            width -= 1
        widths.append(width)
    return widths


def _through_imputer(imputer: Estimator, sources: Sources) -> Sources:
    statistics = cast("Sequence[object]", imputer.statistics_)
    empty = [value is None or value != value for value in statistics]  # noqa: PLR0124 (NaN)
    kept = [
        source
        for source, is_empty in zip(sources, empty, strict=True)
        if imputer.keep_empty_features or not is_empty
    ]
    indicator: Estimator = imputer.indicator_
    if indicator is not None:
        kept += [sources[int(index)] for index in indicator.features_]
    return kept


def _keeps_width(transformer: Estimator) -> bool:
    # A FunctionTransformer with a function of its own may mix columns at will.
    return (
        class_name(transformer) != "FunctionTransformer"
        or getattr(transformer, "func", None) is None
        or isinstance(transformer.func, np.ufunc)
    )


def _names_out(transformer: Estimator, n_inputs: int) -> Sequence[str]:
    names = [f"x{index}" for index in range(n_inputs)]
    fitted = getattr(transformer, "feature_names_in_", None)
    return cast(
        "Sequence[str]", transformer.get_feature_names_out(names if fitted is None else None)
    )
