import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt, Invalid
from millwright.stats.arrays import Floats
from millwright.stats.quantiles import QuantileSketch


def sketch(values: Floats, *, seed: int = 0, k: int = 200) -> QuantileSketch:
    made = QuantileSketch(k=k, seed=seed)
    made.update(values)
    return made


def worst_rank_error(found: QuantileSketch, values: Floats) -> float:
    ordered = np.sort(values)
    true = np.searchsorted(ordered, ordered, side="right") / len(values)
    return float(np.abs(found.cdf(ordered) - true).max())


@settings(max_examples=30)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400))
def test_a_short_stream_is_answered_exactly(values: list[float]) -> None:
    array = np.array(values)
    found = sketch(array)
    q = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    np.testing.assert_array_equal(found.quantile(q), np.quantile(array, q, method="inverted_cdf"))
    assert worst_rank_error(found, array) == 0.0


@pytest.mark.parametrize("shape", ["normal", "sorted", "reversed", "few values"])
def test_ranks_keep_to_the_stated_error(shape: str) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=60_000)
    if shape == "few values":
        values = np.round(values)
    elif shape != "normal":
        values = np.sort(values)[:: 1 if shape == "sorted" else -1]
    errors = [worst_rank_error(sketch(values, seed=seed), values) for seed in range(3)]
    assert max(errors) < sketch(values).rank_error


def test_merged_parts_keep_to_the_stated_error() -> None:
    values = np.random.default_rng(6).normal(size=40_000)
    merged = QuantileSketch()
    for part in np.array_split(values, 33):
        merged = merged.merge(sketch(part))
    assert merged.count == len(values)
    assert worst_rank_error(merged, values) < merged.rank_error


def test_the_same_stream_gives_the_same_bytes_however_it_is_cut() -> None:
    values = np.random.default_rng(7).normal(size=5_000)
    whole = sketch(values, seed=3).to_bytes()
    cut = QuantileSketch(seed=3)
    for part in np.array_split(values, [1, 700, 701, 4_000]):
        cut.update(part)
    assert cut.to_bytes() == whole
    assert sketch(values, seed=4).to_bytes() != whole


@settings(max_examples=20)
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_merging_does_not_depend_on_the_order_and_survives_bytes(n: int, m: int) -> None:
    rng = np.random.default_rng(n * 4001 + m)
    a, b = sketch(rng.normal(size=n)), sketch(rng.normal(size=m))
    merged = a.merge(b)
    assert merged.to_bytes() == b.merge(a).to_bytes()
    back = QuantileSketch.from_bytes(merged.to_bytes())
    assert back.to_bytes() == merged.to_bytes()
    assert back.count == n + m


def test_it_goes_on_alike_after_bytes() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=1_500), rng.normal(size=2_000)
    found = sketch(first)
    back = QuantileSketch.from_bytes(found.to_bytes())
    found.update(second)
    back.update(second)
    assert back.to_bytes() == found.to_bytes()


def test_missing_values_are_left_out_and_nothing_has_no_quantile() -> None:
    found = sketch(np.array([np.nan, 2.0, np.inf]))
    assert (found.count, found.low, found.high) == (2, 2.0, np.inf)
    with pytest.raises(Invalid, match="empty"):
        QuantileSketch().quantile(0.5)
    with pytest.raises(Invalid, match="0 to 1"):
        found.quantile(1.5)
    with pytest.raises(Invalid, match="same k"):
        found.merge(QuantileSketch(k=50))


def test_damaged_bytes_are_named() -> None:
    data = bytearray(sketch(np.arange(3000.0)).to_bytes())
    data[20] ^= 1  # the count
    with pytest.raises(Corrupt, match="damaged"):
        QuantileSketch.from_bytes(bytes(data))
