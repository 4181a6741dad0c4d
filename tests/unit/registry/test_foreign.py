"""Folders as MLflow writes them, put together by hand; `tests/interop` has MLflow write them."""

from __future__ import annotations

import json
import pickle
import textwrap
from pathlib import Path

import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from fixtures.boosters import matrix, numbers, xgb_classifier
from fixtures.estimators import labels
from millwright.core.errors import Invalid, NotFound, Refused, Unsupported
from millwright.registry.facts import Package
from millwright.registry.foreign import MAX_BYTES
from millwright.registry.package import load_package, read_package
from millwright.registry.pickles import PicklePermission
from millwright.registry.signature import Array

INPUTS = json.dumps([{"type": "double", "name": name, "required": True} for name in numbers()])
OUTPUTS = json.dumps([{"type": "long", "required": True}])


def write(
    folder: Path,
    flavors: str,
    *,
    uuid: str = "1",
    run: str = "a" * 32,
    signature: bool = True,
    example: bool = True,
) -> Path:
    """Write the descriptions of a folder; the weights are the test's."""
    folder.mkdir(exist_ok=True)
    spoken = f"signature:\n  inputs: '{INPUTS}'\n  outputs: '{OUTPUTS}'\n  params: null\n"
    text = (
        f"artifact_path: model\nflavors:\n{textwrap.indent(textwrap.dedent(flavors), '  ')}\n"
        f"mlflow_version: 3.17.2\nmodel_uuid: '{uuid}'\nrun_id: {run}\n"
        f"utc_time_created: '2026-11-27 07:17:{uuid}'\n{spoken if signature else ''}"
    )
    (folder / "MLmodel").write_text(text)
    (folder / "requirements.txt").write_text("mlflow==3.17.2\nscikit-learn\n")
    (folder / "conda.yaml").write_text("name: mlflow-env\n")
    if example:
        rows = [[float(value) for value in row] for row in matrix(5)]
        kept = {"columns": list(numbers()), "data": rows}
        (folder / "input_example.json").write_text(json.dumps(kept))
    return folder


SKLEARN = """
python_function:
  loader_module: mlflow.sklearn
  model_path: model.skops
  predict_fn: predict
  python_version: 3.11.7
sklearn:
  code: null
  pickled_model: model.skops
  serialization_format: skops
  sklearn_version: 1.9.1
"""
PICKLE = SKLEARN.replace("model.skops", "model.pkl").replace(": skops", ": cloudpickle")


def sklearn_folder(folder: Path, **changes: str) -> Path:
    import sklearn

    installed = SKLEARN.replace("1.9.1", str(vars(sklearn)["__version__"]))
    write(folder, installed, **changes)  # pyright: ignore[reportArgumentType] (all are texts)
    model = LogisticRegression(max_iter=5000).fit(matrix(), labels())
    if not (folder / "model.skops").exists():
        (folder / "model.skops").write_bytes(skops.io.dumps(model))
    return folder


def pickle_folder(folder: Path) -> Path:
    import sklearn

    installed = PICKLE.replace("1.9.1", str(vars(sklearn)["__version__"]))
    write(folder, installed)
    model = LogisticRegression(max_iter=5000).fit(matrix(), labels())
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return folder


def floats() -> dict[str, Array]:
    return {name: values.astype(float) for name, values in numbers().items()}


class TestReading:
    def test_a_model_kept_as_skops_answers(self, tmp_path: Path) -> None:
        folder = sklearn_folder(tmp_path / "model")
        package = read_package(folder)
        assert (package.tool, package.facts.version, package.run_hex) == (
            "mlflow",
            "3.17.2",
            "a" * 32,
        )
        assert (package.flavors, package.facts.serve) == (["sklearn"], "sklearn")
        assert package.facts.not_served_as == {}
        loaded = load_package(folder, expected=package.digest)
        assert loaded.classes == (0, 1)
        assert [column.name for column in loaded.signature.outputs] == ["prediction", "probability"]
        model = LogisticRegression(max_iter=5000).fit(matrix(), labels())
        answers = loaded.predict(floats())
        assert answers["prediction"].tolist() == model.predict(matrix()).tolist()

    def test_without_examples_the_prediction_alone_is_answered(self, tmp_path: Path) -> None:
        folder = sklearn_folder(tmp_path / "model")
        (folder / "input_example.json").unlink()
        loaded = load_package(folder)
        assert list(loaded.predict(floats())) == ["prediction"]
        assert [column.name for column in loaded.signature.outputs] == ["prediction"]

    def test_without_a_signature_it_is_not_served_and_takes_rows_as_they_are(
        self, tmp_path: Path
    ) -> None:
        folder = sklearn_folder(tmp_path / "model")
        write(folder, (folder / "MLmodel").read_text().split("flavors:\n")[1].split("mlflow_v")[0],
              signature=False)  # fmt: skip
        package = read_package(folder)
        assert package.facts.serve == ""
        assert "without a signature" in package.facts.not_served_as["sklearn"]
        assert len(load_package(folder).predict(floats())["prediction"]) == 300

    def test_a_booster_answers(self, tmp_path: Path) -> None:
        flavors = """
        python_function:
          loader_module: mlflow.xgboost
          data: model.ubj
        xgboost:
          data: model.ubj
          model_class: xgboost.sklearn.XGBClassifier
          model_format: ubj
        """
        folder = write(tmp_path / "model", flavors)
        xgb_classifier().save_model(folder / "model.ubj")
        loaded = load_package(folder)
        assert (loaded.flavor, loaded.classes) == ("xgboost", (0, 1))
        expected = xgb_classifier().predict(matrix())
        assert loaded.predict(floats())["prediction"].tolist() == expected.tolist()


class TestDigest:
    def test_the_same_files_are_the_same_model_whenever_and_for_whichever_run(
        self, tmp_path: Path
    ) -> None:
        folder = sklearn_folder(tmp_path / "model", uuid="1", run="a" * 32)
        first = read_package(folder)
        sklearn_folder(folder, uuid="2", run="b" * 32)
        (folder / "conda.yaml").write_text("name: other\n")
        (folder / "serving_input_example.json").write_text("{}")
        second = read_package(folder)
        assert first.digest == second.digest
        assert second.run_hex == "b" * 32

    @pytest.mark.parametrize("name", ["model.skops", "requirements.txt", "code/mine.py"])
    def test_what_decides_the_answers_counts(self, tmp_path: Path, name: str) -> None:
        folder = sklearn_folder(tmp_path / "model")
        first = read_package(folder)
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
        assert read_package(folder).digest != first.digest

    def test_so_does_how_the_model_is_asked(self, tmp_path: Path) -> None:
        folder = sklearn_folder(tmp_path / "model")
        first = read_package(folder)
        text = (folder / "MLmodel").read_text()
        (folder / "MLmodel").write_text(text.replace("predict_fn: predict", "predict_fn: score"))
        assert read_package(folder).digest != first.digest

    def test_but_not_in_which_order_types_are_listed_to_be_trusted(self, tmp_path: Path) -> None:
        digests: set[str] = set()
        for types in ("[a, b]", "[b, a]"):
            flavors = f"spark: {{model_data: x, skops_trusted_types: {types}}}"
            digests.add(read_package(write(tmp_path / "model", flavors)).digest)
        assert len(digests) == 1

    def test_nor_where_an_artifact_came_from(self, tmp_path: Path) -> None:
        flavors = """
        python_function:
          loader_module: mlflow.pyfunc.model
          python_model: python_model.pkl
          artifacts:
            table: {{path: artifacts/table.csv, uri: 'runs:/{run}/table.csv'}}
        """
        digests: set[str] = set()
        for run in ("a", "b"):
            folder = write(tmp_path / run, flavors.format(run=run))
            (folder / "python_model.pkl").write_bytes(b"pickle")
            digests.add(read_package(folder).digest)
        assert len(digests) == 1


def not_served(folder: Path) -> Package:
    package = read_package(folder)
    assert package.facts.serve == ""
    return package


class TestRefusals:
    def test_a_pickle_is_loaded_with_a_permission_for_it_alone(self, tmp_path: Path) -> None:
        folder = pickle_folder(tmp_path / "model")
        package = not_served(folder)
        assert "runs code when it is loaded" in package.facts.not_served_as["sklearn"]
        with pytest.raises(Refused, match=r"model\.pkl is a pickle"):
            load_package(folder)
        other = PicklePermission(package.digest.replace("0", "1"), "mine")  # pyright: ignore[reportArgumentType] (some other digest)
        with pytest.raises(Refused, match="another model"):
            load_package(folder, permission=other)
        loaded = load_package(folder, permission=PicklePermission(package.digest, "mine"))
        assert loaded.predict(floats())["probability"].shape == (300,)

    def test_python_code_is_described_and_never_loaded(self, tmp_path: Path) -> None:
        flavors = """
        python_function:
          loader_module: mlflow.pyfunc.model
          python_model: python_model.pkl
        """
        folder = write(tmp_path / "model", flavors)
        (folder / "python_model.pkl").write_bytes(b"pickle")
        package = not_served(folder)
        assert package.flavors == []
        with pytest.raises(Unsupported) as caught:
            load_package(folder, permission=PicklePermission(package.digest, "mine"))
        assert "runs only with mlflow" in caught.value.why
        with pytest.raises(NotFound, match="cannot be loaded as python_function"):
            load_package(folder, flavor="python_function")

    @pytest.mark.parametrize(
        ("flavors", "name", "why"),
        [
            ("spark: {model_data: sparkml}", "spark", "has no loader for spark"),
            ("xgboost: {data: model.xgb}", "xgboost", "old format"),
            ("xgboost: {data: ../model.ubj}", "xgboost", "is not in the package"),
            ("xgboost: {data: [1]}", "xgboost", "is not in the package"),
            ("catboost: {data: model.cb, save_format: json}", "catboost", "kept as json"),
            ("lightgbm: {data: model.pkl, model_class: x}", "lightgbm", "is a pickle"),
            ("pytorch: {model_data: data}", "pytorch", "serialization_format='pt2'"),
            ("sklearn: null", "sklearn", "model.pkl is a pickle"),
        ],
    )
    def test_every_reason_is_said(self, tmp_path: Path, flavors: str, name: str, why: str) -> None:
        folder = write(tmp_path / "model", flavors)
        for file in ("model.xgb", "model.cb", "model.pkl", "model.ubj"):
            (folder / file).write_bytes(b"x")
        (tmp_path / "model.ubj").write_bytes(b"x")
        assert why in not_served(folder).facts.not_served_as[name]

    def test_aliases_that_multiply_are_not_unfolded(self, tmp_path: Path) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
        folder = write(tmp_path / "model", "\n".join(lines))
        with pytest.raises(Invalid) as caught:
            read_package(folder)
        assert caught.value.why == "it unfolds into too much"

    @pytest.mark.parametrize(
        "text",
        ["flavors: {}\n", "flavors: text\n", "", "[" * 5000, "!!python/object:os.system x\n"],
    )
    def test_what_is_no_mlmodel_is_told(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "MLmodel").write_text(text)
        with pytest.raises(Invalid, match="no MLmodel file"):
            read_package(tmp_path)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("a: [" + "1," * 200_000 + "]", "too many values"),
            ("a: " + "[" * 100_000, "too deep"),
            ("a0: &a0 {x: y}\na1: {<<: [*a0, *a0]}", "merge key"),
            ("a0: &a0 {x: y}\na1: {!!merge m: [*a0, *a0]}", "merge key"),
            (f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 1000}]", "unfolds into too much"),
            ("flavors: {x: {y: 0x" + "f" * 10_000 + "}}", ""),
            ('flavors: {x: {y: "\\ud800"}}', ""),
        ],
    )
    def test_what_takes_much_is_refused_before_it_is_made(
        self, tmp_path: Path, text: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "MLmodel").write_text(text)
        if why and "unfolds" not in why:
            monkeypatch.setattr(yaml, "load", None)
        with pytest.raises(Invalid, match="package's MLmodel is no MLmodel file") as caught:
            read_package(tmp_path)
        assert why in caught.value.why
        assert caught.value.fix

    def test_a_file_without_end_is_not_parsed(self, tmp_path: Path) -> None:
        (tmp_path / "MLmodel").write_bytes(b"#" * (MAX_BYTES + 1))
        with pytest.raises(Invalid, match="no MLmodel file"):
            read_package(tmp_path)
