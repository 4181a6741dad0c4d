from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.explain.contributions import Floats, explain_by_sampling, explain_exactly
from millwright.registry.signature import Array, Columns

NAMES = ("a", "b", "c")


def model(columns: Columns) -> Floats:
    """Two columns that work together, one that works alone, and a text that counts."""
    a, b, c = (columns[name].astype(np.float64) for name in NAMES)
    return a * b + 3 * c + np.where(columns["t"] == "x", 1.0, 0.0)


def rows(*values: tuple[float, float, float, str]) -> dict[str, Array]:
    columns: dict[str, Array] = {
        name: np.array([value[index] for value in values]) for index, name in enumerate(NAMES)
    }
    columns["t"] = np.array([value[3] for value in values], dtype=object)
    return columns


def plainly(row: Columns, background: Columns) -> dict[str, float]:
    """The definition: the mean gain over every order of the columns."""
    names = list(row)
    n = len(background["a"])
    total = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        mixed = dict(background)
        before = model(mixed).mean()
        for name in order:
            mixed[name] = np.repeat(row[name], n)
            after = model(mixed).mean()
            total[name] += (after - before) / len(orders)
            before = after
    return total


numbers = st.floats(-10, 10, allow_nan=False)
row_values = st.tuples(numbers, numbers, numbers, st.sampled_from(["x", "y"]))


@settings(max_examples=20)
@given(row_values, st.lists(row_values, min_size=1, max_size=4))
def test_exact_values_are_the_mean_gain_over_every_order(
    row: tuple[float, float, float, str], background: list[tuple[float, float, float, str]]
) -> None:
    found = explain_exactly(model, rows(row), rows(*background))
    expected = plainly(rows(row), rows(*background))
    for name, value in expected.items():
        assert found.values[name] == pytest.approx(value, abs=1e-9)
    assert abs(found.residue) < 1e-9
    assert found.output == pytest.approx(model(rows(row))[0])


def test_a_column_that_does_not_matter_gets_nothing() -> None:
    found = explain_exactly(model, rows((0, 5, 0, "x")), rows((0, 1, 0, "x"), (0, 2, 0, "x")))
    assert found.values == {"a": 0.0, "b": 0.0, "c": 0.0, "t": 0.0}


def test_sampled_values_add_up_exactly_and_lie_within_their_errors() -> None:
    row, background = rows((2, 3, 1, "x")), rows((0, 1, 0, "y"), (1, -1, 2, "x"))
    exact = explain_exactly(model, row, background)
    found = explain_by_sampling(model, row, background, random=np.random.default_rng(0), orders=64)
    assert abs(found.residue) < 1e-12
    assert found.standard_error is not None
    for name, value in exact.values.items():
        assert abs(found.values[name] - value) <= 4 * found.standard_error[name] + 1e-12


def test_the_same_seed_samples_the_same() -> None:
    row, background = rows((2, 3, 1, "x")), rows((0, 1, 0, "y"))
    first, second = (
        explain_by_sampling(model, row, background, random=np.random.default_rng(7))
        for _ in range(2)
    )
    assert first == second


def test_what_cannot_be_explained_is_said() -> None:
    row, background = rows((1, 1, 1, "x")), rows((0, 0, 0, "y"))
    with pytest.raises(Invalid, match="one row is explained at a time, not 2"):
        explain_exactly(model, rows((1, 1, 1, "x"), (2, 2, 2, "x")), background)
    with pytest.raises(Invalid, match="no background rows"):
        explain_exactly(model, row, {name: values[:0] for name, values in background.items()})
    with pytest.raises(Invalid, match="different columns"):
        explain_exactly(model, row, {"a": background["a"]})
    with pytest.raises(Invalid, match="11 columns make 2048 coalitions"):
        wide: Columns = {f"c{index}": np.zeros(1) for index in range(11)}
        explain_exactly(model, wide, wide)
    with pytest.raises(Invalid, match="no standard error"):
        explain_by_sampling(model, row, background, random=np.random.default_rng(0), orders=1)
