"""A worker: claims jobs of the kinds it has handlers for, one at a time, until it is stopped."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

from millwright.core.clock import Clock
from millwright.core.errors import (
    Conflict,
    Denied,
    Invalid,
    MillwrightError,
    Refused,
    TimedOut,
    Unreachable,
    Unsupported,
)
from millwright.core.ids import JobId
from millwright.jobs.leases import Lease, Standing
from millwright.jobs.queue import DEFAULT_LEASE_S, DEFAULT_QUEUE, Jobs
from millwright.records.jobs import JobError

Handler = Callable[[Lease], object]
"""Does a job and returns what JSON can hold; an exception fails the attempt."""

FINAL = (Invalid, Denied, Refused, Unsupported)
"""Errors after which the same job would only fail again."""

POLL_S = 0.2
_TRACE_CHARS = 4000


class Worker:
    """Works through jobs in the calling thread; several workers share a queue safely."""

    def __init__(
        self,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        clock: Clock,
        *,
        owner: str,
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        lease_s: float = DEFAULT_LEASE_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._jobs = jobs
        self._handlers = dict(handlers)
        self._clock = clock
        self._owner = owner
        self._queues = tuple(queues)
        self._lease_s = lease_s
        self._poll_s = poll_s

    def run(self, stop: threading.Event) -> int:
        """Work until `stop` is set, and return how many jobs were worked on.

        The job at hand is brought to its end first. While the database does not answer, the
        worker waits for it. Leases that ran out are swept twice in the time of one.
        """
        count = 0
        sweep_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            job = None
            with suppress(Unreachable, TimedOut):
                if self._clock.monotonic_s() >= sweep_at_s:
                    sweep_at_s = self._clock.monotonic_s() + self._lease_s / 2
                    self._jobs.reap()
                job = self.work_once()
            if job is None:
                stop.wait(self._poll_s)
            else:
                count += 1
        return count

    def work_once(self) -> JobId | None:
        """Claim a job, do it, report on it, and return its id; None when none waits.

        A job lost or cancelled meanwhile is left as it is. Raises Unreachable or TimedOut when
        the database cannot be asked; a job claimed by then is taken up again when its lease ends.
        """
        lease = self._jobs.claim(
            self._owner, kinds=list(self._handlers), queues=self._queues, lease_s=self._lease_s
        )
        if lease is None:
            return None
        # Who no longer holds the job is refused, and has nothing left to say about it.
        with _beating(lease, every_s=self._lease_s / 3), suppress(Conflict):
            self._do(lease)
        return lease.job.id

    def _do(self, lease: Lease) -> None:
        try:
            lease.finish(self._handlers[lease.job.kind](lease))
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            lease.fail(describe(error), retry=not isinstance(error, FINAL))


def describe(error: Exception) -> JobError:
    """Return what a job keeps of an error; of one that is not ours, its trace too."""
    if isinstance(error, MillwrightError):
        return JobError(code=error.code, what=error.what, why=error.why, fix=error.fix)
    trace = "".join(traceback.format_exception(error))
    return JobError(
        code=MillwrightError.code,
        what=f"{type(error).__name__}: {error}",
        why=trace[-_TRACE_CHARS:],
    )


@contextmanager
def _beating(lease: Lease, *, every_s: float) -> Generator[None]:
    """Extend the lease from another thread for as long as the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every_s):
            # A database away for a moment is asked again; away for long, the lease is lost.
            with suppress(MillwrightError):
                if lease.heartbeat() is not Standing.HELD:
                    return

    thread = threading.Thread(target=beat, name=f"heartbeat {lease.job.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
