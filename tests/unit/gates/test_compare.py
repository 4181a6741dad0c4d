from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.gates.compare import (
    METRICS,
    Answers,
    Truth,
    check_metric,
    metric_difference,
    metric_interval,
)


def made(rows: int, *, skill: float, seed: int = 0) -> tuple[Answers, Truth]:
    """What a model of some skill says of `rows` rows, and what is true of them."""
    rng = np.random.default_rng(seed)
    positive = np.arange(rows) % 3 == 0
    score = 1.0 / (1.0 + np.exp(-(rng.normal(size=rows) + skill * (positive - 0.5))))
    truth = Truth(positive.astype(np.int64), positive.astype(np.float64))
    return Answers((score >= 0.5).astype(np.int64), score), truth


@pytest.mark.parametrize("metric", METRICS)
def test_up_is_better_and_the_interval_holds_the_estimate(metric: str) -> None:
    poor, truth = made(400, skill=0.5)
    good, _ = made(400, skill=4.0)
    low = metric_interval(metric, poor, truth, alpha=0.05)
    high = metric_interval(metric, good, truth, alpha=0.05)
    for interval in (low, high):
        assert interval.lower <= interval.estimate <= interval.upper
    assert low.estimate < high.estimate
    found = metric_difference(metric, good, poor, truth, seed=1, alpha=0.05)
    assert found.difference.lower > 0
    assert found.difference.estimate == pytest.approx(high.estimate - low.estimate, abs=1e-9)
    assert (found.challenger, found.champion) == pytest.approx((high.estimate, low.estimate))


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_answers_differ_by_nothing(metric: str) -> None:
    answers, truth = made(200, skill=2.0)
    found = metric_difference(metric, answers, answers, truth, seed=1, alpha=0.05)
    assert (found.difference.lower, found.difference.estimate, found.difference.upper) == (0, 0, 0)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(METRICS))
def test_a_difference_turned_round_has_the_other_sign(seed: int, metric: str) -> None:
    one, truth = made(60, skill=1.0, seed=seed)
    other, _ = made(60, skill=1.5, seed=seed + 1)
    there = metric_difference(metric, one, other, truth, seed=3, alpha=0.1).difference
    back = metric_difference(metric, other, one, truth, seed=3, alpha=0.1).difference
    assert there.estimate == pytest.approx(-back.estimate, abs=1e-12)


def test_values_that_can_be_worked_out_by_hand() -> None:
    truth = Truth(np.array([1, 0, 1, 0]), np.array([1.0, 0.0, 1.0, 0.0]))
    answers = Answers(np.array([1, 0, 0, 0]), np.array([0.9, 0.2, 0.4, 0.1]))
    assert metric_interval("accuracy", answers, truth, alpha=0.05).estimate == 0.75
    assert metric_interval("auc", answers, truth, alpha=0.05).estimate == 1.0
    brier = metric_interval("brier", answers, truth, alpha=0.05).estimate
    assert brier == pytest.approx(-(0.01 + 0.04 + 0.36 + 0.01) / 4)
    loss = metric_interval("log_loss", answers, truth, alpha=0.05).estimate
    assert loss == pytest.approx(np.log([0.9, 0.8, 0.4, 0.9]).mean())


def test_an_area_stays_within_0_and_1() -> None:
    perfect = Truth(np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0]))
    answers = Answers(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    found = metric_interval("auc", answers, perfect, alpha=0.05)
    assert 0.0 <= found.lower <= found.upper <= 1.0


def test_a_regression_is_judged_by_its_absolute_error() -> None:
    truth = Truth(np.array([1.0, 2.0, 3.0]), None)
    near, far = (Answers(np.array(said), None) for said in ([1.1, 2.0, 2.9], [2.0, 4.0, 0.0]))
    found = metric_difference("absolute_error", near, far, truth, seed=0, alpha=0.05)
    assert found.difference.estimate == pytest.approx(2.0 - 0.2 / 3)
    assert metric_interval("accuracy", near, truth, alpha=0.05).estimate == pytest.approx(1 / 3)


def test_one_row_bounds_nothing() -> None:
    truth = Truth(np.array([1.0]), None)
    found = metric_interval("absolute_error", Answers(np.array([1.5]), None), truth, alpha=0.05)
    assert (found.estimate, found.lower, found.upper) == (-0.5, -np.inf, np.inf)


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier"])
def test_what_needs_scores_says_so_when_there_are_none(metric: str) -> None:
    answers, truth = made(20, skill=1.0)
    with pytest.raises(Invalid, match=f"{metric} needs probabilities of two classes"):
        metric_interval(metric, Answers(answers.prediction, None), truth, alpha=0.05)
    with pytest.raises(Invalid, match=f"{metric} needs probabilities of two classes"):
        metric_interval(metric, answers, Truth(truth.label, None), alpha=0.05)
    with pytest.raises(Invalid, match=f"{metric} needs probabilities of two classes"):
        metric_difference(
            metric, answers, Answers(answers.prediction, None), truth, seed=0, alpha=0.05
        )


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    assert check_metric("auc") == "auc"
    with pytest.raises(Invalid, match="no metric called 'acuracy'") as caught:
        check_metric("acuracy")
    assert caught.value.fix == "did you mean 'accuracy'?"
