from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from fixtures.example_host import example_of
from millwright.core.ids import RunId
from millwright.records.runs import Infinite, MetricPoint, Run, RunStatus
from millwright.tracking.standing import best_of, is_better, state_of, study_of, trials_of

EXAMPLE = example_of(Run)
Outcome = tuple[str, float | Infinite | None]

OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from(["running", "complete", "pruned", "failed"]),
        st.sampled_from([0.0, 1.0, -2.5, 7.25, None, "Infinity"]),
    ),
    max_size=10,
)


def found(outcomes: list[Outcome]) -> list[tuple[int, str, Run]]:
    return [
        (
            at,
            state,
            replace(
                EXAMPLE, id=RunId(f"run_{at}"), status="running", metrics={"auc": value}, points=[]
            ),
        )
        for at, (state, value) in enumerate(outcomes)
    ]


@given(OUTCOMES, st.sampled_from(["minimize", "maximize"]))
def test_the_best_is_that_of_all_complete_trials(
    outcomes: list[Outcome], direction: Literal["minimize", "maximize"]
) -> None:
    trials = trials_of(found(outcomes), metric="auc", direction=direction)
    values = [
        value for state, value in outcomes if state == "complete" and isinstance(value, float)
    ]
    best = best_of(trials, direction=direction)
    if not values:
        assert best is None
        return
    wanted = min(values) if direction == "minimize" else max(values)
    assert best is not None
    assert best.value == trials[-1].best_so_far == wanted
    assert best.number == next(at for at, one in enumerate(outcomes) if one == ("complete", wanted))
    so_far = [one.best_so_far for one in trials if isinstance(one.best_so_far, float)]
    assert so_far == sorted(so_far, reverse=direction == "minimize")
    study = study_of(EXAMPLE, trials, name="s", metric="auc", direction=direction, space={})
    assert sum(asdict(study.trials).values()) == len(outcomes)
    assert study.best == best


@pytest.mark.parametrize(
    ("stored", "status", "value", "state"),
    [
        ("running", "running", 0.5, "running"),
        ("running", "finished", 0.5, "complete"),
        ("running", "finished", None, "failed"),
        ("running", "finished", "Infinity", "failed"),
        ("running", "cancelled", 0.5, "failed"),
        ("pruned", "finished", 0.5, "pruned"),
        ("failed", "running", 0.5, "failed"),
    ],
)
def test_a_trial_is_read_as_its_run_ended_where_nobody_said(
    stored: str, status: RunStatus, value: float | Infinite | None, state: str
) -> None:
    assert state_of(stored, replace(EXAMPLE, status=status), value) == state


def test_the_newest_step_is_told() -> None:
    points = [MetricPoint(key="loss", value=1.0, step=3), MetricPoint(key="auc", value=1.0, step=9)]
    run = replace(EXAMPLE, status="running", metrics={"auc": 1.0}, points=points)
    (trial,) = trials_of([(0, "running", run)], metric="auc", direction="minimize")
    assert (trial.step, trial.value) == (9, 1.0)


def test_equals_are_not_better() -> None:
    assert is_better(1.0, None, "minimize")
    assert not is_better(1.0, 1.0, "minimize")
    assert is_better(0.5, 1.0, "minimize")
    assert not is_better(0.5, 1.0, "maximize")
