from __future__ import annotations

import numpy as np

from millwright.records.schema import Column, Signature
from millwright.registry.parity import measure, mix
from millwright.registry.signature import Array, Columns

SIGNATURE = Signature(
    inputs=[Column(name="a", kind="float", nullable=True), Column(name="b", kind="text")],
    outputs=[],
)


class Fixed:
    """Answers what it was told to."""

    def __init__(self, **answers: list[float]) -> None:
        self._answers: dict[str, Array] = {
            name: np.array(values) for name, values in answers.items()
        }

    def predict(self, columns: Columns) -> dict[str, Array]:
        return self._answers


ROWS: Columns = {"a": np.zeros(3)}


def test_equal_answers_are_accepted() -> None:
    model = Fixed(prediction=[0, 1, 1], probability=[0.1, 0.9, 0.8])
    parity = measure(model, model, ROWS, 2)
    assert (parity.accepted, parity.max_abs_difference) == (True, 0.0)
    assert (parity.example_rows, parity.mixed_rows) == (2, 1)


def test_a_label_that_differs_on_an_example_is_not_accepted_even_at_a_tie() -> None:
    left = Fixed(prediction=[0, 1, 1], probability=[0.5, 0.9, 0.8])
    right = Fixed(prediction=[1, 1, 1], probability=[0.5, 0.9, 0.8])
    parity = measure(left, right, ROWS, 2)
    assert (parity.accepted, parity.example_labels_differ) == (False, 1)


def test_on_mixed_rows_a_tie_may_fall_either_way_and_nothing_else() -> None:
    left = Fixed(prediction=[0, 1, 1], probability=[0.1, 0.9, 0.5])
    right = Fixed(prediction=[0, 1, 0], probability=[0.1, 0.9, 0.499999])
    assert measure(left, right, ROWS, 2).accepted
    left = Fixed(prediction=[0, 1, 1], probability=[0.1, 0.9, 0.51])
    right = Fixed(prediction=[0, 1, 0], probability=[0.1, 0.9, 0.51])
    parity = measure(left, right, ROWS, 2)
    assert (parity.accepted, parity.mixed_labels_differ) == (False, 1)


def test_a_difference_beyond_the_tolerance_is_not_accepted() -> None:
    left = Fixed(prediction=[0, 1, 1], probability=[0.1, 0.9, 0.8])
    right = Fixed(prediction=[0, 1, 1], probability=[0.1, 0.9, 0.80002])
    assert not measure(left, right, ROWS, 2).accepted


def test_a_regressors_difference_is_held_against_its_scale() -> None:
    left, right = Fixed(prediction=[1e6, 0.0, 2.5]), Fixed(prediction=[1e6 + 5, 0.0, 2.5])
    parity = measure(left, right, ROWS, 3)
    assert parity.accepted
    assert parity.tolerance == 10.0


def test_no_number_and_infinity_are_answers_like_others() -> None:
    odd = [np.nan, np.inf, -np.inf]
    found = measure(Fixed(prediction=odd), Fixed(prediction=odd), ROWS, 3)
    assert (found.accepted, found.max_abs_difference, found.tolerance) == (True, 0.0, 1e-5)
    for other in ([1.0, np.inf, -np.inf], [np.nan, np.inf, np.inf], [np.nan, 1e300, -np.inf]):
        found = measure(Fixed(prediction=odd), Fixed(prediction=other), ROWS, 3)
        assert (found.accepted, found.max_abs_difference) == (False, np.inf)


def test_mixed_rows_are_the_same_each_time_and_lack_what_may_be_lacking() -> None:
    examples: Columns = {"a": np.arange(5.0), "b": np.array(list("vwxyz"), dtype=object)}
    first, second = mix(examples, SIGNATURE), mix(examples, SIGNATURE)
    assert len(first["a"]) == 1000
    np.testing.assert_array_equal(first["a"], second["a"])
    assert first["b"].tolist() == second["b"].tolist()
    assert not np.isnan(first["a"][:5].astype(float)).any()
    assert 50 < np.isnan(first["a"].astype(float)).sum() < 150
