from __future__ import annotations

import numpy as np
import pytest

from millwright.core.errors import Unsupported
from millwright.registry.answers import labelled, one_a_row, softmax


def test_one_value_a_row() -> None:
    assert one_a_row(np.array([[1], [2]], dtype=np.float32)).tolist() == [1.0, 2.0]
    assert one_a_row([1, 2]).dtype == np.float64
    with pytest.raises(Unsupported, match="2 values a row"):
        one_a_row(np.zeros((3, 2)))


def test_two_classes() -> None:
    for scores in (np.array([0.4, 0.5, 0.6]), np.array([[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]])):
        found = labelled(scores, ["no", "yes"])
        assert found["prediction"].tolist() == ["no", "no", "yes"]
        assert found["probability"].tolist() == [0.4, 0.5, 0.6]


def test_many_classes() -> None:
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    found = labelled(scores, [10, 20, 30])
    assert found["prediction"].tolist() == [20, 10]
    assert found["probability"] is scores


def test_margins_become_probabilities_however_large() -> None:
    margins = np.array([[1000.0, 1000.0], [-1000.0, 0.0]], dtype=np.float32)
    assert softmax(margins).tolist() == [[0.5, 0.5], [0.0, 1.0]]
