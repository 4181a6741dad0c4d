from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from fixtures.boosters import matrix, numbers, sample_of, three, xgb_classifier
from fixtures.estimators import labels
from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.registry.flavors.xgboost import XgboostFlavor
from millwright.registry.package import load_package, write_package
from millwright.testing.flavors import Sample, TrainedFlavorSuite

pd: Any = importlib.import_module("pandas")  # it has no types


class TestXgboostClassifier(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> XgboostFlavor:
        return XgboostFlavor()

    @pytest.fixture
    def sample(self, flavor: XgboostFlavor) -> Sample:
        return sample_of(flavor, xgb_classifier())


class TestXgboostBooster(TestXgboostClassifier):
    @pytest.fixture
    def sample(self, flavor: XgboostFlavor) -> Sample:
        data = xgboost.DMatrix(matrix(), labels())
        parameters = {"objective": "binary:logistic", "nthread": 1}
        return sample_of(flavor, xgboost.train(parameters, data, num_boost_round=5))


def three_classes(**parameters: object) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=4, n_jobs=1, **parameters).fit(matrix(), three())


@pytest.mark.parametrize(
    "model",
    [
        three_classes(),
        three_classes(objective="multi:softmax"),
        xgb_classifier(booster="dart"),
        xgboost.XGBClassifier(n_estimators=5, booster="gblinear").fit(matrix(), labels()),
        xgboost.XGBRFClassifier(n_estimators=5).fit(matrix(), labels()),
        xgboost.XGBRegressor(n_estimators=4).fit(matrix(), matrix()[:, 0]),
        xgboost.XGBRegressor(n_estimators=4, objective="count:poisson").fit(matrix(), three()),
        xgboost.XGBRanker(n_estimators=4).fit(matrix(), three(), qid=np.zeros(300)),
        xgboost.XGBClassifier(n_estimators=50, early_stopping_rounds=2).fit(
            matrix(), labels(), eval_set=[(matrix(50), 1 - labels(50).astype(np.int64))], verbose=0
        ),
    ],
    ids=[
        "softprob", "softmax", "dart", "gblinear", "forest", "regressor", "poisson", "ranker",
        "stopped",
    ],
)  # fmt: skip
def test_a_package_answers_as_the_model_does(tmp_path: Path, model: xgboost.XGBModel) -> None:
    written = write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    assert written.flavors == ["xgboost"]
    answers = load_package(tmp_path).predict(numbers())
    np.testing.assert_array_equal(answers["prediction"], model.predict(matrix()))
    if isinstance(model, xgboost.XGBClassifier):
        expected = model.predict_proba(matrix()).astype(np.float64)
        found = answers["probability"].astype(np.float64)
        two = expected.shape[1] == 2
        np.testing.assert_allclose(found, expected[:, 1] if two else expected, atol=1e-7)


def test_a_model_fitted_on_a_frame_takes_its_columns_in_any_order(tmp_path: Path) -> None:
    frame = pd.DataFrame(numbers())
    model = xgboost.XGBClassifier(n_estimators=5).fit(frame, labels())
    names = list(frame.columns)[::-1]
    write_package(model, example=frame[names], folder=tmp_path, now_us=0)
    answers = load_package(tmp_path).predict(frame[names])
    assert answers["prediction"].tolist() == model.predict(frame).tolist()


class TestRefusals:
    def test_a_classifier_whose_scores_are_no_probabilities(self, tmp_path: Path) -> None:
        model = xgb_classifier(objective="binary:hinge")
        with pytest.raises(Unsupported, match="binary:hinge is not supported"):
            write_package(model, example=numbers(), folder=tmp_path, now_us=0)

    def test_several_values_a_row(self, tmp_path: Path) -> None:
        model = xgboost.XGBRegressor(n_estimators=2).fit(matrix(), matrix()[:, :2])
        with pytest.raises(Unsupported, match="2 values a row"):
            write_package(model, example=numbers(), folder=tmp_path, now_us=0)

    def test_text_is_named(self, tmp_path: Path) -> None:
        rows = numbers() | {"visits": np.array(["a"] * 300)}
        with pytest.raises(Unsupported, match="the column visits holds"):
            write_package(xgb_classifier(), example=rows, folder=tmp_path, now_us=0)

    def test_a_file_that_points_outside_is_never_given_to_the_library(self, tmp_path: Path) -> None:
        flavor = XgboostFlavor()
        text = bytes(xgb_classifier().get_booster().save_raw("json")).decode()
        start = text.index('"left_children":[') + len('"left_children":[')
        broken = text[:start] + "100000" + text[text.index(",", start) :]
        (tmp_path / "model.json").write_text(broken)
        sample = sample_of(flavor, xgb_classifier())
        with pytest.raises(Refused, match="points outside itself"):
            flavor.load(tmp_path, signature=sample.signature, section={"data": "model.json"})

    def test_what_only_the_library_refuses_is_corrupt(self, tmp_path: Path) -> None:
        flavor = XgboostFlavor()
        text = bytes(xgb_classifier().get_booster().save_raw("json")).decode()
        (tmp_path / "model.json").write_text(text.replace("binary:logistic", "binary:nothing"))
        sample = sample_of(flavor, xgb_classifier())
        with pytest.raises(Corrupt, match="XGBoost cannot read"):
            flavor.load(tmp_path, signature=sample.signature, section={"data": "model.json"})
