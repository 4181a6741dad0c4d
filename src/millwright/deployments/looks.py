"""What one look at a rollout reads, outside any transaction, and the record it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millwright.artifacts.store import ArtifactStore
from millwright.deployments.decide import Step
from millwright.deployments.observe import count_keys
from millwright.journal.captured import read_decisions
from millwright.metadata.database import Database
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import KeySeen, RolloutRow
from millwright.records.deployments import Look, Observed
from millwright.stats.intervals import Interval

SEGMENTS_PER_LOOK = 200
ROWS_PER_LOOK = 100_000
"""A look reads no further segment once it has read that many decisions."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a look has read before it writes anything."""

    before: RolloutRow
    """The rollout as it stood then."""
    keys: list[KeySeen]
    next_segment: int
    has_more: bool
    """Whether segments were left for the next look."""


def count_segments(database: Database, artifacts: ArtifactStore, before: RolloutRow) -> Counted:
    """Read the segments that a rollout has not seen: whole ones, and no more than a look may.

    Raises Corrupt when one is not what was sealed.
    """
    with database.read() as tx:
        found = segment_tables.segments_from(
            tx,
            deployment_pk=before.deployment_pk,
            from_pk=before.next_segment,
            limit=SEGMENTS_PER_LOOK + 1,
        )
    taken = within_bounds([one.row_count for one in found])
    keys = count_keys(
        (decision for segment in found[:taken] for decision in read_decisions(artifacts, segment)),
        rollout=before.id,
    )
    next_segment = found[taken - 1].pk + 1 if taken else before.next_segment
    return Counted(before, keys, next_segment, has_more=taken < len(found))


def within_bounds(rows: Sequence[int]) -> int:
    """Return how many segments, of so many rows each, one look reads: one at least."""
    total = 0
    for at, count in enumerate(rows[:SEGMENTS_PER_LOOK]):
        total += count
        if total >= ROWS_PER_LOOK:
            return at + 1
    return min(len(rows), SEGMENTS_PER_LOOK)


def make_look(n: int, now_us: int, seen: Observed, step: Step) -> Look:
    """Return the record of a look: what was seen, decided and why."""
    errors, slow = _finite(step.errors), _finite(step.slow)
    return Look(
        n=n,
        time_us=now_us,
        seen=seen,
        action=step.action,
        why=step.why,
        error_difference=errors[0],
        error_low=errors[1],
        error_high=errors[2],
        slow_difference=slow[0],
        slow_low=slow[1],
        slow_high=slow[2],
    )


def _finite(interval: Interval) -> tuple[float | None, float | None, float | None]:
    """Return the interval with None for a side that is not bounded yet, as JSON has no infinity."""
    known = (interval.estimate, interval.lower, interval.upper)
    return (
        known[0],
        None if known[1] == float("-inf") else known[1],
        None if known[2] == float("inf") else known[2],
    )
