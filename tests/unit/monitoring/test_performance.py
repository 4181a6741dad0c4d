"""Figures on labelled decisions equal a plain computation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.monitoring import Floats, World
from millwright.core.errors import NotFound
from millwright.monitoring.labels import Labels
from millwright.monitoring.performance import (
    Outcomes,
    accuracy_interval,
    below_floor_evidence,
    case_means,
    same,
)
from millwright.records.serving import Cell, Decision, Label
from millwright.stats.intervals import wilson


def outcomes_of(world: World) -> Outcomes:
    return Outcomes(world.database, world.artifacts)


def add_labels(world: World, decisions: list[Decision], values: list[Cell]) -> None:
    labels = [
        Label(decision=one.id, value=value) for one, value in zip(decisions, values, strict=True)
    ]
    Labels(world.database, world.artifacts, world.journal, world.clock).add(
        world.act, "demo", labels
    )


def test_accuracy_and_auc_equal_a_plain_computation(world: World) -> None:
    rng = np.random.default_rng(2)
    world.add_version([{"x": 1.0}])
    truth = rng.integers(0, 2, size=90)
    score = np.clip(truth * 0.3 + rng.random(90) * 0.7, 0, 1)
    guess = (score > 0.5).astype(int)
    decisions: list[Decision] = []
    for part in np.split(np.arange(90), 3):
        rows = [{"x": float(at)} for at in part]
        decisions += world.decide(
            rows, predictions=guess[part].tolist(), scores=score[part].tolist()
        )
    known = rng.permutation(90)[:50]
    add_labels(world, [decisions[at] for at in known], [str(truth[at]) for at in known])
    found = outcomes_of(world).performance(world.act.project_key, "demo", 1)
    right = int((guess[known] == truth[known]).sum())
    interval = wilson(right, 50)
    assert (found.version, found.decisions, found.labelled) == (1, 90, 50)
    assert found.accuracy == right / 50
    assert (found.accuracy_low, found.accuracy_high) == (interval.lower, interval.upper)
    positives, negatives = (score[known][truth[known] == one] for one in (1, 0))
    wins = np.sign(positives[:, None] - negatives[None, :])
    assert found.auc == pytest.approx(float((wins + 1).mean() / 2))


def test_versions_errors_and_other_classes(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    first = world.decide([{"x": 1.0}] * 2, predictions=["a", "b"], scores=[0.1, 0.9])
    world.add_version([{"x": 1.0}])
    second = world.decide([{"x": 1.0}] * 2, predictions=["a", "c"], scores=[0.1, 0.9])
    failed = world.decide([{"x": 1.0}], error="broke")
    add_labels(world, [*first, *second, *failed], ["a", "b", "b", "c", "a"])
    outcomes = outcomes_of(world)
    both = outcomes.performance(world.act.project_key, "demo")
    assert (both.decisions, both.labelled, both.accuracy, both.auc) == (5, 4, 0.75, None)
    one = outcomes.performance(world.act.project_key, "demo", 1)
    assert (one.decisions, one.labelled, one.accuracy, one.auc) == (2, 2, 1.0, 1.0)
    none = outcomes.performance(world.act.project_key, "demo", 9)
    assert (none.decisions, none.labelled, none.accuracy, none.auc) == (0, 0, None, None)
    with pytest.raises(NotFound):
        outcomes.performance(world.act.project_key, "nope")


def test_rows_to_train_on_are_the_newest_in_order(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    first = world.decide([{"x": 1.0, "t": "a"}, {"x": 2.0, "t": "b"}, {"x": 3.0, "t": None}])
    world.clock.advance(10)
    since_us = world.clock.now_us()
    second = world.decide([{"x": 4.0}, {"x": 5.0, "t": "c"}])
    add_labels(world, [first[0], first[2], *second], [1, 0, 1, 0])
    outcomes = outcomes_of(world)
    found = outcomes.labelled_rows(world.act.project_key, "demo")
    assert found.columns == {"t": ["a", None, None, "c"], "x": [1.0, 3.0, 4.0, 5.0]}
    assert found.labels == [1, 0, 1, 0]
    assert found.decisions == [first[0].id, first[2].id, second[0].id, second[1].id]
    newest = outcomes.labelled_rows(world.act.project_key, "demo", limit=3)
    assert newest.columns["x"] == [3.0, 4.0, 5.0]
    late = outcomes.labelled_rows(world.act.project_key, "demo", since_us=since_us)
    assert late.decisions == [second[0].id, second[1].id]


def test_values_that_mean_the_same_are_the_same() -> None:
    assert len({same(value) for value in (1, 1.0, "1", " 1.0 ", True, "true", "TRUE")}) == 1
    assert same("yes") != same("no")
    assert same("nan") == "nan"
    assert same(0) == same(False) == same("false") != same("")


def shares(right: int, labelled: int) -> Floats:
    """Return the means of cases with one answer each."""
    return np.array([1.0] * right + [0.0] * (labelled - right))


@pytest.mark.parametrize("rate", [0.9, 0.95])
def test_the_evidence_below_a_floor_is_an_e_value(rate: float) -> None:
    expected = sum(
        math.comb(60, right)
        * rate**right
        * (1 - rate) ** (60 - right)
        * math.exp(below_floor_evidence(shares(right, 60), floor=0.9))
        for right in range(61)
    )
    assert expected <= 0.5 + 1e-9
    assert below_floor_evidence(shares(20, 60), floor=0.9) > math.log(1000)
    weights = [math.exp(below_floor_evidence(shares(0, 0), floor=0.9, revisions=r)) for r in (0, 1)]
    assert weights == pytest.approx([1 / 2, 1 / 6])


@given(
    share=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2),
    at=st.floats(0.01, 0.99),
    floor=st.floats(0.1, 0.9),
)
@settings(max_examples=50)
def test_no_shares_by_case_with_a_mean_at_the_floor_gain_on_average(
    share: list[float], at: float, floor: float
) -> None:
    low, high = share[0] * floor, floor + share[1] * (1 - floor)
    if high - low < 1e-6:
        return
    chance = (floor - low) / (high - low)
    expected = (1 - chance) * math.exp(below_floor_evidence(np.array([low]), floor=floor))
    expected += chance * math.exp(below_floor_evidence(np.array([high]), floor=floor))
    assert expected <= 0.5 + 1e-9


def correlated(
    rng: np.random.Generator, *, accuracy: float, keys: int, rows: int, correlation: float
) -> npt.NDArray[np.bool_]:
    """Draw answers (keys, rows); two of one key are both drawn from its own rate (beta)."""
    worth = 1.0 / correlation - 1.0
    rates = rng.beta(accuracy * worth, (1.0 - accuracy) * worth, size=(keys, 1))
    return rng.random((keys, rows)) < rates


@pytest.mark.parametrize("returning", [False, True], ids=["new keys", "the same keys again"])
def test_answers_on_one_key_that_resemble_each_other_raise_no_false_alarm(
    returning: bool,
) -> None:
    # Accuracy is exactly the floor; 15 looks; 20 rows a key; correlation within a key 0.2.
    looks, rows, keys, studies, floor = 15, 20, 60, 200, 0.9
    bar = math.log(1 / 0.05)
    rng = np.random.default_rng(5)
    false = by_row = 0
    for _ in range(studies):
        right = correlated(rng, accuracy=floor, keys=keys, rows=rows, correlation=0.2)
        top = top_by_row = -math.inf
        for look in range(1, looks + 1):
            part = right[:, : 5 + look] if returning else right[: keys * look // looks]
            means = part.mean(axis=1)
            top = max(top, below_floor_evidence(means, floor=floor, revisions=look))
            answers = shares(int(part.sum()), part.size)
            top_by_row = max(top_by_row, below_floor_evidence(answers, floor=floor))
        false += top >= bar
        by_row += top_by_row >= bar
    assert false <= 0.05 * studies
    assert returning or by_row > 0.1 * studies


def test_keys_that_are_wrong_more_often_are_found() -> None:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(40):
        right = correlated(rng, accuracy=0.75, keys=60, rows=20, correlation=0.2)
        found += below_floor_evidence(right.mean(axis=1), floor=0.9, revisions=15) > math.log(20)
    assert found >= 38


def test_answers_count_by_case() -> None:
    found = case_means([True, False, True, True], ["b", "b", "a", "b"])
    assert found.tolist() == [pytest.approx(2 / 3), 1.0]


@given(right=st.integers(0, 80), wrong=st.integers(0, 80))
@settings(max_examples=50)
def test_with_one_answer_a_case_the_interval_is_wilsons(right: int, wrong: int) -> None:
    if right + wrong:
        found = accuracy_interval(shares(right, right + wrong), labelled=right + wrong)
        assert found == wilson(right, right + wrong)


def test_answers_that_stand_and_fall_together_count_once() -> None:
    # 20 cases of 10 equal answers are worth 20 answers; equally mixed ones nearly 200.
    together = accuracy_interval(shares(15, 20), labelled=200)
    assert (together.lower, together.upper) == (wilson(15, 20).lower, wilson(15, 20).upper)
    mixed = accuracy_interval(np.array([0.7, 0.8] * 10), labelled=200)
    assert wilson(150, 200).width <= mixed.width < together.width


@pytest.mark.parametrize("keys", [8, 60])
def test_the_interval_holds_the_accuracy_as_often_as_it_says(keys: int) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        right = correlated(rng, accuracy=0.8, keys=keys, rows=20, correlation=0.2)
        found = accuracy_interval(right.mean(axis=1), labelled=right.size)
        held += found.lower <= 0.8 <= found.upper
    assert held >= 0.92 * 300


def test_performance_takes_the_case_for_the_unit(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    cases = ["busy"] * 6 + ["calm", "kind"]
    decisions = world.decide([{"x": 1.0}] * 8, predictions=[1] * 8, cases=cases)
    add_labels(world, decisions, [0, 0, 0, 0, 0, 0, 1, 1])
    found = outcomes_of(world).performance(world.act.project_key, "demo", 1)
    interval = wilson(2, 3)
    assert (found.labelled, found.accuracy) == (8, pytest.approx(2 / 3))
    assert (found.accuracy_low, found.accuracy_high) == (interval.lower, interval.upper)
