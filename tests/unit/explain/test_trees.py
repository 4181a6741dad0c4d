from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.explain.columns import CONSTANT
from millwright.explain.contributions import Floats, explain_exactly
from millwright.explain.trees import LEAF, Ensemble, Tree, TreeExplainer
from millwright.registry.signature import Columns

PLAYERS = np.array([0, 1, 1, 2, 2], dtype=np.int64)


def grow(random: np.random.Generator, depth: int, columns: int) -> Tree:
    """A full tree of random questions."""
    n = (2 << depth) - 1
    inner = np.arange(n) < (1 << depth) - 1
    return Tree(
        left=np.where(inner, 2 * np.arange(n) + 1, LEAF),
        right=np.where(inner, 2 * np.arange(n) + 2, LEAF),
        feature=np.where(inner, random.integers(0, columns, n), -2),
        threshold=random.integers(-1, 2, n).astype(np.float64),
        missing_left=random.integers(0, 2, n) == 1,
        value=random.normal(size=n),
    )


def by_every_coalition(ensemble: Ensemble, row: Floats, background: Floats) -> list[float]:
    """The same values from asking about whole raw columns."""

    def predict(columns: Columns) -> Floats:
        chosen = [columns[str(player)] for player in range(3)]
        encoded = np.empty((len(chosen[0]), 5))
        for player, rows in enumerate(chosen):
            places = np.flatnonzero(player == PLAYERS)
            encoded[:, places] = every[rows.astype(np.int64)][:, places]
        return ensemble.answer(encoded)

    every = np.vstack([row[None, :], background])
    found = explain_exactly(
        predict,
        {str(player): np.array([0]) for player in range(3)},
        {str(player): np.arange(1, len(every)) for player in range(3)},
    )
    return list(found.values.values())


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
def test_values_equal_those_of_every_coalition(seed: int, depth: int, missing: bool) -> None:
    random = np.random.default_rng(seed)
    ensemble = Ensemble(tuple(grow(random, depth, 5) for _ in range(3)), 0.5, single=False)
    row, background = random.normal(size=5), random.normal(size=(4, 5))
    if missing:
        row[random.integers(5)] = background[0, random.integers(5)] = np.nan
    found = TreeExplainer(ensemble, PLAYERS, 3).values(row, background)
    np.testing.assert_allclose(found, by_every_coalition(ensemble, row, background), atol=1e-12)
    rest = ensemble.answer(row[None, :])[0] - ensemble.answer(background).mean() - found.sum()
    assert abs(rest) < 1e-12


def test_a_tree_of_one_leaf_explains_nothing() -> None:
    leaf = Tree(
        left=np.array([LEAF]),
        right=np.array([LEAF]),
        feature=np.array([-2]),
        threshold=np.zeros(1),
        missing_left=np.zeros(1, dtype=np.bool_),
        value=np.ones(1),
    )
    explainer = TreeExplainer(Ensemble((leaf,), 0.0, single=False), PLAYERS, 3)
    assert explainer.values(np.zeros(5), np.ones((2, 5))).tolist() == [0, 0, 0]


def test_what_nobody_decides_closes_leaves_and_gets_nothing() -> None:
    # The root asks about a column that no raw column decides; all rows agree on it.
    tree = Tree(
        left=np.array([1, 3, LEAF, LEAF, LEAF]),
        right=np.array([2, 4, LEAF, LEAF, LEAF]),
        feature=np.array([1, 0, -2, -2, -2]),
        threshold=np.zeros(5),
        missing_left=np.zeros(5, dtype=np.bool_),
        value=np.array([0, 0, 100.0, 1.0, 2.0]),
    )
    players = np.array([0, CONSTANT])
    explainer = TreeExplainer(Ensemble((tree,), 0.0, single=False), players, 1)
    found = explainer.values(np.array([1.0, -1.0]), np.array([[-1.0, -1.0]]))
    assert found.tolist() == [pytest.approx(1.0)]


def test_single_precision_asks_as_a_forest_does() -> None:
    value = 0.1 + 1e-12  # the same as 0.1 in single precision, and above it in double
    threshold = float(np.float32(0.1))
    tree = Tree(
        left=np.array([1, LEAF, LEAF]),
        right=np.array([2, LEAF, LEAF]),
        feature=np.array([0, -2, -2]),
        threshold=np.array([threshold, 0, 0]),
        missing_left=np.zeros(3, dtype=np.bool_),
        value=np.array([0.0, 1.0, 2.0]),
    )
    assert Ensemble((tree,), 0.0, single=True).answer(np.array([[value]])).tolist() == [1.0]
