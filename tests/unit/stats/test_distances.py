import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.stats.distances import (
    Distance,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
    total_variation,
    wasserstein,
)

METRICS: list[Distance] = [total_variation, hellinger, jensen_shannon, kolmogorov_smirnov]
COUNTS = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


@settings(max_examples=40)
@given(COUNTS, COUNTS, COUNTS, st.sampled_from(METRICS))
def test_metrics_are_metrics(a: list[int], b: list[int], c: list[int], metric: Distance) -> None:
    assert metric(a, a) == pytest.approx(0.0, abs=1e-7)
    assert metric(a, b) == pytest.approx(metric(b, a))
    assert 0.0 <= metric(a, b) <= 1.0 + 1e-12
    assert metric(a, c) <= metric(a, b) + metric(b, c) + 1e-7
    assert metric(a, b) == pytest.approx(metric([3 * x for x in a], b))


@pytest.mark.parametrize("metric", METRICS)
def test_what_shares_no_cell_is_at_distance_one(metric: Distance) -> None:
    assert metric([5, 0], [0, 9]) == pytest.approx(1.0)


def test_plain_definitions() -> None:
    p, q = [0.5, 0.3, 0.2], [0.25, 0.25, 0.5]
    assert total_variation(p, q) == pytest.approx(0.3)
    assert kolmogorov_smirnov(p, q) == pytest.approx(0.3)
    overlap = sum(math.sqrt(a * b) for a, b in zip(p, q, strict=True))
    assert hellinger(p, q) == pytest.approx(math.sqrt(1 - overlap))
    psi = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability(p, q) == pytest.approx(psi)
    assert math.isfinite(population_stability([1, 0], [0, 1]))
    divergence = sum(
        0.5 * x * math.log2(x / (0.5 * (a + b))) for a, b in zip(p, q, strict=True) for x in (a, b)
    )
    assert jensen_shannon(p, q) == pytest.approx(math.sqrt(divergence))


def test_wasserstein_of_a_shift_is_the_shift() -> None:
    places = np.arange(6.0)
    moved = wasserstein([1, 2, 1, 0, 0, 0], [0, 0, 1, 2, 1, 0], positions=places, scale=4.0)
    assert moved == pytest.approx(0.5)
    with pytest.raises(Invalid, match="rise"):
        wasserstein([1, 1], [1, 1], positions=[1.0, 0.0], scale=1.0)


@pytest.mark.parametrize("bad", [[0, 0], [-1, 2], [math.nan, 1], [1]])
def test_what_is_no_distribution_is_refused(bad: list[float]) -> None:
    with pytest.raises(Invalid):
        total_variation(bad, [1, 1])
