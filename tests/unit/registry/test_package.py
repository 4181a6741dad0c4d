from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from fixtures.estimators import forest, frame, labels, mixed_pipeline, rows
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Corrupt, Invalid, NotFound, Refused, Unsupported
from millwright.core.ids import RunId, new_id, to_hex
from millwright.records.schema import Column, Signature
from millwright.registry.facts import Package, model_digest, said_of
from millwright.registry.package import load_package, read_package, write_package
from millwright.registry.signature import Array


def package(
    folder: Path,
    model: object = None,
    *,
    run: RunId | None = None,
    now_us: int = 0,
    signature: Signature | None = None,
) -> Package:
    folder.mkdir(exist_ok=True)
    return write_package(
        model or forest(),
        example=frame(),
        folder=folder,
        run=run,
        now_us=now_us,
        signature=signature,
    )


def edit(path: Path, change: dict[str, object]) -> None:
    written = json.loads(path.read_text())
    written["metadata"]["millwright"] |= change
    path.write_text(json.dumps(written))


class TestWriting:
    def test_the_folder_holds_what_mlflow_expects_and_both_forms(self, tmp_path: Path) -> None:
        run = RunId(new_id("run"))
        written = package(tmp_path, run=run, now_us=1_750_000_000_000_000)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "MLmodel",
            "input_example.json",
            "model.onnx",
            "model.skops",
            "output_example.json",
            "parity.json",
            "python_env.yaml",
            "requirements.txt",
        ]
        mlmodel = json.loads((tmp_path / "MLmodel").read_text())
        assert mlmodel["run_id"] == to_hex(run)
        assert mlmodel["utc_time_created"] == "2025-06-15 15:06:40.000000"
        assert sorted(mlmodel["flavors"]) == ["onnx", "python_function", "sklearn"]
        assert mlmodel["flavors"]["sklearn"]["serialization_format"] == "skops"
        assert json.loads(mlmodel["signature"]["inputs"])[-2:] == [
            {"type": "long", "name": "visits", "required": True},
            {"type": "string", "name": "region", "required": True},
        ]
        assert written.flavors == ["onnx", "sklearn"]
        parity = json.loads((tmp_path / "parity.json").read_text())
        assert parity["accepted"]
        assert (parity["example_rows"], parity["mixed_rows"]) == (256, 744)
        assert "scikit-learn==" in (tmp_path / "requirements.txt").read_text()

    def test_the_same_fit_has_the_same_digest_whenever_and_for_whichever_run(
        self, tmp_path: Path
    ) -> None:
        first = package(tmp_path / "a", run=RunId(new_id("run")), now_us=1)
        second = package(tmp_path / "b", run=RunId(new_id("run")), now_us=2)
        other = package(tmp_path / "c", forest(seed=1))
        assert first.digest == second.digest != other.digest
        assert (tmp_path / "a" / "MLmodel").read_bytes() != (
            tmp_path / "b" / "MLmodel"
        ).read_bytes()

    def test_what_does_not_convert_is_served_natively_and_says_why(self, tmp_path: Path) -> None:
        model = mixed_pipeline(HistGradientBoostingClassifier(max_iter=2, random_state=0))
        written = package(tmp_path, model.fit(frame(), labels()))
        assert written.flavors == ["sklearn"]
        assert "does not convert" in written.facts.not_served_as["onnx"]
        assert not (tmp_path / "model.onnx").exists()
        with pytest.raises(NotFound, match="cannot be loaded as onnx"):
            load_package(tmp_path, flavor="onnx")

    def test_what_converts_to_other_answers_is_served_natively(self, tmp_path: Path) -> None:
        # Trees behind a scaler: it divides in float64, the graph in float32, and some values
        # fall on the other side of a cut.
        scaled = make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=0))
        model = mixed_pipeline(scaled).fit(frame(), labels())
        written = package(tmp_path, model)
        assert written.flavors == ["sklearn"]
        assert "it does not answer the same" in written.facts.not_served_as["onnx"]
        assert not json.loads((tmp_path / "parity.json").read_text())["accepted"]
        assert load_package(tmp_path).flavor == "sklearn"

    def test_columns_the_model_was_not_fitted_on_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid) as caught:
            write_package(forest(), example=frame().rename({"x0": "y0"}), folder=tmp_path, now_us=0)
        assert caught.value.why == "lacking: x0; not known to it: y0"

    def test_no_rows_are_no_example(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="there are none"):
            write_package(forest(), example=frame().head(0), folder=tmp_path, now_us=0)

    def test_a_column_may_be_said_to_lack_values(self, tmp_path: Path) -> None:
        outputs = [
            Column(name="prediction", kind="integer"),
            Column(name="probability", kind="float"),
        ]
        inputs = [Column(name=f"x{index}", kind="float", nullable=True) for index in range(6)]
        signature = Signature(
            inputs=[
                *inputs,
                Column(name="visits", kind="integer"),
                Column(name="region", kind="text"),
            ],
            outputs=outputs,
        )
        package(tmp_path, signature=signature)
        model = load_package(tmp_path)
        assert model.flavor == "onnx"
        lacking: dict[str, Array] = rows(2) | {"x0": np.array([np.nan, 1.0])}
        found = model.predict(lacking)["probability"]
        expected = load_package(tmp_path, flavor="sklearn").predict(lacking)["probability"]
        np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-5)

    def test_a_signature_that_lets_through_what_the_model_cannot_answer_is_refused(
        self, tmp_path: Path
    ) -> None:
        data, target = load_diabetes(return_X_y=True)
        signature = Signature(
            inputs=[Column(name=f"c{i}", kind="float", nullable=True) for i in range(10)],
            outputs=[Column(name="prediction", kind="float")],
        )
        with pytest.raises(Invalid, match="does not answer rows that its signature lets"):
            write_package(
                LinearRegression().fit(data, target),
                example={f"c{i}": data[:, i] for i in range(10)},
                folder=tmp_path,
                now_us=0,
                signature=signature,
            )


class TestAnswers:
    def test_both_forms_answer_as_the_model_did(self, tmp_path: Path) -> None:
        model = forest()
        package(tmp_path, model)
        for flavor in ("onnx", "sklearn"):
            loaded = load_package(tmp_path, flavor=flavor)
            answers = loaded.predict(frame())
            assert (answers["prediction"] == model.predict(frame())).all()
            np.testing.assert_allclose(
                answers["probability"].astype(float),
                model.predict_proba(frame())[:, 1],
                atol=1e-6,
            )
            assert loaded.classes == (0, 1)

    @pytest.mark.parametrize("flavor", ["onnx", "sklearn"])
    def test_three_classes_named_by_text(self, tmp_path: Path, flavor: str) -> None:
        data, target = load_iris(return_X_y=True)
        columns: dict[str, Array] = {f"c{i}": data[:, i] for i in range(4)}
        names = np.array(["setosa", "versicolor", "virginica"])[target]
        model = LogisticRegression(max_iter=5000).fit(data, names)
        write_package(model, example=columns, folder=tmp_path, now_us=0)
        answers = load_package(tmp_path, flavor=flavor).predict(columns)
        assert answers["probability"].shape == (150, 3)
        assert answers["prediction"].tolist() == model.predict(data).tolist()

    @pytest.mark.parametrize("flavor", ["onnx", "sklearn"])
    def test_a_regressor_answers_numbers(self, tmp_path: Path, flavor: str) -> None:
        data, target = load_diabetes(return_X_y=True)
        columns: dict[str, Array] = {f"c{i}": data[:, i] for i in range(data.shape[1])}
        model = LinearRegression().fit(data, target)
        package_ = write_package(model, example=columns, folder=tmp_path, now_us=0)
        assert package_.facts.signature.outputs == [Column(name="prediction", kind="float")]
        answers = load_package(tmp_path, flavor=flavor).predict(columns)
        assert list(answers) == ["prediction"]
        np.testing.assert_allclose(
            answers["prediction"].astype(float), model.predict(data), rtol=1e-5
        )

    @pytest.mark.parametrize(
        "model",
        [
            make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
            make_pipeline(StandardScaler(), LogisticRegression()),
        ],
        ids=["no-probability", "probability"],
    )
    def test_true_and_false_stay_what_they_are(self, tmp_path: Path, model: BaseEstimator) -> None:
        fitted = mixed_pipeline(model).fit(frame(), labels().astype(np.bool_))
        written = package(tmp_path, fitted)
        for flavor in written.flavors:
            prediction = load_package(tmp_path, flavor=flavor).predict(frame())["prediction"]
            assert prediction.dtype == np.bool_
            assert (prediction == fitted.predict(frame())).all()

    def test_a_matrix_is_taken_in_the_order_of_the_signature(self, tmp_path: Path) -> None:
        matrix = np.random.default_rng(0).normal(size=(200, 2))
        model = LogisticRegression().fit(matrix, matrix[:, 0] > 0)
        example = {"a": matrix[:, 0], "b": matrix[:, 1]}
        write_package(model, example=example, folder=tmp_path, now_us=0)
        loaded = load_package(tmp_path)
        expected = model.predict(matrix).tolist()
        rows: list[list[float]] = matrix.tolist()
        assert loaded.predict(matrix)["prediction"].tolist() == expected
        assert loaded.predict(rows)["prediction"].tolist() == expected
        for wrong, why in ((matrix[:, :1], "have 1 columns, not 2"), (matrix[0], "holds no rows")):
            with pytest.raises(Invalid, match=why):
                loaded.predict(wrong)


class TestLoading:
    def test_a_package_is_read_back_as_written(self, tmp_path: Path) -> None:
        written = package(tmp_path)
        assert read_package(tmp_path) == written

    @pytest.mark.parametrize("name", ["model.skops", "model.onnx", "requirements.txt"])
    def test_a_changed_file_is_found_before_it_is_loaded(self, tmp_path: Path, name: str) -> None:
        package(tmp_path)
        path = tmp_path / name
        path.write_bytes(path.read_bytes() + b"\n")
        with pytest.raises(Corrupt, match="is not the model b3:"):
            load_package(tmp_path)

    def test_a_changed_signature_is_found(self, tmp_path: Path) -> None:
        package(tmp_path)
        edit(tmp_path / "MLmodel", {"signature": {"inputs": [], "outputs": []}})
        with pytest.raises(Corrupt, match="is not the model"):
            load_package(tmp_path)

    def test_another_model_than_expected_is_refused(self, tmp_path: Path) -> None:
        package(tmp_path)
        with pytest.raises(Refused, match="another model than asked for"):
            load_package(tmp_path, expected=Digest("b3:" + "0" * 64))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="has no MLmodel"):
            read_package(tmp_path)
        package(tmp_path)
        (tmp_path / "model.onnx").unlink()
        with pytest.raises(NotFound, match=r"has no model\.onnx"):
            read_package(tmp_path)

    @pytest.mark.parametrize("text", ['{"flavors": {}}', "\xff", "flavors: [", "- a list"])
    def test_what_is_no_mlmodel_is_told(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "MLmodel").write_text(text, encoding="latin-1")
        with pytest.raises(Invalid, match="no MLmodel file"):
            read_package(tmp_path)

    def test_a_path_that_leads_out_of_the_package_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "outside").write_text("secret")
        package(tmp_path / "inside")
        weights = {"sklearn": ["model.skops", "../outside"], "onnx": ["model.onnx"]}
        edit(tmp_path / "inside" / "MLmodel", {"weights": weights})
        with pytest.raises(Invalid, match="cannot be a path"):
            read_package(tmp_path / "inside")

    @pytest.mark.parametrize(
        ("flavor", "key"),
        [("sklearn", "pickled_model"), ("onnx", "data"), ("python_function", "model_path")],
    )
    @pytest.mark.parametrize("prefix", ["", "./", "data/../"])
    def test_a_file_that_the_digest_does_not_cover_is_not_loaded(
        self, tmp_path: Path, flavor: str, key: str, prefix: str
    ) -> None:
        package(tmp_path)
        name = "other.bin"
        (tmp_path / name).write_bytes(b"another model")
        path = tmp_path / "MLmodel"
        written = json.loads(path.read_text())
        written["flavors"][flavor][key] = prefix + name
        path.write_text(json.dumps(written))
        with pytest.raises(Corrupt, match=r"does not cover|is not the model"):
            load_package(tmp_path)

    @pytest.mark.parametrize("change", [{"classes": [1, 0]}, {"serve": "sklearn"}])
    def test_what_it_says_of_its_answers_is_covered(
        self, tmp_path: Path, change: dict[str, object]
    ) -> None:
        package(tmp_path)
        edit(tmp_path / "MLmodel", change)
        with pytest.raises(Corrupt, match="is not the model"):
            read_package(tmp_path)

    def test_a_package_of_format_1_is_read_still(self, tmp_path: Path) -> None:
        facts = package(tmp_path).facts
        weights = {
            path: digest_bytes((tmp_path / path).read_bytes())
            for kept in facts.weights.values()
            for path in kept
        }
        digest = model_digest(
            facts.signature,
            requirements=(tmp_path / "requirements.txt").read_text(),
            weights=weights,
        )
        edit(tmp_path / "MLmodel", {"format": 1, "digest": digest})
        assert load_package(tmp_path, expected=digest).digest == digest

    def test_a_newer_format_is_refused(self, tmp_path: Path) -> None:
        package(tmp_path)
        edit(tmp_path / "MLmodel", {"format": 3, "version": "9.0"})
        with pytest.raises(Unsupported) as caught:
            read_package(tmp_path)
        assert caught.value.fix == "use Millwright 9.0 or newer"


def test_the_digest_depends_on_each_of_its_parts() -> None:
    signature = Signature(inputs=[Column(name="größe", kind="float")], outputs=[])
    weights = {"a": Digest("b3:1"), "b": Digest("b3:2")}
    digests = {
        model_digest(signature, requirements="x", weights=weights),
        model_digest(signature, requirements="y", weights=weights),
        model_digest(Signature(inputs=[], outputs=[]), requirements="x", weights=weights),
        model_digest(signature, requirements="x", weights=weights | {"b": Digest("b3:3")}),
    }
    assert len(digests) == 4
    said = {said_of([0, 1], "onnx", {}), said_of([1, 0], "onnx", {}), said_of([], "onnx", {})}
    said.add(said_of([], "onnx", {"onnx": {"data": "model.onnx"}}))
    digests |= {
        model_digest(signature, requirements="x", weights=weights, said=one) for one in said
    }
    assert len(digests) == 8
    swapped = dict(reversed(weights.items()))
    assert model_digest(signature, requirements="x", weights=swapped) in digests
