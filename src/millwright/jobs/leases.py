"""A lease: the right to work on one job until a moment, and to report on it.

Each claim raises the job's fence. A report under an older fence, or on a job that ended or
was cancelled, is refused, so that an owner who was thought dead changes nothing. Between
machines leases compare clocks: let `lease_s` be large against their difference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar, overload

from millwright.core.clock import US_PER_S, Clock
from millwright.jobs.steps import Hold, Steps, to_json
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import jobs as table
from millwright.records.events import Act
from millwright.records.jobs import Job, JobError, JobState

T = TypeVar("T")

BACKOFF_S = 2.0
BACKOFF_CAP_S = 300.0


class Standing(StrEnum):
    """How a lease stands."""

    HELD = "held"
    LOST = "lost"
    """The job ended, or went back to its queue and perhaps to another owner."""
    CANCELLED = "cancelled"


class Lease:
    """One owner's claim of one job; its methods may be called from several threads."""

    def __init__(
        self, database: Database, clock: Clock, row: table.JobRow, *, lease_s: float
    ) -> None:
        self._database = database
        self._clock = clock
        self._hold = Hold(row.id, row.pk, row.fence, lease_s)
        self._steps = Steps(database, clock, self._hold)
        self._gone = threading.Event()
        self.job: Job = row.job()
        """The job as it was when claimed."""
        self.act: Act = Act(
            actor=row.actor,
            project=row.project,
            project_key=row.project_id,
            request=row.request,
            cause=row.cause,
            reason=row.reason,
        )
        """In whose name, where and why the work is done."""

    @property
    def is_gone(self) -> bool:
        """Whether a heartbeat has found the job lost or cancelled: long work looks, and stops."""
        return self._gone.is_set()

    def heartbeat(self) -> Standing:
        """Extend the lease by its full time, and return how it stands."""
        until_us = self._hold.until_us(self._clock.now_us())
        with self._database.write() as tx:
            if table.extend_lease(tx, self._hold.pk, self._hold.fence, lease_until_us=until_us):
                return Standing.HELD
            found = table.read_hold(tx, self._hold.pk)
        self._gone.set()
        cancelled = found == (self._hold.fence, JobState.CANCELLED)
        return Standing.CANCELLED if cancelled else Standing.LOST

    @overload
    def step(self, name: str, fn: Callable[[], object]) -> object: ...
    @overload
    def step(self, name: str, fn: Callable[[], object], shape: type[T]) -> T: ...
    def step(self, name: str, fn: Callable[[], object], shape: type[object] = object) -> object:
        """Call `fn` and store what it returns, or return what an earlier attempt stored.

        Stored as JSON and parsed as `shape`. `fn` runs at least once; see `jobs.steps`. Raises
        Conflict when the job is held no more.
        """
        return self._steps.run(name, fn, shape)

    @overload
    def transact(self, name: str, fn: Callable[[Writer], object]) -> object: ...
    @overload
    def transact(self, name: str, fn: Callable[[Writer], object], shape: type[T]) -> T: ...
    def transact(
        self, name: str, fn: Callable[[Writer], object], shape: type[object] = object
    ) -> object:
        """Like `step`, with `fn` writing in the transaction that stores its result: exactly once.

        `fn` uses no transaction but the one it is given.
        """
        return self._steps.transact(name, fn, shape)

    def finish(self, result: object = None) -> None:
        """End the job well, with a result that JSON can hold.

        Raises Conflict when the job is held no more, and Invalid when JSON cannot hold the result.
        """
        result_json = to_json(result, f"the result of {self.job.id}")
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            if not table.finish_job(
                tx, self._hold.pk, self._hold.fence, result_json=result_json, now_us=now_us
            ):
                raise self._hold.refusal()

    def fail(self, error: JobError, *, retry: bool = True) -> JobState:
        """Report a failed attempt; return `queued` when the job will be tried again, or `failed`.

        It is tried again, after `backoff_s`, unless `retry` is False or this was the last attempt.
        Raises Conflict when the job is held no more.
        """
        pk, fence, now_us = self._hold.pk, self._hold.fence, self._clock.now_us()
        again = retry and self.job.attempt < self.job.max_attempts
        with self._database.write() as tx:
            if again:
                run_at_us = now_us + round(backoff_s(self.job.attempt) * US_PER_S)
                kept = table.requeue_job(tx, pk, fence, error=error, run_at_us=run_at_us)
            else:
                kept = table.fail_job(tx, pk, fence, error=error, now_us=now_us)
            if not kept:
                raise self._hold.refusal()
        return JobState.QUEUED if again else JobState.FAILED


def backoff_s(attempt: int) -> float:
    """Return how long to wait after failed attempt number `attempt` (from 1): doubling, capped.

    >>> [backoff_s(attempt) for attempt in (1, 2, 3, 99)]
    [2.0, 4.0, 8.0, 300.0]
    """
    return min(BACKOFF_CAP_S, BACKOFF_S * 2.0 ** min(attempt - 1, 60))
