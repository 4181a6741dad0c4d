from __future__ import annotations

import importlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from fixtures.boosters import lgb_booster, lgb_classifier, matrix, numbers, sample_of, three
from fixtures.estimators import labels
from millwright.core.digest import Digest
from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.registry.flavors.lightgbm import LightgbmFlavor
from millwright.registry.package import load_package, write_package
from millwright.registry.pickles import PicklePermission
from millwright.testing.flavors import Sample, TrainedFlavorSuite

pd: Any = importlib.import_module("pandas")  # it has no types


class TestLightgbmClassifier(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> LightgbmFlavor:
        return LightgbmFlavor()

    @pytest.fixture
    def sample(self, flavor: LightgbmFlavor) -> Sample:
        return sample_of(flavor, lgb_classifier())


class TestLightgbmBooster(TestLightgbmClassifier):
    @pytest.fixture
    def sample(self, flavor: LightgbmFlavor) -> Sample:
        return sample_of(flavor, lgb_booster())


@pytest.mark.parametrize(
    "model",
    [
        lgb_classifier(three()),
        lgb_classifier(np.where(labels() == 1, "good", "bad")),
        lgb_classifier(boosting_type="dart"),
        lgb_classifier(linear_tree=True),
        lightgbm.LGBMRegressor(n_estimators=4, verbose=-1).fit(matrix(), matrix()[:, 0]),
        lightgbm.LGBMRanker(n_estimators=4, verbose=-1).fit(matrix(), three(), group=[300]),
        lightgbm.LGBMClassifier(n_estimators=50, verbose=-1).fit(
            matrix(),
            labels(),
            eval_X=matrix(50),
            eval_y=1 - labels(50).astype(np.int64),
            callbacks=[lightgbm.early_stopping(2, verbose=False)],
        ),
    ],
    ids=["three", "words", "dart", "linear", "regressor", "ranker", "stopped"],
)
def test_a_package_answers_as_the_model_does(tmp_path: Path, model: lightgbm.LGBMModel) -> None:
    written = write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    assert written.flavors == ["lightgbm"]
    answers = load_package(tmp_path).predict(numbers())
    np.testing.assert_array_equal(answers["prediction"], model.predict(matrix()))
    if isinstance(model, lightgbm.LGBMClassifier):
        expected = model.predict_proba(matrix())
        found = answers["probability"].astype(np.float64)
        np.testing.assert_allclose(found, expected[:, 1] if expected.shape[1] == 2 else expected)


def test_the_same_fit_is_the_same_model_whatever_training_left_behind(tmp_path: Path) -> None:
    digests: list[Digest] = []
    for cores in (1, 2):
        folder = tmp_path / str(cores)
        folder.mkdir()
        booster = lgb_booster(num_threads=cores)
        digests.append(write_package(booster, example=numbers(), folder=folder, now_us=0).digest)
    assert digests[0] == digests[1]


def test_a_model_fitted_on_a_frame_takes_its_columns_in_any_order(tmp_path: Path) -> None:
    frame = pd.DataFrame(numbers()).rename(columns={"x0": "first column (cm)"})
    model = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(frame, labels())
    names = list(frame.columns)[::-1]
    write_package(model, example=frame[names], folder=tmp_path, now_us=0)
    answers = load_package(tmp_path).predict(frame[names])
    assert answers["prediction"].tolist() == model.predict(frame).tolist()


class TestRefusals:
    def test_categories_of_pandas_are_refused(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(numbers())
        frame["kind"] = pd.Categorical(np.array(["a", "b", "c"])[np.arange(300) % 3])
        model = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(frame, labels())
        rows = numbers() | {"kind": np.arange(300) % 3}
        with pytest.raises(Unsupported, match="columns of categories"):
            write_package(model, example=rows, folder=tmp_path, now_us=0)

    def test_a_booster_in_a_skops_file_is_followed_before_it_is_made(self, tmp_path: Path) -> None:
        flavor = LightgbmFlavor()
        sample = sample_of(flavor, lgb_classifier())
        dumped = flavor.dump(
            sample.model, signature=sample.signature, classes=sample.classes, folder=tmp_path
        )
        path = tmp_path / dumped.weights[0]
        change_schema(path, "left_child=1", "left_child=77")
        with pytest.raises(Refused, match="points outside itself"):
            flavor.load(tmp_path, signature=sample.signature, section=dumped.section)

    def test_other_types_in_a_skops_file_are_refused_by_name(self, tmp_path: Path) -> None:
        flavor = LightgbmFlavor()
        sample = sample_of(flavor, lgb_classifier())
        dumped = flavor.dump(
            sample.model, signature=sample.signature, classes=sample.classes, folder=tmp_path
        )
        path = tmp_path / dumped.weights[0]
        change_schema(path, '"LGBMClassifier"', '"LGBMClassifier2"')
        with pytest.raises(Refused, match=r"not allowed: lightgbm\.sklearn\.LGBMClassifier2"):
            flavor.load(tmp_path, signature=sample.signature, section=dumped.section)

    def test_a_pickle_needs_a_permission(self, tmp_path: Path) -> None:
        flavor = LightgbmFlavor()
        sample = sample_of(flavor, lgb_classifier())
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(sample.model))
        section = {
            "data": "model.pkl",
            "model_class": "lightgbm.sklearn.LGBMClassifier",
            "serialization_format": "cloudpickle",
        }
        with pytest.raises(Refused, match=r"model\.pkl is a pickle"):
            flavor.load(tmp_path, signature=sample.signature, section=section)
        loaded = flavor.load_pickle(
            tmp_path,
            signature=sample.signature,
            section=section,
            permission=PicklePermission(Digest("b3:" + "0" * 64), "a test"),
        )
        expected = flavor.ask(sample.model, sample.rows, None)
        found = loaded.predict(sample.rows)
        np.testing.assert_array_equal(found["prediction"], expected["prediction"])
        (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises(Corrupt, match="holds a dict"):
            flavor.load_pickle(
                tmp_path,
                signature=sample.signature,
                section=section,
                permission=PicklePermission(Digest("b3:" + "0" * 64), "a test"),
            )


def change_schema(path: Path, old: str, new: str) -> None:
    """Replace words in a skops file's schema, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["schema.json"].decode()
    assert old in text
    members["schema.json"] = text.replace(old, new, 1).encode()
    json.loads(members["schema.json"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path.write_bytes(out.getvalue())
