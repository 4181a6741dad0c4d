"""Figures on labelled decisions equal a plain computation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fixtures.monitoring import World
from millwright.core.errors import NotFound
from millwright.monitoring.labels import Labels
from millwright.monitoring.performance import Outcomes, below_floor_evidence, same
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


@pytest.mark.parametrize("rate", [0.9, 0.95])
def test_the_evidence_below_a_floor_is_an_e_value(rate: float) -> None:
    expected = sum(
        math.comb(60, right)
        * rate**right
        * (1 - rate) ** (60 - right)
        * math.exp(below_floor_evidence(right, 60, floor=0.9))
        for right in range(61)
    )
    assert expected <= 1.0 + 1e-9
    assert below_floor_evidence(20, 60, floor=0.9) > math.log(1000)
    assert below_floor_evidence(0, 0, floor=0.9) == pytest.approx(0.0)
