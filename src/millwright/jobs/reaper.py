"""Jobs whose owner has gone silent are given back to their queues."""

from __future__ import annotations

from dataclasses import dataclass

from millwright.core.ids import JobId
from millwright.metadata.database import Database
from millwright.metadata.tables import jobs as table
from millwright.records.jobs import JobError

_LOST = JobError(
    code="timed-out",
    what="the process that worked on this job went silent",
    why="its lease ran out without a heartbeat: it was killed, hung, or lost the database",
)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one sweep did."""

    requeued: list[JobId]
    failed: list[JobId]
    """Those that had no attempt left."""


def reap(database: Database, *, now_us: int) -> Reaped:
    """Return jobs whose lease ran out before `now_us` to their queues, or fail the worn-out ones.

    A lost owner counts as an attempt, so that work that kills its process cannot do so for ever.
    Any number of workers may sweep at once; a job that is being reported on is left alone.
    """
    with database.read() as tx:
        if not table.has_expired(tx, now_us=now_us):
            return Reaped([], [])
    with database.write() as tx:
        return Reaped(
            requeued=table.requeue_expired(tx, error=_LOST, now_us=now_us),
            failed=table.fail_expired(tx, error=_LOST, now_us=now_us),
        )
