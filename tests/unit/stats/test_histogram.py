from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt, Invalid
from millwright.stats.histogram import Histogram, LevelCounts, edges_from_quantiles

EDGES = [0.0, 1.0, 2.5]
NUMBERS = st.lists(
    st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 9.0, np.inf, np.nan]), max_size=25
)
TEXTS = st.lists(st.sampled_from(["a", "b", "new"]), max_size=20)


def counted(values: list[float]) -> Histogram:
    made = Histogram(EDGES)
    made.update(values)
    return made


def levelled(texts: list[str], missing: int) -> LevelCounts:
    made = LevelCounts(["a", "b"])
    tally = Counter(texts)
    counts = np.array(list(tally.values()), dtype=np.int64)
    made.update(list(tally), counts, missing=missing)
    return made


def test_a_bin_holds_its_lower_edge_and_not_its_upper() -> None:
    found = counted([-0.1, 0.0, 0.99, 1.0, 2.5, np.inf, np.nan])
    assert found.counts.tolist() == [2, 1]
    assert (found.below, found.above, found.missing) == (1, 2, 1)


@settings(max_examples=40)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_numbers_merge_exactly(a: list[float], b: list[float], c: list[float]) -> None:
    whole = counted(a + b + c).to_bytes()
    assert counted(a).merge(counted(b)).merge(counted(c)).to_bytes() == whole
    assert counted(c).merge(counted(b).merge(counted(a))).to_bytes() == whole
    assert Histogram.from_bytes(whole).to_bytes() == whole


@settings(max_examples=40)
@given(TEXTS, TEXTS, st.integers(0, 3))
def test_levels_merge_exactly(a: list[str], b: list[str], missing: int) -> None:
    whole = levelled(a + b, missing)
    assert levelled(b, missing).merge(levelled(a, 0)).to_bytes() == whole.to_bytes()
    assert LevelCounts.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()
    tally = Counter(a + b)
    assert whole.cells.tolist() == [tally["a"], tally["b"], tally["new"]]
    assert whole.missing == missing


@settings(max_examples=40)
@given(st.lists(st.integers(-3, 3) | st.floats(-1e5, 1e5), min_size=1, max_size=50))
def test_edges_from_quantiles_hold_the_whole_reference(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    found = Histogram(edges_from_quantiles(np.quantile(array, np.linspace(0, 1, 11))))
    found.update(array)
    assert (found.below, found.above) == (0, 0)
    assert found.counts.sum() == len(array)


def test_a_value_that_fills_a_column_has_a_bin_of_its_own() -> None:
    column = np.concatenate((np.zeros(80), np.arange(1.0, 21.0)))
    found = Histogram(edges_from_quantiles(np.quantile(column, np.linspace(0, 1, 11))))
    found.update(column)
    assert found.counts[0] == 80
    assert Histogram(edges_from_quantiles([5.0, 5.0])).edges.tolist() == [
        5.0,
        np.nextafter(5.0, 6.0),
    ]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="must rise"):
        Histogram([0.0, 0.0])
    with pytest.raises(Invalid, match="two finite"):
        Histogram([0.0, np.inf])
    with pytest.raises(Invalid, match="two finite"):
        edges_from_quantiles([1.0])
    with pytest.raises(Invalid, match="different edges"):
        counted([]).merge(Histogram([0.0, 1.0]))
    with pytest.raises(Invalid, match="different levels"):
        levelled([], 0).merge(LevelCounts(["a"]))
    with pytest.raises(Invalid, match="twice"):
        LevelCounts(["a", "a"])
    with pytest.raises(Corrupt):
        Histogram.from_bytes(counted([1.0]).to_bytes() + b"x")
