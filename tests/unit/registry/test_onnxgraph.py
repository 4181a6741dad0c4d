from __future__ import annotations

import numpy as np
import pytest

from millwright.core.errors import Unsupported
from millwright.registry.onnxgraph import answers_of, feed_of
from millwright.registry.signature import Array

COLUMNS: dict[str, Array] = {"a": np.array([1.0, 2.0]), "b": np.array([3, 4])}


def test_one_table_takes_all_columns_in_their_order() -> None:
    feed = feed_of([("X", "tensor(float)")], COLUMNS)
    assert feed["X"].dtype == np.float32
    assert feed["X"].tolist() == [[1, 3], [2, 4]]


def test_a_tensor_for_each_column_is_fed_by_name() -> None:
    feed = feed_of([("b", "tensor(int64)"), ("a", "tensor(double)")], COLUMNS)
    assert feed["a"].tolist() == [[1.0], [2.0]]
    assert feed["b"].dtype == np.int64
    texts: dict[str, Array] = {"t": np.array(["x", "y"], dtype=object)}
    assert feed_of([("t", "tensor(string)")], texts)["t"].tolist() == [["x"], ["y"]]


def test_what_no_column_gives_is_said() -> None:
    with pytest.raises(Unsupported) as caught:
        feed_of([("a", "tensor(float)"), ("c", "tensor(float)")], COLUMNS)
    assert caught.value.why == "the rows have a, b"
    with pytest.raises(Unsupported, match=r"takes a seq\(map\)"):
        feed_of([("X", "seq(map)")], COLUMNS)


@pytest.mark.parametrize(
    "probabilities",
    [
        np.array([[0.2, 0.8], [0.9, 0.1]], dtype=np.float32),
        [{0: 0.2, 1: 0.8}, {0: 0.9, 1: 0.1}],
    ],
)
def test_a_classifier_answers_labels_and_probabilities(probabilities: object) -> None:
    found = answers_of([np.array([1, 0]), probabilities])
    assert found["prediction"].tolist() == [1, 0]
    np.testing.assert_allclose(found["probability"].astype(float), [0.8, 0.1], rtol=1e-6)


def test_many_classes_have_a_column_each() -> None:
    found = answers_of([np.array(["a", "b"], dtype=object), np.full((2, 3), 1 / 3)])
    assert found["prediction"].tolist() == ["a", "b"]
    assert found["probability"].shape == (2, 3)


def test_anything_else_is_one_number_a_row() -> None:
    assert answers_of([np.array([[1.5], [2.5]], dtype=np.float32)]) == {
        "prediction": pytest.approx([1.5, 2.5])
    }
    assert answers_of([np.array([[1], [0]])])["prediction"].tolist() == [1, 0]
    labels = answers_of([np.array([1, 0]), np.array([0.5, 0.5])])
    assert list(labels) == ["prediction"]
    assert list(answers_of([np.array([1, 0]), []])) == ["prediction"]
    with pytest.raises(Unsupported, match="3 values a row"):
        answers_of([np.zeros((2, 3), dtype=np.float32)])
