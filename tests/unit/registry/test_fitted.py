from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler

from fixtures.estimators import forest, frame, labels, rows
from millwright.core.errors import Unsupported
from millwright.registry.fitted import (
    answer,
    column_positions,
    encode,
    forget_frames,
    split_pipeline,
    walk,
)

NUMBERS = [f"x{index}" for index in range(6)] + ["visits"]


def transformers() -> list[BaseEstimator]:
    return [
        ColumnTransformer([("a", StandardScaler(), ["x1", "x0"])], remainder="passthrough"),
        ColumnTransformer([("a", "drop", ["x1"]), ("b", StandardScaler(), NUMBERS[2:])]),
        ColumnTransformer(
            [
                ("a", make_pipeline(SimpleImputer(), PolynomialFeatures(2)), ["x1", "x2"]),
                ("b", OneHotEncoder(drop="first"), ["region", "visits"]),
            ],
            transformer_weights={"a": 2.0},
            sparse_threshold=1.0,
        ),
        ColumnTransformer(
            [
                ("a", StandardScaler(), [0, 1]),
                ("b", OrdinalEncoder(), [7]),
            ]
        ).set_output(transform="polars"),  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        make_pipeline(
            ColumnTransformer(
                [("a", ColumnTransformer([("s", StandardScaler(), ["x0"])]), ["x0", "x1"])]
            ),
            "passthrough",
            StandardScaler(),
        ),
    ]


def chained(fitted: Pipeline, data: pl.DataFrame) -> Any:
    inner = fitted[0]
    return inner[2].transform(inner[0].transform(data))


@pytest.mark.parametrize("index", range(5))
def test_columns_are_encoded_as_a_frame_is(index: int) -> None:
    transformer = transformers()[index]
    if isinstance(transformer, ColumnTransformer) and index == 0:
        data = frame().drop("region")
    else:
        data = frame()
    fitted = Pipeline([("t", transformer), ("m", LinearRegression())]).fit(data, labels())
    expected = fitted[0].transform(data) if index < 4 else chained(fitted, data)
    if hasattr(expected, "toarray"):
        expected = expected.toarray()
    forget_frames(fitted)
    given = {name: data[name].to_numpy() for name in data.columns}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = encode(fitted, given)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found.astype(float), np.asarray(expected).astype(float))


def test_answers_equal_the_models_own() -> None:
    model = forest()
    expected = model.predict(frame()), model.predict_proba(frame())
    forget_frames(model)
    prediction, probabilities = answer(model, rows())
    np.testing.assert_array_equal(prediction, expected[0])
    assert probabilities is not None
    np.testing.assert_array_equal(probabilities, expected[1])


def test_nested_pipelines_are_one_row_of_steps() -> None:
    scaler, last = StandardScaler(), LinearRegression()
    nested = make_pipeline("passthrough", make_pipeline(scaler, last))
    assert split_pipeline(nested) == ([scaler], last)


def test_columns_are_picked_in_every_way_scikit_learn_knows() -> None:
    names = ["a", "b", "c", "d"]
    assert column_positions("b", names) == [1]
    assert column_positions(["d", "a"], names) == [3, 0]
    assert column_positions(-1, names) == [3]
    assert column_positions([0, -2], names) == [0, 2]
    assert column_positions(slice("b", "c"), names) == [1, 2]
    assert column_positions(slice(2, None), names) == [2, 3]
    assert column_positions(np.array([True, False, False, True]), names) == [0, 3]
    with pytest.raises(Unsupported, match="fitted on a column 'e'"):
        column_positions(["e"], names)


def test_walking_meets_every_estimator_once() -> None:
    found = [type(part).__name__ for part in walk(forest(trees=3))]
    assert found.count("RandomForestClassifier") == 1
    # Three fitted trees and the one that describes them.
    assert found.count("DecisionTreeClassifier") == 4
