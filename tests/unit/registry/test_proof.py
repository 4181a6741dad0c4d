from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from fixtures.boosters import numbers, xgb_classifier
from fixtures.estimators import frame, labels, mixed_pipeline, rows
from millwright.core.errors import Failed, Invalid, Unsupported
from millwright.registry.flavor import Known
from millwright.registry.flavors.onnx import OnnxFlavor
from millwright.registry.flavors.sklearn import SklearnFlavor
from millwright.registry.flavors.xgboost import XgboostFlavor
from millwright.registry.parity import Parity
from millwright.registry.proof import (
    ask,
    check_answers,
    check_same,
    convert,
    describe,
    example_rows,
    without_infinite,
)
from millwright.registry.signature import Array, Columns, infer_signature

ROWS: dict[str, Array] = {"b c": np.arange(300), "a": np.arange(300.0)}


class TestRows:
    def test_they_stand_as_the_model_saw_them_and_are_not_too_many(self) -> None:
        found = example_rows(Known(names=("a", "b_c"), width=2), ROWS)
        assert list(found) == ["a", "b c"]
        assert len(found["a"]) == 256
        assert list(example_rows(Known(width=2), ROWS)) == ["b c", "a"]

    @pytest.mark.parametrize(
        ("known", "words"),
        [
            (Known(names=("a", "d")), "do not have the columns the model was fitted on"),
            (Known(width=3), "fitted on 3 columns, and the examples have 2"),
        ],
    )
    def test_others_are_refused(self, known: Known, words: str) -> None:
        with pytest.raises(Invalid, match=words):
            example_rows(known, ROWS)
        with pytest.raises(Invalid, match="there are none"):
            example_rows(known, {"a": np.zeros(0)})


def test_infinite_rows_are_left_out_with_their_answers() -> None:
    rows: dict[str, Array] = {"a": np.array([1.0, np.inf, np.nan]), "b": np.array([1, 2, 3])}
    kept, answers = without_infinite(rows, {"prediction": np.array([7, 8, 9])})
    np.testing.assert_array_equal(kept["a"], [1.0, np.nan])
    assert (kept["b"].tolist(), answers["prediction"].tolist()) == ([1, 3], [7, 9])
    with pytest.raises(Invalid, match="without infinite values"):
        without_infinite({"a": np.array([-np.inf])}, {})


def test_a_model_that_does_not_take_its_rows_is_told() -> None:
    few = {name: values for name, values in numbers().items() if name != "x0"}
    with pytest.raises(Invalid, match="does not answer the example rows"):
        ask(XgboostFlavor(), xgb_classifier(), few, few)


def test_answers_must_be_those_of_the_model_in_memory() -> None:
    memory: dict[str, Array] = {"prediction": np.array([1, 0]), "probability": np.array([0.9, 0.1])}
    near: dict[str, Array] = memory | {"probability": np.array([0.9 + 1e-7, 0.1])}
    check_same(memory, near, tolerance=1e-6)
    with pytest.raises(Failed, match=r"does not answer .* \(probability\)"):
        check_same(memory, near, tolerance=1e-9)
    with pytest.raises(Failed, match=r"\(prediction\)"):
        check_same(memory, memory | {"prediction": np.array([1, 1])}, tolerance=1)


def test_rows_that_the_signature_lets_through_must_be_answered() -> None:
    class Picky:
        def predict(self, columns: Columns) -> dict[str, Array]:
            raise ValueError("no NaN, please")

    with pytest.raises(Invalid) as caught:
        check_answers(Picky(), ROWS)
    assert caught.value.why == "no NaN, please"


def test_a_form_that_is_not_kept_says_by_how_much_it_differs() -> None:
    parity = Parity(
        example_rows=256, mixed_rows=744, example_labels_differ=1, mixed_labels_differ=2,
        max_abs_difference=0.25, tolerance=1e-5, accepted=False,
    )  # fmt: skip
    assert describe(parity) == (
        "it does not answer the same: labels differ on 1 of 256 examples and 2 of 744 mixed "
        "rows, values by up to 0.25 (allowed 1e-05)"
    )


def test_what_does_not_convert_leaves_nothing_behind(tmp_path: Path) -> None:
    model = mixed_pipeline(HistGradientBoostingClassifier(max_iter=2, random_state=0))
    model.fit(frame(), labels())
    native = SklearnFlavor()
    signature = infer_signature(rows(), {"prediction": labels()})
    section = native.dump(model, signature=signature, classes=[0, 1], folder=tmp_path).section
    trained = native.load(tmp_path, signature=signature, section=section)
    with pytest.raises(Unsupported):
        convert(OnnxFlavor(), model, trained, rows(), 300, signature, [0, 1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.skops"]
