"""A moved column is named with words and figures; one that did not move is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Conflict, Invalid
from millwright.monitoring.drift import detectable_distance, judge, report_digest, threshold
from millwright.records.monitoring import ColumnDrift, MonitorSpec
from millwright.stats.arrays import Floats
from millwright.stats.profile import TableProfile, reference_bins, start_profile

SPEC = MonitorSpec()


def numbers(reference: Floats, current: Floats) -> tuple[TableProfile, TableProfile]:
    first = start_profile(numeric=["x"], text=[])
    first.update_numeric("x", reference)
    bins = reference_bins(first)
    known = start_profile(numeric=["x"], text=[], bins=bins)
    known.update_numeric("x", reference)
    now = start_profile(numeric=["x"], text=[], bins=bins)
    now.update_numeric("x", current)
    return known, now


def texts(reference: list[str], current: list[str]) -> tuple[TableProfile, TableProfile]:
    first = start_profile(numeric=[], text=["t"])
    first.update_text("t", reference)
    bins = reference_bins(first)
    known = start_profile(numeric=[], text=["t"], bins=bins)
    known.update_text("t", reference)
    now = start_profile(numeric=[], text=["t"], bins=bins)
    now.update_text("t", current)
    return known, now


def verdict(both: tuple[TableProfile, TableProfile], spec: MonitorSpec = SPEC) -> ColumnDrift:
    (found,) = judge(both[0], both[1], spec=spec)
    return found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_the_same_distribution_is_no_drift(rng: np.random.Generator) -> None:
    found = verdict(numbers(rng.normal(size=400), rng.normal(size=600)))
    assert (found.drifted, found.reason) == (False, "no change shown")
    assert found.evidence < 1
    assert 0 <= found.low <= found.distance <= found.high <= 1


def test_a_shift_is_told_by_its_medians(rng: np.random.Generator) -> None:
    found = verdict(numbers(rng.normal(10, 1, size=400), rng.normal(11, 1, size=400)))
    assert found.drifted
    assert found.reason.startswith("values moved: median 9.9")
    assert found.low > 0.1


def test_a_wider_spread_is_told_by_its_middle_half(rng: np.random.Generator) -> None:
    found = verdict(numbers(rng.normal(size=400), rng.normal(0, 3, size=400)))
    assert found.drifted
    assert found.reason.startswith("values spread otherwise: middle half -0.")
    assert "values never seen in training" in found.reason


def test_missing_values_are_found_apart_from_the_others(rng: np.random.Generator) -> None:
    current = rng.normal(size=500)
    current[:60] = np.nan
    found = verdict(numbers(rng.normal(size=400), current))
    assert found.drifted
    assert found.reason == "missing 0 % → 12 %"
    assert (found.missing_reference, found.missing_now) == (0.0, 0.12)
    assert found.distance > 0.12


def test_unseen_levels_are_found_apart(rng: np.random.Generator) -> None:
    both = texts(["a", "b"] * 200, ["a", "b"] * 220 + ["new"] * 60)
    found = verdict(both)
    assert found.drifted
    assert found.unseen_now == pytest.approx(0.12)
    assert found.reason == (
        "values moved: other values 0 % → 12 %; values never seen in training: 12 %"
    )


def test_a_level_that_became_common_is_named() -> None:
    found = verdict(texts(["a"] * 300 + ["b"] * 100, ["a"] * 100 + ["b"] * 300))
    assert found.drifted
    assert found.reason.startswith("values moved: 'a' 75 % → 25 %")


def test_a_stuck_instrument_is_called_so(rng: np.random.Generator) -> None:
    found = verdict(numbers(rng.normal(size=400), np.full(100, 0.25)))
    assert (found.drifted, found.reason) == (True, "stuck at 0.25")


def test_a_constant_column_stays_calm() -> None:
    found = verdict(numbers(np.zeros(400), np.zeros(300)))
    assert (found.drifted, found.reason) == (False, "constant, as in training")


def test_values_where_there_were_none_are_found() -> None:
    found = verdict(numbers(np.full(400, np.nan), np.ones(300)))
    assert (found.drifted, found.reason) == (True, "missing 100 % → 0 %")


def test_a_certain_change_that_is_too_small_to_matter_is_no_drift(
    rng: np.random.Generator,
) -> None:
    both = numbers(rng.normal(size=60_000), rng.normal(0.1, 1, size=60_000))
    found = verdict(both)
    assert found.evidence > threshold(SPEC, columns=1)
    assert (found.drifted, found.reason) == (False, "changed, by less than matters")
    assert verdict(both, MonitorSpec(min_effect=0.01)).drifted


def test_rows_that_come_again_are_worth_less(rng: np.random.Generator) -> None:
    known, now = numbers(rng.normal(size=340), np.tile(rng.normal(0.3, 1, size=60), 20))
    naive = judge(known, now, spec=SPEC)[0]
    fair = judge(known, now, spec=SPEC, independent={"x": 57.0})[0]
    assert naive.drifted
    assert not fair.drifted
    assert fair.distance == naive.distance
    assert fair.high - fair.low > naive.high - naive.low
    assert fair.detectable > naive.detectable


def test_each_window_pays_for_those_before(rng: np.random.Generator) -> None:
    known, now = numbers(rng.normal(size=400), rng.normal(0.4, 1, size=300))
    first, third = (judge(known, now, spec=SPEC, window=number)[0] for number in (1, 3))
    assert first.evidence / third.evidence == pytest.approx(6.0)


def test_the_threshold_is_shared_by_all_that_can_alarm() -> None:
    assert threshold(MonitorSpec(alpha=0.05), columns=30) == pytest.approx(600)
    assert threshold(MonitorSpec(alpha=0.05, accuracy_floor=0.9), columns=30) == pytest.approx(620)


def test_what_was_called_detectable_is_detected(rng: np.random.Generator) -> None:
    bar = math.log(threshold(SPEC, columns=1))
    distance = detectable_distance(400, 400, spec=SPEC, bar=bar, window=1)
    found = 0
    for _ in range(20):
        # Rows moved from the lower to the upper half, as the formula supposes.
        moved = np.abs(rng.normal(size=400)) * np.where(rng.random(400) < 0.5 - distance, -1, 1)
        found += verdict(numbers(rng.normal(size=400), moved)).drifted
    assert found >= 5
    assert 0.1 < distance < 0.3


@settings(max_examples=30)
@given(st.floats(10, 1e6), st.floats(10, 1e6), st.integers(1, 50))
def test_more_rows_show_more(reference: float, rows: float, window: int) -> None:
    bar = math.log(600)
    here = detectable_distance(reference, rows, spec=SPEC, bar=bar, window=window)
    more = detectable_distance(reference, 2 * rows, spec=SPEC, bar=bar, window=window)
    later = detectable_distance(reference, rows, spec=SPEC, bar=bar, window=window + 1)
    assert SPEC.min_effect <= more <= here <= later <= 1.0


def test_the_digest_is_over_verdict_and_figures(rng: np.random.Generator) -> None:
    both = numbers(rng.normal(size=400), rng.normal(1, 1, size=400))
    column = verdict(both)
    digests = {
        report_digest(version=v, rows=400, reference_rows=400, bar=20.0, columns=[verdict(both)])
        for v in (1, 1, 2)
    }
    assert len(digests) == 2
    other = report_digest(version=1, rows=400, reference_rows=400, bar=20.0, columns=[])
    assert other not in digests
    assert column == verdict(both)


def test_what_cannot_be_compared_is_said_so() -> None:
    known, now = numbers(np.arange(50.0), np.arange(50.0))
    plain = start_profile(numeric=["x"], text=[])
    plain.update_numeric("x", np.arange(50.0))
    with pytest.raises(Conflict, match="no cells for the column 'x'"):
        judge(plain, now, spec=SPEC)
    with pytest.raises(Conflict, match="no column 'x'"):
        judge(start_profile(numeric=["y"], text=[]), now, spec=SPEC)
    with pytest.raises(Invalid, match="without rows"):
        judge(known, start_profile(numeric=["x"], text=[]), spec=SPEC)
