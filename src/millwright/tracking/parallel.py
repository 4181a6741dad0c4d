"""Many runs as lines through parallel axes: parameters on the left, metrics on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from millwright.core.errors import Invalid
from millwright.records.comparisons import Axis, AxisLine, ParallelChart
from millwright.records.runs import Run

MAX_CATEGORIES = 1000
_GROUPS = ("params", "metrics")


def parallel_chart(runs: Sequence[Run], axes: Sequence[str] | None = None) -> ParallelChart:
    """Return axes with their ranges or categories, and a line for each run.

    `axes` names them, as `params.depth` and `metrics.auc`, in their order. Without it there is
    one for each parameter that is not the same in all runs, and for each metric, by name. A
    parameter is a number where each of its values reads as one. Raises Invalid for what is no
    axis. O(runs × axes) time.
    """
    if axes is not None:
        for key in axes:
            group, dot, name = key.partition(".")
            if group not in _GROUPS or not dot or not name:
                raise Invalid(
                    f"{key!r} is no axis", why="there are parameters and metrics, as params.depth"
                )
    chosen = _worth_showing(runs) if axes is None else list(dict.fromkeys(axes))
    columns = [[value_of(run, key) for run in runs] for key in chosen]
    made = [_axis(key, column) for key, column in zip(chosen, columns, strict=True)]
    places = [{name: at for at, name in enumerate(axis.categories)} for axis in made]
    lines: list[AxisLine] = []
    for at, run in enumerate(runs):
        values: list[float | None] = []
        for axis, column, place in zip(made, columns, places, strict=True):
            value = column[at]
            if value is None:
                values.append(None)
            elif axis.kind == "number":
                values.append(number_of(value))
            else:
                found = place.get(str(value))
                values.append(None if found is None else float(found))
        lines.append(AxisLine(run=run.id, name=run.name, values=values))
    return ParallelChart(axes=made, lines=lines)


def value_of(run: Run, key: str) -> str | float | None:
    """Return what a run has on an axis; None for nothing, and for what is not a number."""
    group, _, name = key.partition(".")
    return run.params.get(name) if group == "params" else run.metrics.get(name)


def number_of(value: str | float) -> float | None:
    """Return the finite number that a value is or spells; None when it is or spells none.

    >>> number_of("1e-3"), number_of("gini"), number_of("inf")
    (0.001, None, None)
    """
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _worth_showing(runs: Sequence[Run]) -> list[str]:
    params = sorted({name for run in runs for name in run.params})
    metrics = sorted({name for run in runs for name in run.metrics})
    differing = [name for name in params if len({run.params.get(name) for run in runs}) > 1]
    return [f"params.{name}" for name in differing] + [f"metrics.{name}" for name in metrics]


def _axis(key: str, column: Sequence[str | float | None]) -> Axis:
    present = [value for value in column if value is not None]
    numbers = [number for value in present if (number := number_of(value)) is not None]
    # A metric is a number, also where all that was measured of it is infinite.
    if key.startswith("metrics.") or (present and len(numbers) == len(present)):
        return Axis(
            key=key,
            kind="number",
            low=min(numbers, default=None),
            high=max(numbers, default=None),
        )
    categories = sorted({str(value) for value in present})
    return Axis(key=key, kind="category", categories=categories[:MAX_CATEGORIES])
