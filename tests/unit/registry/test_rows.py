from __future__ import annotations

import re

import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.registry.rows import as_array, columns_of_matrix, listed


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        (["a", "b"], "<U1"),
        ([True, False], "bool"),
        ([1, True], "object"),
        (["a", 1.5, True], "object"),
        ([1.5, None], "object"),
        ([[1], [1, 2]], "object"),
        ([], "float64"),
    ],
)
def test_values_of_a_list_keep_their_types(values: list[object], dtype: str) -> None:
    array = as_array(values)
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == values


def test_an_array_is_taken_as_it_is() -> None:
    values = np.arange(3)
    assert as_array(values) is values


def test_rows_of_several_kinds_keep_them_by_column() -> None:
    names, columns = columns_of_matrix([["basic", 30, 1.5], ["pro", 41, 2]], ["plan", "age", 7])
    assert names == ["plan", "age", "7"]
    assert [(array.dtype.kind, array.tolist()) for array in columns] == [
        ("U", ["basic", "pro"]),
        ("i", [30, 41]),
        ("f", [1.5, 2.0]),
    ]


def test_rows_of_a_matrix_are_not_copied() -> None:
    matrix = np.zeros((4, 2))
    names, columns = columns_of_matrix(matrix, None)
    assert names == ["x0", "x1"]
    assert all(np.shares_memory(array, matrix) for array in columns)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 2], [3]], "not all of one length"),
        ([["a", 2], ["b"]], "not all of one length"),
        ([1, 2], "what has the shape (2,) holds no rows"),
        ([{"a": 1}], "what has the shape (1,) holds no rows"),
        ([["a", 2]], "the rows have 2 columns, not 1"),
    ],
)
def test_what_is_no_rows_is_said(rows: object, words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)):
        columns_of_matrix(rows, ["only"])


def test_of_many_names_the_first_are_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
