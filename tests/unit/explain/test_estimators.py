from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier

from fixtures.estimators import forest, frame, labels, mixed_pipeline, rows
from millwright.core.errors import Invalid
from millwright.explain.contributions import Floats, explain_exactly
from millwright.explain.estimators import Explainer
from millwright.registry.fitted import encode, forget_frames, split_pipeline
from millwright.registry.flavors.sklearn import SklearnPredictor
from millwright.registry.package import load_package, write_package
from millwright.registry.signature import Array, Columns

TREES = [
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestClassifier(5, max_depth=6, random_state=0),
    RandomForestRegressor(3, max_depth=5, random_state=0),
    ExtraTreesClassifier(4, max_depth=6, random_state=0),
    GradientBoostingClassifier(n_estimators=8, random_state=0),
    GradientBoostingRegressor(n_estimators=8, random_state=0),
    HistGradientBoostingClassifier(max_iter=3, random_state=0),
    HistGradientBoostingRegressor(max_iter=3, random_state=0),
]
LINEAR = [LogisticRegression(max_iter=5000), LinearRegression()]


def fit(model: BaseEstimator) -> Any:
    fitted = mixed_pipeline(model).fit(frame(), labels())
    forget_frames(fitted)
    return fitted


def some(n: int, start: int = 100) -> dict[str, Array]:
    return {name: values[start : start + n] for name, values in rows().items()}


def answers(model: Any, scale: str, columns: Columns) -> Floats:
    """What scikit-learn itself says, on the scale that is explained."""
    _, last = split_pipeline(model)
    encoded = encode(model, columns)
    if scale == "probability":
        return last.predict_proba(encoded)[:, 1]
    return (last.decision_function if scale == "margin" else last.predict)(encoded)


@pytest.mark.parametrize("model", TREES + LINEAR, ids=lambda model: type(model).__name__)
def test_contributions_equal_brute_force_and_add_up(model: BaseEstimator) -> None:
    fitted = fit(model)
    background, row = some(6), some(1, start=0)
    found = Explainer(fitted, background).explain(row)
    assert found.method == ("linear" if model in LINEAR else "trees")
    brute = explain_exactly(lambda columns: answers(fitted, found.scale, columns), row, background)
    # Eight columns, of which the text is encoded as three and counts as one.
    assert list(found.values) == list(rows())
    for name, value in brute.values.items():
        assert found.values[name] == pytest.approx(value, abs=1e-6)
    assert abs(found.residue) < 1e-9
    assert found.output == pytest.approx(float(answers(fitted, found.scale, row)[0]), abs=1e-12)


def test_the_text_column_counts_when_the_model_uses_it() -> None:
    target = (rows()["region"] == "east").astype(np.int64)
    fitted: Any = mixed_pipeline(DecisionTreeClassifier(random_state=0)).fit(frame(), target)
    forget_frames(fitted)
    row = {name: values[1:2] for name, values in rows().items()}
    found = Explainer(fitted, some(6)).explain(row)
    assert found.values["region"] == pytest.approx(1 - 2 / 6)
    assert sum(abs(value) for value in found.values.values()) == pytest.approx(1 - 2 / 6)


def test_the_other_class_is_explained_by_the_opposite() -> None:
    for model in (GradientBoostingClassifier(n_estimators=3), LogisticRegression(max_iter=5000)):
        fitted = fit(model)
        one, two = (Explainer(fitted, some(5), class_index=k).explain(some(1, 0)) for k in (1, 0))
        assert two.values == pytest.approx({name: -value for name, value in one.values.items()})


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=2, random_state=0),
        LogisticRegression(max_iter=5000),
    ],
    ids=lambda model: type(model).__name__,
)
def test_one_of_three_classes(model: BaseEstimator) -> None:
    data, target = load_iris(return_X_y=True)
    fitted: Any = model.fit(data, target)
    columns: dict[str, Array] = {f"c{index}": data[:, index] for index in range(4)}
    background = {name: values[::15] for name, values in columns.items()}
    row = {name: values[120:121] for name, values in columns.items()}
    with pytest.raises(Invalid, match="knows 3 classes"):
        Explainer(fitted, background)
    found = Explainer(fitted, background, class_index=2).explain(row)

    def ask(mixed: Columns) -> Floats:
        matrix = np.column_stack(list(mixed.values()))
        if found.scale == "probability":
            return fitted.predict_proba(matrix)[:, 2]
        return fitted.decision_function(matrix)[:, 2]

    brute = explain_exactly(ask, row, background)
    assert found.values == pytest.approx(brute.values, abs=1e-6)


class TestWithoutStructure:
    def test_few_columns_are_explained_by_every_coalition(self) -> None:
        found = Explainer(fit(KNeighborsClassifier()), some(4)).explain(some(1, 0))
        assert (found.method, found.scale) == ("exact", "probability")
        assert abs(found.residue) < 1e-9

    def test_mixed_columns_are_asked_about_raw(self) -> None:
        mixing = make_pipeline(PolynomialFeatures(2), RandomForestClassifier(3, random_state=0))
        found = Explainer(fit(mixing), some(3)).explain(some(1, 0))
        assert (found.method, abs(found.residue) < 1e-9) == ("exact", True)

    def test_many_columns_are_sampled_with_errors_stated(self) -> None:
        data, target = load_breast_cancer(return_X_y=True)
        model = KNeighborsClassifier().fit(data[:, :12], target)
        columns: dict[str, Array] = {f"c{index}": data[:, index] for index in range(12)}
        background = {name: values[100:103] for name, values in columns.items()}
        row = {name: values[:1] for name, values in columns.items()}
        explainer = Explainer(model, background, orders=4)
        found = explainer.explain(row)
        assert found.method == "sampling"
        assert found.standard_error is not None
        assert abs(found.residue) < 1e-9
        assert explainer.explain(row) == found

    def test_a_start_that_depends_on_the_row_is_not_taken_for_a_constant(self) -> None:
        start = GradientBoostingClassifier(
            n_estimators=2, init=LogisticRegression(max_iter=5000), random_state=0
        )
        found = Explainer(fit(start), some(3)).explain(some(1, 0))
        assert found.method == "exact"


def test_a_packaged_model_is_explained_as_it_was_trained(tmp_path: Path) -> None:
    model = forest()
    write_package(model, example=frame(), folder=tmp_path, now_us=0)
    predictor = load_package(tmp_path, flavor="sklearn").predictor
    assert isinstance(predictor, SklearnPredictor)
    found = Explainer(predictor.estimator, some(20)).explain(some(1, 0))
    served = load_package(tmp_path).predict(some(1, 0))["probability"]
    assert found.output == pytest.approx(float(served.astype(float)[0]), abs=1e-6)


def test_what_does_not_fit_is_said() -> None:
    explainer = Explainer(fit(DecisionTreeClassifier()), some(3))
    with pytest.raises(Invalid, match="one row with the background's columns"):
        explainer.explain(some(2))
    with pytest.raises(Invalid, match="no background rows"):
        Explainer(fit(DecisionTreeClassifier()), some(0))
    with pytest.raises(Invalid, match="class 2 is none of the model's 2 classes"):
        Explainer(fit(DecisionTreeClassifier()), some(3), class_index=2)


def test_thirty_columns_and_a_hundred_trees_take_less_than_a_second() -> None:
    data, target = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(100, random_state=0).fit(data, target)
    columns: dict[str, Array] = {f"c{index}": data[:, index] for index in range(30)}
    background = {name: values[:100] for name, values in columns.items()}
    row = {name: values[300:301] for name, values in columns.items()}
    started = time.perf_counter()
    found = Explainer(model, background).explain(row)
    assert time.perf_counter() - started < 1.0
    assert abs(found.residue) < 1e-12
