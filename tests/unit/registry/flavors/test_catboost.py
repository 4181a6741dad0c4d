"""Run where CatBoost is installed: `make interop` does, in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fixtures.boosters import matrix, numbers, three
from fixtures.estimators import labels, rows
from millwright.core.errors import Invalid, MillwrightError, Unsupported
from millwright.registry.flavor import load_flavor
from millwright.registry.package import load_package, write_package
from millwright.registry.signature import Array, infer_signature
from millwright.testing.flavors import Sample, TrainedFlavorSuite

if TYPE_CHECKING:
    import catboost

    from millwright.registry.flavors.catboost import CatboostFlavor
else:
    catboost = pytest.importorskip("catboost")

    def CatboostFlavor() -> object:
        return load_flavor("catboost")


SETTINGS: dict[str, object] = {"iterations": 5, "depth": 3, "allow_writing_files": False}


def classifier(target: Array | None = None, **settings: object) -> catboost.CatBoostClassifier:
    model = catboost.CatBoostClassifier(**SETTINGS | settings)
    return model.fit(matrix(), labels() if target is None else target, verbose=False)


class TestCatboostFlavor(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> CatboostFlavor:
        return CatboostFlavor()

    @pytest.fixture
    def sample(self, flavor: CatboostFlavor) -> Sample:
        model = classifier()
        answers = flavor.ask(model, numbers(), None)
        return Sample(model, infer_signature(numbers(), answers), [0, 1], numbers())


@pytest.mark.parametrize("policy", ["Lossguide", "Depthwise", "SymmetricTree"])
def test_every_kind_of_tree_is_followed_and_answers(tmp_path: Path, policy: str) -> None:
    model = classifier(three(), grow_policy=policy)
    write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    expected = np.asarray(model.predict(matrix())).reshape(-1)
    assert load_package(tmp_path).predict(numbers())["prediction"].tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["three", "words", "regressor"])
def test_a_package_answers_as_the_model_does(tmp_path: Path, kind: str) -> None:
    model: catboost.CatBoost
    if kind == "three":
        model = classifier(three())
    elif kind == "words":
        model = classifier(np.where(labels() == 1, "good", "bad"))
    else:
        model = catboost.CatBoostRegressor(**SETTINGS)
        model.fit(matrix(), matrix()[:, 0], verbose=False)
    written = write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    assert written.flavors == ["catboost"]
    answers = load_package(tmp_path).predict(numbers())
    expected = np.asarray(model.predict(matrix())).reshape(-1)
    assert answers["prediction"].tolist() == expected.tolist()


def test_the_same_fit_is_the_same_model_whenever_and_wherever(tmp_path: Path) -> None:
    digests: set[str] = set()
    for cores in (1, 2):
        folder = tmp_path / str(cores)
        folder.mkdir()
        model = classifier()
        model.get_metadata()["model_guid"] = str(cores)
        digests.add(write_package(model, example=numbers(), folder=folder, now_us=0).digest)
    assert len(digests) == 1


def test_categories_of_text_are_taken(tmp_path: Path) -> None:
    columns = rows()
    table = np.empty((300, len(columns)), dtype=object)
    for place, values in enumerate(columns.values()):
        table[:, place] = values
    model = catboost.CatBoostClassifier(**SETTINGS)
    model.fit(table, labels(), cat_features=[7], verbose=False)
    write_package(model, example=columns, folder=tmp_path, now_us=0)
    loaded = load_package(tmp_path)
    assert loaded.predict(columns)["prediction"].tolist() == model.predict(table).tolist()
    with pytest.raises(Invalid, match="do not fit"):
        loaded.predict(columns | {"region": np.array([None] * 300, dtype=object)})


class TestRefusals:
    def test_a_class_of_ones_own(self, tmp_path: Path) -> None:
        class Mine(catboost.CatBoostRegressor):
            """Whatever it does differently would be lost."""

        model = Mine(**SETTINGS).fit(matrix(), matrix()[:, 0], verbose=False)
        with pytest.raises(Unsupported, match="a Mine is not written"):
            write_package(model, example=numbers(), folder=tmp_path, now_us=0)

    def test_changed_bytes_are_corrupt_or_another_model(self, tmp_path: Path) -> None:
        flavor = CatboostFlavor()
        model = classifier()
        signature = infer_signature(numbers(), flavor.ask(model, numbers(), None))
        dumped = flavor.dump(model, signature=signature, classes=[0, 1], folder=tmp_path)
        whole = (tmp_path / "model.cb").read_bytes()
        outcomes: set[str] = set()
        for place in (9, 20, 30, 40, 50, 60):
            broken = bytearray(whole)
            broken[place] ^= 0xFF
            (tmp_path / "model.cb").write_bytes(bytes(broken))
            try:
                flavor.load(tmp_path, signature=signature, section=dumped.section)
            except MillwrightError as error:
                outcomes.add(error.code)
        assert outcomes <= {"corrupt", "refused"}
        assert outcomes
