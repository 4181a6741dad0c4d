from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from millwright.explain.columns import players_of, trace
from millwright.registry.fitted import encode, forget_frames

NAMES = ["a", "b", "a_b", "t"]
ROWS = pl.DataFrame(
    {
        "a": [1.0, 2.0, None, 4.0, 5.0, 6.0],
        "b": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
        "a_b": ["c", "d", "c", "d", "e", "c"],
        "t": ["x", "x", "x", "y", "z", "x"],
    }
)


def fitted(*parts: tuple[str, Any, list[str]], after: Any = "passthrough") -> Any:
    model = make_pipeline(ColumnTransformer(list(parts)), after, LinearRegression())
    return model.fit(ROWS, np.arange(6))


@pytest.mark.parametrize(
    ("parts", "players"),
    [
        # Column `a` with a value `b` would be called as column `a_b` is.
        (
            [("o", OneHotEncoder(), ["a_b", "t"]), ("p", "passthrough", ["b"])],
            [2, 2, 2, 3, 3, 3, 1],
        ),
        ([("o", OneHotEncoder(drop="first"), ["t", "a_b"])], [3, 3, 2, 2]),
        ([("o", OneHotEncoder(drop="if_binary"), ["t"])], [3, 3, 3]),
        # y and z occur once each and share a column.
        ([("o", OneHotEncoder(min_frequency=2), ["t"])], [3, 3]),
        ([("o", OneHotEncoder(min_frequency=2, drop="first"), ["t"])], [3]),
        ([("d", "drop", ["b"]), ("o", OrdinalEncoder(), ["t", "a_b"])], [3, 2]),
        ([("i", SimpleImputer(add_indicator=True), ["b", "a"])], [1, 0, 0]),
        (
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["b", "a"]),
                ("t", make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler()), ["t"]),
            ],
            [1, 0, 3, 3, 3],
        ),
        ([("f", FunctionTransformer(np.square), ["b"])], [1]),
    ],
)
def test_each_encoded_column_is_traced_to_its_raw_one(
    parts: list[tuple[str, Any, list[str]]], players: list[int]
) -> None:
    model = fitted(*parts, after=SimpleImputer())
    found = players_of(trace(model, NAMES))
    assert found is not None
    assert found.tolist() == players


def test_as_many_sources_as_the_last_estimator_sees() -> None:
    model = fitted(("o", OneHotEncoder(), ["a_b"]), ("p", StandardScaler(), ["b"]))
    forget_frames(model)
    encoded = encode(model, {name: ROWS[name].to_numpy() for name in NAMES})
    assert len(trace(model, NAMES)) == encoded.shape[1]


def test_columns_that_are_mixed_are_said_to_be() -> None:
    model = fitted(
        ("q", PolynomialFeatures(2, include_bias=False), ["b"]),
        ("o", OrdinalEncoder(), ["t"]),
        after=PolynomialFeatures(2, include_bias=False),
    )
    sources = trace(model, NAMES)
    assert set(sources) == {frozenset({1, 3})}
    assert players_of(sources) is None


def test_a_function_of_ones_own_may_mix_what_it_is_given() -> None:
    def swap(values: Any) -> Any:
        return values

    transformer = FunctionTransformer(swap, feature_names_out="one-to-one")
    parts = [("f", transformer, ["b"]), ("g", transformer, ["a"]), ("h", transformer, ["b", "a"])]
    model = fitted(*parts, after=SimpleImputer())
    sources = trace(model, NAMES)
    assert sources == [frozenset({1}), frozenset({0}), frozenset({0, 1}), frozenset({0, 1})]
