import math

import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.stats.laws import (
    binomial_tail,
    chi2_survival,
    log_choose,
    log_factorial,
    log_hypergeometric,
    log_polya,
    normal_cdf,
    normal_quantile,
)


def test_normal() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)
    assert normal_cdf(-10.0) == pytest.approx(7.61985302416e-24, rel=1e-9)
    assert normal_cdf(normal_quantile(0.2)) == pytest.approx(0.2)
    with pytest.raises(Invalid):
        normal_quantile(1.0)


@pytest.mark.parametrize("x", [0.01, 0.7, 3.0, 11.0, 60.0])
def test_chi2_against_its_closed_forms(x: float) -> None:
    assert chi2_survival(x, 1) == pytest.approx(math.erfc(math.sqrt(x / 2)), rel=1e-10)
    assert chi2_survival(x, 2) == pytest.approx(math.exp(-x / 2), rel=1e-10)
    six = math.exp(-x / 2) * (1 + x / 2 + x * x / 8)
    assert chi2_survival(x, 6) == pytest.approx(six, rel=1e-10)


def test_chi2_at_its_ends() -> None:
    assert chi2_survival(0.0, 3) == 1.0
    assert chi2_survival(math.inf, 3) == 0.0
    with pytest.raises(Invalid):
        chi2_survival(1.0, 0)


def test_binomial_tail_against_the_sum() -> None:
    plain = sum(math.comb(12, k) * 0.3**k * 0.7 ** (12 - k) for k in range(5, 13))
    assert binomial_tail(5, 12, 0.3) == pytest.approx(plain)
    assert (binomial_tail(0, 3, 0.5), binomial_tail(4, 3, 0.5)) == (1.0, 0.0)


def test_log_factorial_against_the_gamma_function() -> None:
    n = np.array([0, 1, 5, 15, 16, 17, 40, 1000, 10**7], dtype=np.float64)
    expected = [math.lgamma(x + 1) for x in n]
    np.testing.assert_allclose(log_factorial(n), expected, rtol=1e-12, atol=1e-12)
    assert float(np.exp(log_choose(10, 3))) == pytest.approx(120)


def test_laws_of_counts_add_up_to_one_and_match_small_cases() -> None:
    count = np.arange(0.0, 5.0)
    five, four, six, twenty = (np.array(x) for x in (5.0, 4.0, 6.0, 20.0))
    drawn = np.exp(log_hypergeometric(count, drawn=five, marked=four, total=twenty))
    plain = [math.comb(4, k) * math.comb(16, 5 - k) / math.comb(20, 5) for k in range(5)]
    np.testing.assert_allclose(drawn, plain)
    polya = np.exp(log_polya(np.arange(0.0, 7.0), drawn=six, first=np.array(1.0), second=five))
    assert polya.sum() == pytest.approx(1.0)
    # None of 6 new values below the least of a sample with 6 gaps: 5/6 * 6/7 * ... * 10/11.
    assert polya[0] == pytest.approx(5 / 11)
