"""Which decisions form a window, and what the window looks like in the reference's cells.

One window grows, look by look, over the answers that the champion's version gave, until it has
`MonitorSpec.window_rows` rows; then the next one begins. When another version becomes champion a
new window begins at once, since each version is held against its own training profile; a version
that comes back goes on with the window number it had reached, so that no promise is made twice.

What is carried from look to look is where the window began and its number: a look reads the
window's segments again. That costs some milliseconds for the 2,000 rows at which a window ends,
and in return nothing but the segments can be lost, damaged or out of step with them, and a
payload that was erased is gone from the next look as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import Struct

from millwright.monitoring.drift import reference_column
from millwright.records.serving import Cell, Decision
from millwright.stats.arrays import Floats
from millwright.stats.profile import (
    Bins,
    ColumnProfile,
    NumericProfile,
    TableProfile,
    TextProfile,
    start_profile,
)

MAX_ANCHORS = 5
ANCHOR_DISTINCT = 0.5
ANCHOR_ROWS = 20


class WindowState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a monitor carries from look to look."""

    version: int = 0
    """The model version whose answers are counted; 0 before the first."""
    window: int = 1
    """Number of the window among those held against this version's profile."""
    from_segment: int = 0
    """Key of the window's first segment."""
    judged: bool = False
    """Whether this window has been judged, which uses its number up."""
    next_window: dict[int, int] = {}
    """Version -> number of its next window, for versions that are not champion now."""
    labels: int = 0
    """What `count_labels` gave when accuracy was last judged."""
    revisions: int = 0
    """How often accuracy was judged on cases that had more than one label."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window as it is judged."""

    profile: TableProfile
    independent: Mapping[str, float]
    """Per column: how many independent rows the window is worth."""
    independent_rows: float
    first_us: int
    last_us: int


def begin(state: WindowState, *, version: int, next_segment: int) -> WindowState:
    """Return the state for `version`: as it is, or with a new window where it is another one."""
    if state.version == version:
        return state
    kept = {**state.next_window, state.version: state.window + state.judged}
    number = kept.pop(version, 1)
    kept.pop(0, None)
    return msgspec.structs.replace(
        state,
        version=version,
        window=number,
        from_segment=next_segment,
        judged=False,
        next_window=kept,
    )


def advance(state: WindowState, *, is_full: bool, next_segment: int) -> WindowState:
    """Return the state after a look at the window; a full one gives way to the next."""
    if not is_full:
        return msgspec.structs.replace(state, judged=True)
    return msgspec.structs.replace(
        state, window=state.window + 1, from_segment=next_segment, judged=False
    )


def answers(decisions: Iterable[Decision], *, version: int) -> list[Decision]:
    """Return what the version decided as champion; as a candidate it saw a share of the keys."""
    return [
        decision
        for decision in decisions
        if decision.role == "champion" and decision.version == version and decision.inputs
    ]


def fill(reference: TableProfile, inputs: Sequence[str], decisions: Sequence[Decision]) -> Window:
    """Return the window of these decisions, counted in the reference's cells.

    `inputs` names the columns to watch. A number where texts are expected counts as its text; a
    text where numbers are expected counts as the number it spells, and else as missing. The
    order of the decisions makes no difference.

    Raises Conflict when the reference cannot be compared with.
    """
    known = {name: reference_column(reference, name) for name in inputs}
    numeric = [name for name in inputs if isinstance(known[name], NumericProfile)]
    text = [name for name in inputs if isinstance(known[name], TextProfile)]
    profile = start_profile(numeric=numeric, text=text, bins=_bins(known))
    tallies: dict[str, Counter[float] | Counter[str]] = {}
    for name in numeric:
        # Sorted: the sketches, and so the digest of a report, depend on the order.
        numbers = np.sort(np.array([to_number(one.inputs.get(name)) for one in decisions]))
        profile.update_numeric(name, numbers)
        tallies[name] = Counter(numbers[~np.isnan(numbers)].tolist())
    for name in text:
        cells = [one.inputs.get(name) for one in decisions]
        texts = Counter(to_text(cell) for cell in cells if cell is not None)
        ordered = sorted(texts)
        counts = np.array([texts[each] for each in ordered], dtype=np.int64)
        profile.update_text(name, ordered, counts, missing=len(cells) - int(counts.sum()))
        tallies[name] = texts
    repeats = _repeats(known, tallies)
    rows = len(decisions)
    return Window(
        profile=profile,
        independent={
            name: independent_rows(rows, [rate for at, rate in repeats.items() if at != name])
            for name in profile.columns
        },
        independent_rows=independent_rows(rows, list(repeats.values())),
        first_us=min((one.time_us for one in decisions), default=0),
        last_us=max((one.time_us for one in decisions), default=0),
    )


def independent_rows(rows: int, repeats: Sequence[float]) -> float:
    """Return how many independent rows a window of `rows` is worth.

    `repeats` holds, for each column that tells rows apart, the chance that two rows of the window
    are one and the same row come again. The lower median counts: a minority of columns that got
    stuck, or changed halfway, does not decide it. With chance r the mean over the rows varies as
    much as one over 1 / (1 / n + r) independent ones: n draws from m rows are worth
    1 / (1 / n + 1 / m).

    Source: Kish, Survey Sampling, 1965 (the design effect of clusters).
    """
    if not rows or not repeats:
        return float(rows)
    return rows / (1.0 + rows * sorted(repeats)[(len(repeats) - 1) // 2])


def to_number(cell: Cell) -> float:
    """Return a captured value as a number; NaN where it is missing or spells none."""
    if cell is None:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return math.nan


def to_text(cell: Cell) -> str:
    """Return a captured value as text."""
    return cell if isinstance(cell, str) else str(cell)


def _bins(known: Mapping[str, ColumnProfile]) -> Bins:
    bins: dict[str, Floats | tuple[str, ...]] = {}
    for name, column in known.items():
        if isinstance(column, NumericProfile):
            if column.histogram is not None:
                bins[name] = column.histogram.edges
        elif column.levels is not None:
            bins[name] = column.levels.levels
    return bins


def _repeats(
    known: Mapping[str, ColumnProfile], tallies: Mapping[str, Counter[float] | Counter[str]]
) -> dict[str, float]:
    """Return, for the columns that best tell rows apart, how often two rows are the same one.

    That is how often two values are equal, less how often they are so among the reference's
    rows. A table without such a column (only flags, say) gives nothing, and its rows count as
    independent.
    """
    rates: list[tuple[float, str]] = []
    for name, column in known.items():
        present = column.rows - column.missing
        distinct = min(1.0, column.distinct.estimate() / present) if present else 0.0
        if present >= ANCHOR_ROWS and distinct >= ANCHOR_DISTINCT:
            # n values with d different ones: n - d are pairs of equal ones, to first order.
            rates.append((2.0 * (1.0 - distinct) / (present - 1), name))
    found: dict[str, float] = {}
    for by_chance, name in sorted(rates)[:MAX_ANCHORS]:
        counts = np.array(list(tallies[name].values()), dtype=np.float64)
        total = counts.sum()
        if total >= 2:
            equal = float((counts * (counts - 1.0)).sum() / (total * (total - 1.0)))
            found[name] = max(0.0, (equal - by_chance) / (1.0 - by_chance))
    return found
