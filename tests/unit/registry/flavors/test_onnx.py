from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from fixtures.estimators import forest, frame, labels, mixed_pipeline, rows, sample
from millwright.core.digest import digest_bytes
from millwright.core.errors import Unsupported
from millwright.records.schema import Column, Signature
from millwright.registry.flavors.onnx import GraphPredictor, OnnxFlavor
from millwright.registry.package import load_package, write_package
from millwright.registry.signature import Array, infer_signature
from millwright.testing.flavors import FlavorSuite, Sample, TrainedFlavorSuite

CONVERT = """
    from pathlib import Path
    import sys
    from fixtures.estimators import sample
    from millwright.core.digest import digest_file
    from millwright.registry.flavors.onnx import OnnxFlavor
    s = sample()
    folder = Path(sys.argv[1])
    OnnxFlavor().dump(s.model, signature=s.signature, classes=s.classes, folder=folder)
    print(digest_file(folder / "model.onnx"))
"""


class TestOnnxFlavor(FlavorSuite):
    @pytest.fixture
    def flavor(self) -> OnnxFlavor:
        return OnnxFlavor()

    @pytest.fixture
    def sample(self) -> Sample:
        return sample()


def dump(model: object, columns: dict[str, Array], folder: Path) -> Any:
    known: Any = model
    signature = infer_signature(columns, {"prediction": np.asarray(known.classes_)})
    signature = Signature(
        inputs=signature.inputs,
        outputs=[*signature.outputs, Column(name="probability", kind="float")],
    )
    flavor = OnnxFlavor()
    dumped = flavor.dump(model, signature=signature, classes=[0, 1], folder=folder)
    return flavor.load(folder, signature=signature, section=dumped.section)


def test_the_same_fit_converts_to_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CONVERT), str(there)],
        check=True,
        capture_output=True,
        text=True,
        cwd="tests",
        env={"PYTHONHASHSEED": "11"},
    )
    s = sample()
    OnnxFlavor().dump(s.model, signature=s.signature, classes=s.classes, folder=tmp_path)
    assert digest_bytes((tmp_path / "model.onnx").read_bytes()) == done.stdout.strip()


def test_the_graph_is_valid_and_says_which_columns_it_takes(tmp_path: Path) -> None:
    dump(forest(), rows(), tmp_path)
    graph = onnx.ModelProto.FromString((tmp_path / "model.onnx").read_bytes())
    onnx.checker.check_model(graph)  # pyright: ignore[reportUnknownMemberType]
    assert [node.name for node in graph.graph.node][:2] == ["n0", "n1"]
    assert {entry.key: entry.value for entry in graph.metadata_props} == {
        "millwright.inputs": '{"numbers":["x0","x1","x2","x3","x4","x5","visits"],'
        '"integers":[],"texts":["region"]}'
    }


def test_whole_numbers_and_texts_as_categories_answer_as_before(tmp_path: Path) -> None:
    columns = ColumnTransformer(
        [
            ("visits", OneHotEncoder(handle_unknown="ignore"), ["group"]),
            ("region", OrdinalEncoder(), ["region"]),
        ],
        remainder="passthrough",
    )
    data = frame().drop("visits").with_columns(group=np.arange(300) % 4)
    model = make_pipeline(columns, LogisticRegression(max_iter=5000)).fit(data, labels())
    given = {name: data[name].to_numpy() for name in data.columns}
    answers = dump(model, given, tmp_path).predict(given)
    np.testing.assert_allclose(answers["probability"], model.predict_proba(data)[:, 1], atol=1e-5)
    assert (answers["prediction"] == model.predict(data)).all()


def test_what_does_not_convert_says_why(tmp_path: Path) -> None:
    model = mixed_pipeline(HistGradientBoostingClassifier(max_iter=2)).fit(frame(), labels())
    with pytest.raises(Unsupported, match="does not convert a HistGradientBoostingClassifier"):
        dump(model, rows(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fitted_with_missing", [True, False])
def test_missing_text_is_what_it_was_in_training(
    tmp_path: Path, *, fitted_with_missing: bool
) -> None:
    lacking = rows()
    lacking["region"] = np.where(labels() == 1, lacking["region"], np.array(None, dtype=object))
    data = pl.DataFrame(lacking) if fitted_with_missing else frame()
    model = mixed_pipeline(RandomForestClassifier(5, random_state=0)).fit(data, labels())
    expected = model.predict_proba(pl.DataFrame(lacking))[:, 1]
    found = dump(model, lacking, tmp_path).predict(lacking)["probability"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def graph(columns: int = 3) -> onnx.ModelProto:
    """A graph that another tool could have made: the sum of a row."""
    helper = onnx.helper
    rows = helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["n", columns])
    total = helper.make_tensor_value_info("total", onnx.TensorProto.FLOAT, ["n", 1])
    weights = onnx.numpy_helper.from_array(np.ones((columns, 1), dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["rows", "w"], ["total"])
    body = helper.make_graph([node], "sum", [rows], [total], [weights])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


class TestGraphsOfOthers(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> OnnxFlavor:
        return OnnxFlavor()

    @pytest.fixture
    def sample(self, flavor: OnnxFlavor) -> Sample:
        columns: dict[str, Array] = {name: np.arange(20.0) for name in ("a", "b", "c")}
        answers = flavor.ask(graph(), columns, None)
        return Sample(graph(), infer_signature(columns, answers), [], columns)


def test_a_graph_of_ones_own_is_packaged_as_it_is(tmp_path: Path) -> None:
    columns: dict[str, Array] = {name: np.arange(20.0) for name in ("a", "b", "c")}
    written = write_package(graph(), example=columns, folder=tmp_path, now_us=0)
    assert written.flavors == ["onnx"]
    answers = load_package(tmp_path).predict(columns)
    assert answers["prediction"].tolist() == (3 * np.arange(20.0)).tolist()
    with pytest.raises(Unsupported, match="does not take these rows"):
        GraphPredictor(_session_of(tmp_path)).predict({"a": np.zeros(2)})


def _session_of(folder: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
