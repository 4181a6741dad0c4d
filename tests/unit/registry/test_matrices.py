from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Unsupported
from millwright.registry.matrices import matched, matrix_of, ordered
from millwright.registry.signature import Array


def columns(*names: str) -> dict[str, Array]:
    return {name: np.full(2, place) for place, name in enumerate(names)}


@given(st.permutations(["a b", "c", "d\te"]))
def test_columns_stand_as_the_model_names_them_white_space_apart(given_names: list[str]) -> None:
    assert matched(["a_b", "c", "d_e"], given_names) == ["a b", "c", "d\te"]
    assert ordered(columns(*given_names), ["a_b", "c", "d_e"]) == ["a b", "c", "d\te"]


def test_names_that_do_not_match_are_told() -> None:
    assert matched(["a"], ["b"]) is None
    assert matched(["a_b", "a_b"], ["a b", "a_b"]) is None
    assert ordered(columns("b", "a"), ["Column_0", "Column_1"]) == ["b", "a"]
    assert ordered(columns("b", "a"), []) == ["b", "a"]


def test_a_matrix_has_its_columns_in_order() -> None:
    found = matrix_of(columns("a", "b"), ["b", "a"], np.float32)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 0], [1, 0]]
    mixed: dict[str, Array] = {"a": np.array([True, False]), "b": np.array([1.5, np.nan])}
    np.testing.assert_array_equal(
        matrix_of(mixed, ["a", "b"], np.float64), [[1.0, 1.5], [0.0, np.nan]]
    )


def test_a_column_of_text_is_named() -> None:
    with pytest.raises(Unsupported, match="the column t holds object"):
        matrix_of({"t": np.array(["x"], dtype=object)}, ["t"], np.float64)
