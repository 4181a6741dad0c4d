import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.stats.intervals import (
    Interval,
    Sample,
    difference_sequence,
    mean_interval,
    mean_sequence,
    newcombe,
    wilson,
)


def test_wilson_solves_its_own_equation() -> None:
    found = wilson(7, 50)
    for bound in (found.lower, found.upper):
        z = (0.14 - bound) / math.sqrt(bound * (1 - bound) / 50)
        assert abs(z) == pytest.approx(1.959963984540054)
    assert wilson(0, 0).upper == 1.0
    assert wilson(0, 9).lower == 0.0
    assert wilson(9, 9).upper == 1.0
    assert found.width == found.upper - found.lower


def test_newcombe_gives_the_published_example() -> None:
    # Newcombe 1998, table II (a): 56/70 against 48/80, method 10.
    found = newcombe((48, 80), (56, 70))
    assert (found.lower, found.upper) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )
    assert newcombe((0, 0), (1, 2)).upper == 1.0


def test_mean_interval() -> None:
    found = mean_interval(Sample(100, 3.0, 4.0))
    assert found.upper == pytest.approx(3.0 + 1.959963984540054 * 0.2)
    assert mean_interval(Sample(1, 3.0, 0.0)).lower == -math.inf


def test_the_sequence_matches_the_paper() -> None:
    n, alpha, at = 400, 0.05, 100
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / at
    inner = math.sqrt(n * rho2 + 1) / alpha
    half = 1.5 * math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(inner))
    found = mean_sequence(Sample(n, 0.0, 2.25), tightest_at=at, alpha=alpha)
    assert found.upper == pytest.approx(half)


@given(st.integers(2, 500), st.integers(2, 500))
def test_two_arms_of_one_kind_are_symmetric(n: int, m: int) -> None:
    first, second = Sample(n, 0.2, 0.16), Sample(m, 0.5, 0.25)
    one = difference_sequence(first, second, tightest_at=100)
    two = difference_sequence(second, first, tightest_at=100)
    assert (one.lower, one.upper) == (pytest.approx(-two.upper), pytest.approx(-two.lower))


def test_no_noise_and_no_rows() -> None:
    sure = Sample(5, 1.0, 0.0)
    assert mean_sequence(sure, tightest_at=5) == Interval(1.0, 1.0, 1.0)
    assert difference_sequence(sure, sure, tightest_at=5) == Interval(0.0, 0.0, 0.0)
    one = Sample(1, 1.0, 0.0)
    assert mean_sequence(one, tightest_at=5).upper == math.inf
    assert difference_sequence(one, sure, tightest_at=5).lower == -math.inf


def test_the_sequence_holds_at_all_looks_together() -> None:
    rng = np.random.default_rng(11)
    counts = np.arange(1, 1501)
    looks = range(49, 1500, 50)
    left = 0
    for _ in range(200):
        draws = rng.exponential(size=1500)
        means = np.cumsum(draws) / counts
        variances = (np.cumsum(draws**2) - counts * means**2) / np.maximum(counts - 1, 1)
        bounds = [
            mean_sequence(Sample(i + 1, float(means[i]), float(variances[i])), tightest_at=300)
            for i in looks
        ]
        left += any(not bound.lower <= 1.0 <= bound.upper for bound in bounds)
    assert left <= 10


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="alpha"):
        wilson(1, 2, alpha=0.0)
    with pytest.raises(Invalid, match="3 successes in 2"):
        wilson(3, 2)
    with pytest.raises(Invalid, match="tightest"):
        mean_sequence(Sample(5, 0.0, 1.0), tightest_at=0)
