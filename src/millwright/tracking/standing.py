"""How a study stands: what became of its trials, and which is the best so far; all pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from millwright.records.runs import Infinite, Run
from millwright.records.studies import Direction, SearchSpace, Study, Trial, TrialCounts, TrialState


def trials_of(found: Iterable[tuple[int, str, Run]], *, metric: str, direction: str) -> list[Trial]:
    """Return trials, given as (number, state as stored, run) by number, each with the best so far.

    A trial whose run ended without anybody saying how is complete where its metric has a finite
    value and the run finished; else it failed.
    """
    best: float | None = None
    trials: list[Trial] = []
    for number, stored, run in found:
        value = run.metrics.get(metric)
        state = state_of(stored, run, value)
        if state == "complete" and isinstance(value, float) and is_better(value, best, direction):
            best = value
        steps = [point.step for point in run.points if point.key == metric]
        trials.append(
            Trial(
                number=number,
                run=run.id,
                state=state,
                params=run.params,
                value=value,
                step=next(iter(steps), None),
                best_so_far=best,
                start_us=run.start_us,
                end_us=run.end_us,
            )
        )
    return trials


def state_of(stored: str, run: Run, value: float | Infinite | None) -> TrialState:
    """Return what became of a trial."""
    state = msgspec.convert(stored, TrialState)
    if state != "running" or run.status == "running":
        return state
    return "complete" if run.status == "finished" and isinstance(value, float) else "failed"


def is_better(value: float, than: float | None, direction: str) -> bool:
    """Tell whether a value beats the best so far; equals do not."""
    if than is None:
        return True
    return value < than if direction == "minimize" else value > than


def best_of(trials: Sequence[Trial], *, direction: str) -> Trial | None:
    """Return the complete trial with the best value, the earliest of equals."""
    best: Trial | None = None
    for one in trials:
        if one.state != "complete" or not isinstance(one.value, float):
            continue
        held = None if best is None or not isinstance(best.value, float) else best.value
        if is_better(one.value, held, direction):
            best = one
    return best


def study_of(
    run: Run,
    trials: Sequence[Trial],
    *,
    name: str,
    metric: str,
    direction: str,
    space: SearchSpace,
) -> Study:
    """Return the record of a study from its run and its trials."""
    counts = Counter(one.state for one in trials)
    return Study(
        run=run.id,
        name=name,
        experiment=run.experiment,
        status=run.status,
        metric=metric,
        direction=msgspec.convert(direction, Direction),
        space=space,
        actor=run.actor,
        start_us=run.start_us,
        end_us=run.end_us,
        trials=TrialCounts(**counts),
        best=best_of(trials, direction=direction),
    )
