import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, Ints
from millwright.stats.change import (
    MIN_KEYS,
    bonferroni,
    drift_evidence,
    e_bh,
    effect_interval,
    harm_evidence,
    key_sample,
    ordered_drift_evidence,
)
from millwright.stats.distances import total_variation
from millwright.stats.histogram import Histogram, edges_from_quantiles
from millwright.stats.intervals import Sample

ALPHA = 0.05
CORRELATION = 0.05


# Canary


def canary_stops(
    rng: np.random.Generator, *, rates: tuple[float, float], share: float = 0.5, keys: int = 500
) -> bool:
    """Play 30 looks at sticky keys whose requests resemble each other; say if one stopped it."""
    spread = 1.0 / CORRELATION - 1.0
    canary = rng.random(keys) < share
    rate = np.where(canary, rates[1], rates[0])
    of_key = rng.beta(rate * spread, (1.0 - rate) * spread)
    bad: Ints = np.zeros(keys, dtype=np.int64)
    requests: Ints = np.zeros(keys, dtype=np.int64)
    for _ in range(30):
        more = rng.poisson(0.7, size=keys)
        requests += more
        bad += rng.binomial(more, of_key)
        arms = [key_sample(bad[arm], requests[arm]) for arm in (~canary, canary)]
        if harm_evidence(arms[0], arms[1], tau=0.03, alpha=ALPHA).log_e >= math.log(1 / ALPHA):
            return True
    return False


def test_healthy_canaries_go_on_and_faulty_ones_are_stopped() -> None:
    rng = np.random.default_rng(20)
    healthy = sum(canary_stops(rng, rates=(0.05, 0.05)) for _ in range(60))
    faulty = sum(canary_stops(rng, rates=(0.05, 0.12)) for _ in range(40))
    assert healthy <= 3
    assert faulty >= 38


@pytest.mark.storm
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_500_healthy_canaries_go_on(rate: float, share: float) -> None:
    rng = np.random.default_rng(21)
    stopped = sum(canary_stops(rng, rates=(rate, rate), share=share) for _ in range(500))
    assert stopped <= 25


@pytest.mark.storm
@pytest.mark.parametrize(("share", "rates"), [(0.5, (0.05, 0.1)), (0.1, (0.05, 0.15))])
def test_500_faulty_canaries_are_stopped(share: float, rates: tuple[float, float]) -> None:
    rng = np.random.default_rng(22)
    assert sum(canary_stops(rng, rates=rates, share=share) for _ in range(500)) >= 475


def test_one_key_is_one_unit_however_many_requests_it_makes() -> None:
    assert key_sample([5, 0, 0], [10, 10, 0]) == Sample(2, 0.25, 0.125)
    assert key_sample([500, 0], [1000, 10]) == key_sample([5, 0], [10, 10])
    assert key_sample([], []) == Sample(0, 0.0, 0.0)


def test_too_few_keys_or_no_noise_are_no_evidence() -> None:
    control = Sample(500, 0.01, 0.01)
    few = harm_evidence(control, Sample(MIN_KEYS - 1, 1.0, 0.0), tau=0.03)
    assert (few.log_e, few.difference.upper, few.enough_keys) == (0.0, math.inf, False)
    spotless = Sample(50, 0.0, 0.0)
    none = harm_evidence(spotless, spotless, tau=0.03)
    assert (none.e_value, none.difference.lower, none.enough_keys) == (1.0, -math.inf, True)


def test_a_canary_that_fails_always_is_stopped_although_nothing_varies() -> None:
    found = harm_evidence(Sample(50, 0.0, 0.0), Sample(25, 1.0, 0.0), tau=0.03)
    assert found.e_value > 20
    assert found.difference.lower > 0


@given(st.floats(-0.2, 0.2), st.floats(-0.1, 0.1))
@settings(max_examples=30)
def test_a_better_canary_or_a_wider_margin_lowers_the_evidence(shift: float, margin: float) -> None:
    control = Sample(200, 0.3, 0.05)
    canary = Sample(200, 0.3 + shift, 0.05)
    found = harm_evidence(control, canary, tau=0.05, margin=margin)
    wider = harm_evidence(control, canary, tau=0.05, margin=margin + 0.01)
    assert wider.log_e < found.log_e
    assert found.difference.lower < shift < found.difference.upper


def test_the_mixture_is_the_integral_it_stands_for() -> None:
    control, canary, tau = Sample(10_000, 0.0, 1.0), Sample(10_000, 0.04, 1.0), 0.05
    information = 1.0 / (2.0 / 10_000)
    effect = np.linspace(0.0, 12 * tau, 200_001)
    prior = 2.0 / (tau * math.sqrt(2 * math.pi)) * np.exp(-0.5 * (effect / tau) ** 2)
    likelihood = np.exp(effect * 0.04 * information - 0.5 * effect**2 * information)
    plain = float(np.sum(prior * likelihood) * (effect[1] - effect[0]))
    found = harm_evidence(control, canary, tau=tau)
    assert found.log_e == pytest.approx(math.log(plain), abs=1e-3)


# Drift


def cells(edges: Floats, values: Floats) -> Ints:
    histogram = Histogram(edges)
    histogram.update(values)
    return histogram.cells


def reference_edges(values: Floats) -> Floats:
    return edges_from_quantiles(np.quantile(values, np.linspace(0, 1, 11)))


@pytest.mark.parametrize(("both", "drawn"), [((9, 1, 6), 7), ((2, 2, 30), 20), ((15, 0, 3), 4)])
def test_with_fixed_cells_the_expectation_is_at_most_one(
    both: tuple[int, int, int], drawn: int
) -> None:
    expected = chances = 0.0
    for now in product(*(range(count + 1) for count in both)):
        if sum(now) != drawn:
            continue
        ways = math.prod(math.comb(t, c) for t, c in zip(both, now, strict=True))
        chance = ways / math.comb(sum(both), drawn)
        before = [t - c for t, c in zip(both, now, strict=True)]
        expected += chance * 2 * drift_evidence(before, now).e_value
        chances += chance
    assert chances == pytest.approx(1.0)
    assert 0.2 < expected <= 1.0 + 1e-9


@pytest.mark.parametrize(("before", "drawn"), [((4, 5, 3), 12), ((1, 20, 1), 30), ((6, 1, 2), 40)])
def test_with_quantile_cells_the_expectation_is_at_most_one(
    before: tuple[int, int, int], drawn: int
) -> None:
    expected = chances = 0.0
    for now in product(range(drawn + 1), repeat=3):
        if sum(now) != drawn:
            continue
        ways = math.prod(math.comb(c + r - 1, c) for c, r in zip(now, before, strict=True))
        chance = ways / math.comb(drawn + sum(before) - 1, drawn)
        expected += chance * 2 * drift_evidence(before, now).e_value
        chances += chance
    assert chances == pytest.approx(1.0)
    assert 0.2 < expected <= 1.0 + 1e-9


def test_a_rare_value_among_few_rows_is_no_alarm() -> None:
    # A chi-square statistic calls this 23.5 with one degree of freedom.
    assert drift_evidence([3, 4997], [1, 49]).e_value < 5
    assert drift_evidence([0, 350], [40, 460]).e_value > 600


def alarms_on_unchanged(
    rng: np.random.Generator, *, rows: int, columns: int, step: int, fresh_windows: bool
) -> bool:
    """Watch an unchanged table for 30 looks; say if any column ever alarmed."""
    start = rng.normal(size=(columns, rows))
    if columns > 3:
        start[0] = np.round(start[0])
        start[1] = np.maximum(start[1], 0.5)
    edges = [reference_edges(column) for column in start]
    known = [cells(edge, column) for edge, column in zip(edges, start, strict=True)]
    current: list[Ints] = [np.zeros_like(counts) for counts in known]
    for look in range(30):
        more = rng.normal(size=(columns, step))
        if columns > 3:
            more[0] = np.round(more[0])
            more[1] = np.maximum(more[1], 0.5)
        counted = [cells(edge, column) for edge, column in zip(edges, more, strict=True)]
        kept = [0 if fresh_windows else counts for counts in current]
        current = [old + new for old, new in zip(kept, counted, strict=True)]
        window = look + 1 if fresh_windows else 1
        evidence = [
            ordered_drift_evidence(before, now, window=window).e_value
            for before, now in zip(known, current, strict=True)
        ]
        if e_bh(evidence, alpha=ALPHA).any():
            return True
    return False


@pytest.mark.parametrize("fresh_windows", [False, True])
def test_unchanged_streams_stay_silent(fresh_windows: bool) -> None:
    rng = np.random.default_rng(30)
    alarms = sum(
        alarms_on_unchanged(rng, rows=340, columns=4, step=40, fresh_windows=fresh_windows)
        for _ in range(5)
    )
    assert alarms == 0


@pytest.mark.storm
@pytest.mark.parametrize("fresh_windows", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "step"), [(300, 30, 30), (340, 10, 300), (5000, 10, 200)]
)
def test_200_unchanged_streams_of_30_looks_stay_silent(
    rows: int, columns: int, step: int, fresh_windows: bool
) -> None:
    rng = np.random.default_rng(31)
    alarms = sum(
        alarms_on_unchanged(rng, rows=rows, columns=columns, step=step, fresh_windows=fresh_windows)
        for _ in range(200)
    )
    assert alarms <= 10


def share_found(*, shift: float, rows: int, current: int, columns: int, tables: int) -> float:
    """Return how often a shifted column passes the threshold of so many columns."""
    rng = np.random.default_rng(32)
    found = 0
    for _ in range(tables):
        start = rng.normal(size=rows)
        edges = reference_edges(start)
        now = cells(edges, rng.normal(shift, size=current))
        found += ordered_drift_evidence(cells(edges, start), now).e_value >= columns / ALPHA
    return found / tables


def test_a_shift_of_one_deviation_is_found_with_few_rows() -> None:
    assert share_found(shift=1.0, rows=340, current=150, columns=30, tables=60) == 1.0


def test_a_shift_of_half_a_deviation_is_found_with_a_thousand_rows() -> None:
    assert share_found(shift=0.5, rows=350, current=1000, columns=30, tables=60) >= 0.9


def test_a_wider_spread_is_found() -> None:
    rng = np.random.default_rng(33)
    start = rng.normal(size=340)
    edges = reference_edges(start)
    now = cells(edges, rng.normal(scale=2.0, size=500))
    assert ordered_drift_evidence(cells(edges, start), now).e_value > 600


def test_new_windows_pay_so_that_the_promise_lasts() -> None:
    first = drift_evidence([50, 50], [90, 10])
    tenth = drift_evidence([50, 50], [90, 10], window=10)
    assert first.log_e - tenth.log_e == pytest.approx(math.log(110 / 2))


def test_nothing_seen_is_no_evidence() -> None:
    assert drift_evidence([5, 5], [0, 0]).e_value == 1.0
    assert drift_evidence([0, 0], [5, 5]).e_value == 1.0
    assert drift_evidence([5], [7]).e_value <= 1.0


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 10**7), min_size=2, max_size=8),
    st.lists(st.integers(0, 10**7), min_size=8, max_size=8),
)
def test_evidence_is_always_a_number(before: list[int], now: list[int]) -> None:
    found = ordered_drift_evidence(before, now[: len(before)])
    assert math.isfinite(found.log_e)
    assert found.e_value >= 0


def test_the_effect_holds_the_true_distance() -> None:
    rng = np.random.default_rng(34)
    before, now = np.full(10, 0.1), np.linspace(0.05, 0.15, 10)
    truth = total_variation(before, now)
    held = empty = 0
    for seed in range(60):
        found = effect_interval(
            rng.multinomial(340, before), rng.multinomial(500, now), seed=seed, draws=150
        )
        held += found.lower <= truth <= found.upper
        same = effect_interval(
            rng.multinomial(340, before), rng.multinomial(500, before), seed=seed, draws=150
        )
        empty += same.lower == 0.0
    assert held >= 55
    assert empty >= 55


def test_the_effect_of_a_seed_is_the_same_twice() -> None:
    assert effect_interval([5, 9], [9, 5], seed=1) == effect_interval([5, 9], [9, 5], seed=1)


# Many columns


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=12))
def test_e_bh_against_its_definition(values: list[float]) -> None:
    k = len(values)
    ordered = sorted(values, reverse=True)
    largest = max((i for i in range(1, k + 1) if ordered[i - 1] * i * ALPHA >= k), default=0)
    found = e_bh(values, alpha=ALPHA)
    assert int(found.sum()) == largest
    assert sorted(np.array(values)[found], reverse=True) == ordered[:largest]
    assert not np.any(bonferroni(values, alpha=ALPHA) & ~found)


def test_no_columns_no_alarm() -> None:
    assert e_bh([], alpha=ALPHA).tolist() == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="tau"):
        harm_evidence(Sample(50, 0, 1), Sample(50, 0, 1), tau=0)
    with pytest.raises(Invalid, match="tau"):
        drift_evidence([1, 2], [1, 2], tau=0)
    with pytest.raises(Invalid, match="counted from 1"):
        drift_evidence([1, 2], [1, 2], window=0)
    with pytest.raises(Invalid, match="negative"):
        drift_evidence([1, -2], [1, 2])
    with pytest.raises(Invalid, match="2 and 3"):
        drift_evidence([1, 2], [1, 2, 3])
    with pytest.raises(Invalid, match="1 totals"):
        key_sample([1], [1, 2])
