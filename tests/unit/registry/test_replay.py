from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from fixtures.boosters import lgb_booster, lgb_classifier, matrix, numbers, xgb_classifier
from fixtures.estimators import forest, frame, labels
from fixtures.pickled import pickled_package
from millwright.core.errors import Corrupt, Failed, Invalid, NotFound
from millwright.registry.outside import PointsOutside
from millwright.registry.package import write_package
from millwright.registry.replay import Replay, replay


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_package(forest(), example=frame(), folder=folder, now_us=0)
    return folder


@pytest.fixture
def package(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "package")


def change(folder: Path, name: str, **values: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_package_answers_as_when_it_was_packaged(package: Path, tmp_path: Path) -> None:
    found = replay(package)
    assert found == Replay(256, is_held=True)
    assert str(found) == "example rows: 256 answered as when it was packaged"
    other = tmp_path / "booster"
    other.mkdir()
    write_package(xgb_classifier(), example=numbers(), folder=other, now_us=0)
    assert replay(other) == Replay(256, is_held=True)


def test_other_answers_than_then_are_refused(package: Path) -> None:
    kept = json.loads((package / "output_example.json").read_text())
    for name, values, words in (
        ("probability", [value / 2 for value in kept["probability"]], "values by up to 0."),
        ("prediction", [1 - value for value in kept["prediction"]], "labels differ on 256 of 256"),
        ("prediction", kept["prediction"][:5], "'prediction': (5,)"),
        ("other", [1.0] * 256, "'other'"),
    ):
        change(package, "output_example.json", **(kept | {name: values}))
        with pytest.raises(Failed, match="does not answer its own example rows") as caught:
            replay(package)
        assert words in caught.value.why
        (package / "output_example.json").write_text(json.dumps(kept))
    change(package, "output_example.json", probability=["a"] * 256)
    with pytest.raises(Failed) as caught:
        replay(package)
    assert "of another kind" in caught.value.why


def test_rows_that_the_model_does_not_take_are_refused(package: Path) -> None:
    kept = json.loads((package / "input_example.json").read_text())
    change(package, "input_example.json", columns=["other", *kept["columns"][1:]])
    with pytest.raises(Failed) as caught:
        replay(package)
    assert "missing: x0; not known: other" in caught.value.why


def test_a_package_without_answers_or_rows_says_so(package: Path) -> None:
    (package / "output_example.json").unlink()
    assert str(replay(package)) == "example rows: 256 answered; it keeps no answers to compare"
    (package / "input_example.json").write_text('{"columns": [], "data": []}')
    assert str(replay(package)) == "example rows: not tried, since it keeps none"
    (package / "input_example.json").unlink()
    found = replay(package)
    assert (found.is_loaded, "keeps no example rows" in found.untried) == (True, True)
    (package / "model.onnx").write_bytes(b"")
    with pytest.raises(Corrupt):
        replay(package)


@pytest.mark.parametrize("intercept", [np.nan, np.inf, -np.inf])
def test_a_model_that_answers_no_number_answers_so_again(tmp_path: Path, intercept: float) -> None:
    model = LinearRegression().fit(matrix(), labels())
    vars(model)["intercept_"] = intercept
    write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    assert replay(tmp_path) == Replay(256, is_held=True)
    kept = json.loads((tmp_path / "output_example.json").read_text())
    change(tmp_path, "output_example.json", prediction=[*kept["prediction"][1:], 0.5])
    with pytest.raises(Failed) as caught:
        replay(tmp_path)
    assert "values by up to inf" in caught.value.why


def test_rows_with_infinite_values_are_not_kept_and_not_asked(tmp_path: Path) -> None:
    rows = {name: values[:4].astype(float) for name, values in numbers().items()}
    rows[next(iter(rows))][1:3] = [np.inf, -np.inf]
    write_package(lgb_classifier(), example=rows, folder=tmp_path, now_us=0)
    assert replay(tmp_path) == Replay(2, is_held=True)
    (tmp_path / "none").mkdir()
    endless = {name: np.full(2, np.inf) for name in rows}
    with pytest.raises(Invalid, match="example rows without infinite values"):
        write_package(lgb_classifier(), example=endless, folder=tmp_path / "none", now_us=0)


@pytest.mark.parametrize("names", [["no", "yes"], ["a", "b", "c"]])
def test_labels_and_probabilities_of_many_classes_are_held(
    tmp_path: Path, names: list[str]
) -> None:
    texts = np.array(names)[np.arange(len(matrix())) % len(names)]
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(matrix(), texts)
    write_package(model, example=numbers(), folder=tmp_path, now_us=0)
    assert replay(tmp_path) == Replay(256, is_held=True)


def test_a_damaged_package_is_told(package: Path) -> None:
    (package / "output_example.json").write_text("[")
    with pytest.raises(Corrupt, match=r"output_example\.json cannot be read"):
        replay(package)
    (package / "input_example.json").write_text("[")
    with pytest.raises(Corrupt, match=r"input_example\.json cannot be read"):
        replay(package)
    (package / "model.onnx").unlink()
    with pytest.raises(NotFound, match=r"has no model\.onnx"):
        replay(package)
    (package / "MLmodel").write_text("text")
    with pytest.raises(Invalid, match="no MLmodel file"):
        replay(package)


def test_a_pickle_is_never_tried(tmp_path: Path) -> None:
    folder = pickled_package(tmp_path / "old")
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n")
    (folder / "input_example.json").write_text("[[1.0]]")
    found = replay(folder)
    assert (found.is_loaded, "model.pkl is a pickle" in found.untried) == (False, True)


def test_a_file_that_would_read_others_memory_is_refused(tmp_path: Path) -> None:
    tree = lgb_booster().model_to_string().replace("left_child=1", "left_child=77", 1)
    (tmp_path / "model.lgb").write_text(tree)
    (tmp_path / "MLmodel").write_text("flavors: {lightgbm: {data: model.lgb}}")
    with pytest.raises(PointsOutside, match="LightGBM model points outside itself"):
        replay(tmp_path)
