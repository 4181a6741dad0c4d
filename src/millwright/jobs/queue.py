"""The queue of durable work, on the metadata store.

A job is enqueued in the transaction of what asks for it, claimed by one owner at a time, and
survives the death of any process. Our own table rather than a library: of six that were
tried none serves both databases and takes a job up again after kill -9. On PostgreSQL a
claim skips rows that others hold; on SQLite writers come one at a time anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import JobId, new_id
from millwright.jobs.leases import Lease
from millwright.jobs.reaper import Reaped, reap
from millwright.jobs.steps import to_json
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import jobs as table
from millwright.records.events import Act
from millwright.records.jobs import Job, JobError, JobState

DEFAULT_QUEUE = "default"
DEFAULT_LEASE_S = 30.0
DEFAULT_MAX_ATTEMPTS = 5


class Jobs:
    """The jobs of a home."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def enqueue(
        self,
        kind: str,
        args: Mapping[str, object],
        *,
        act: Act,
        tx: Writer | None = None,
        queue: str = DEFAULT_QUEUE,
        key: str | None = None,
        priority: int = 0,
        run_at_us: int | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Job:
        """Add a job to `act`'s project and return it.

        In a project the same `key` is the same job, whoever asks and however often: the one
        there is returned as it stands, and nothing is added. `priority`: the lower the sooner.
        `run_at_us`: not before; None is now. Raises Conflict when the key belongs to a job of
        another kind, and Invalid when `args` are not JSON or `max_attempts` is below 1.
        """
        if max_attempts < 1:
            raise Invalid(f"a job cannot have {max_attempts} attempts", why="it needs 1 or more")
        now_us = self._clock.now_us()
        job = Job(
            id=JobId(new_id("job")),
            project=act.project,
            queue=queue,
            kind=kind,
            key=key,
            args=dict(args),
            state=JobState.QUEUED,
            priority=priority,
            run_at_us=now_us if run_at_us is None else run_at_us,
            attempt=0,
            max_attempts=max_attempts,
            actor=act.actor,
            cause=act.cause,
            request=act.request,
            reason=act.reason,
            created_us=now_us,
        )
        args_json = to_json(job.args, f"the arguments of the {kind} job")
        with self._writing(tx) as writer:
            added = table.insert_job(writer, job, project_key=act.project_key, args_json=args_json)
            if not added and key is not None:
                return _same_job(writer, act.project_key, key, kind)
            return _read_row(writer, job.id, act.project_key).job()

    def get(self, job: JobId, *, project_key: int) -> Job:
        """Return a job of the project; raises NotFound, for another project's job too."""
        with self._database.read() as tx:
            return _read_row(tx, job, project_key).job()

    def list(
        self,
        *,
        project_key: int | None,
        state: JobState | None = None,
        kind: str | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return the newest jobs, newest first: of a project, or with None of all."""
        with self._database.read() as tx:
            rows = table.list_jobs(tx, project_key=project_key, state=state, kind=kind, limit=limit)
        return [row.job() for row in rows]

    def cancel(self, job: JobId, *, act: Act, tx: Writer | None = None) -> Job:
        """Cancel a job of `act`'s project that waits or runs; once cancelled, again is no error.

        A running job's owner learns of it at the next heartbeat or step, and nothing it reports
        after this is kept. Raises NotFound, and Conflict when the job has finished or failed.
        """
        error = JobError(code="cancelled", what=f"cancelled by {act.actor}", why=act.reason)
        with self._writing(tx) as writer:
            row = _read_row(writer, job, act.project_key)
            done = table.cancel_job(writer, row.pk, error=error, now_us=self._clock.now_us())
            now = _read_row(writer, job, act.project_key).job()
        if not done and now.state is not JobState.CANCELLED:
            raise Conflict(f"{job} cannot be cancelled", why=f"it has {now.state} already")
        return now

    def claim(
        self,
        owner: str,
        *,
        kinds: Sequence[str],
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        lease_s: float = DEFAULT_LEASE_S,
    ) -> Lease | None:
        """Give `owner` the first waiting job of these kinds in these queues, or return None.

        First is the lowest priority number, then the earliest due, then the earliest enqueued.
        The lease runs out after `lease_s` unless a heartbeat extends it.
        """
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            row = table.claim_job(
                tx,
                owner=owner,
                queues=queues,
                kinds=kinds,
                now_us=now_us,
                lease_until_us=now_us + round(lease_s * US_PER_S),
            )
        return None if row is None else Lease(self._database, self._clock, row, lease_s=lease_s)

    def reap(self) -> Reaped:
        """Give back the jobs whose lease has run out; see `jobs.reaper`."""
        return reap(self._database, now_us=self._clock.now_us())

    def _writing(self, tx: Writer | None) -> AbstractContextManager[Writer]:
        return self._database.write() if tx is None else nullcontext(tx)


def _same_job(tx: Reader, project_key: int, key: str, kind: str) -> Job:
    row = table.find_job_by_key(tx, project_key, key)
    assert row is not None, "a key that is taken belongs to a job"
    if row.kind != kind:
        raise Conflict(
            f"the key {key!r} belongs to {row.id}, a {row.kind} job",
            why=f"a {kind} job cannot be the same",
            fix="begin the key with the kind",
        )
    return row.job()


def _read_row(tx: Reader, job: JobId, project_key: int) -> table.JobRow:
    row = table.find_job(tx, job)
    if row is None or row.project_id != project_key:
        raise NotFound(f"no job {job} in this project")
    return row
