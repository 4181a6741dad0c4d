"""SQL for jobs and their memoised steps.

Whoever reports on a job names the fence under which it was claimed. Each such statement
touches the job only while it runs under that fence, and says whether it did.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millwright.core.ids import ActorId, EventId, JobId, ProjectId, RequestId
from millwright.metadata.connection import Value
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.records.jobs import Job, JobError, JobState

_JOB = """
    SELECT j.pk, j.fence, j.project_id, j.id, p.id AS project, j.queue, j.kind, j.key, j.args_json,
           j.state, j.priority, j.run_at_us, j.attempt, j.max_attempts, j.owner, j.lease_until_us,
           j.actor, j.cause, j.request, j.reason, j.result_json, j.error_json, j.created_us,
           j.finished_us
    FROM job j JOIN project p ON p.pk = j.project_id
"""
_HELD = "pk = :pk AND fence = :fence AND state = 'running'"
_EXPIRED = "SELECT pk FROM job WHERE state = 'running' AND lease_until_us < :now"


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the table holds it."""

    pk: int
    fence: int
    project_id: int
    id: JobId
    project: ProjectId
    queue: str
    kind: str
    key: str | None
    args_json: str
    state: JobState
    priority: int
    run_at_us: int
    attempt: int
    max_attempts: int
    owner: str | None
    lease_until_us: int | None
    actor: ActorId
    cause: EventId | None
    request: RequestId | None
    reason: str
    result_json: str | None
    error_json: str | None
    created_us: int
    finished_us: int | None

    def job(self) -> Job:
        """Return the record."""
        decode = msgspec.json.decode
        return Job(
            id=self.id,
            project=self.project,
            queue=self.queue,
            kind=self.kind,
            key=self.key,
            args=decode(self.args_json, type=dict[str, object]),
            state=self.state,
            priority=self.priority,
            run_at_us=self.run_at_us,
            attempt=self.attempt,
            max_attempts=self.max_attempts,
            owner=self.owner,
            lease_until_us=self.lease_until_us,
            actor=self.actor,
            cause=self.cause,
            request=self.request,
            reason=self.reason,
            result=None if self.result_json is None else decode(self.result_json, type=object),
            error=None if self.error_json is None else decode(self.error_json, type=JobError),
            created_us=self.created_us,
            finished_us=self.finished_us,
        )


def insert_job(tx: Writer, job: Job, *, project_key: int, args_json: str) -> bool:
    """Add a queued job; False when its key is taken, also by a transaction that ends meanwhile."""
    added = tx.run(
        """
        INSERT INTO job (id, project_id, queue, kind, key, args_json, state, priority, run_at_us,
                         attempt, max_attempts, fence, actor, cause, request, reason,
                         created_us)
        VALUES (:id, :project, :queue, :kind, :key, :args, 'queued', :priority, :run_at_us,
                0, :max_attempts, 0, :actor, :cause, :request, :reason, :created_us)
        ON CONFLICT (project_id, key) WHERE key IS NOT NULL DO NOTHING
        """,
        id=job.id,
        project=project_key,
        queue=job.queue,
        kind=job.kind,
        key=job.key,
        args=args_json,
        priority=job.priority,
        run_at_us=job.run_at_us,
        max_attempts=job.max_attempts,
        actor=job.actor,
        cause=job.cause,
        request=job.request,
        reason=job.reason,
        created_us=job.created_us,
    )
    return added == 1


def find_job(tx: Reader, job: JobId) -> JobRow | None:
    """Return the job with that id."""
    return tx.first(JobRow, _JOB + "WHERE j.id = :id", id=job)


def find_job_by_key(tx: Reader, project_key: int, key: str) -> JobRow | None:
    """Return a project's job with that idempotency key."""
    sql = _JOB + "WHERE j.project_id = :project AND j.key = :key"
    return tx.first(JobRow, sql, project=project_key, key=key)


def list_jobs(
    tx: Reader,
    *,
    project_key: int | None,
    state: JobState | None,
    kind: str | None,
    limit: int,
) -> list[JobRow]:
    """Return the newest jobs that fit, newest first."""
    wanted: dict[str, Value] = {
        "project_id": project_key,
        "state": None if state is None else state.value,
        "kind": kind,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"j.{name} = :{name}" for name in given)
    sql = f"{_JOB} {'WHERE ' + where if where else ''} ORDER BY j.pk DESC LIMIT :limit"
    return tx.rows(JobRow, sql, limit=limit, **given)


def claim_job(
    tx: Writer,
    *,
    owner: str,
    queues: Sequence[str],
    kinds: Sequence[str],
    now_us: int,
    lease_until_us: int,
) -> JobRow | None:
    """Give the first waiting job to `owner` under a new fence, or return None."""
    in_queues, queue_params = in_list("queue", queues)
    in_kinds, kind_params = in_list("kind", kinds)
    # `= (SELECT … LIMIT 1)` is evaluated once; as `IN (…)` PostgreSQL may do so for every row.
    pk = tx.value(
        int,
        f"""
        UPDATE job SET state = 'running', owner = :owner, fence = fence + 1, attempt = attempt + 1,
                       lease_until_us = :until
        WHERE pk = (
            SELECT pk FROM job
            WHERE state = 'queued' AND queue IN {in_queues} AND kind IN {in_kinds}
                AND run_at_us <= :now
            ORDER BY priority, run_at_us, pk LIMIT 1 {_skip_locked(tx)}
        )
        RETURNING pk
        """,
        owner=owner,
        now=now_us,
        until=lease_until_us,
        **queue_params,
        **kind_params,
    )
    return None if pk is None else tx.first(JobRow, _JOB + "WHERE j.pk = :pk", pk=pk)


def extend_lease(tx: Writer, pk: int, fence: int, *, lease_until_us: int) -> bool:
    """Extend a lease and, until the transaction ends, keep the job from changing hands."""
    sql = f"UPDATE job SET lease_until_us = :until WHERE {_HELD}"
    return tx.run(sql, pk=pk, fence=fence, until=lease_until_us) == 1


def finish_job(tx: Writer, pk: int, fence: int, *, result_json: str, now_us: int) -> bool:
    """End a job well."""
    sql = f"""
        UPDATE job SET state = 'finished', result_json = :result, error_json = NULL, owner = NULL,
                       lease_until_us = NULL, finished_us = :now
        WHERE {_HELD}
    """
    return tx.run(sql, pk=pk, fence=fence, result=result_json, now=now_us) == 1


def fail_job(tx: Writer, pk: int, fence: int, *, error: JobError, now_us: int) -> bool:
    """End a job badly."""
    sql = f"""
        UPDATE job SET state = 'failed', error_json = :error, owner = NULL, lease_until_us = NULL,
                       finished_us = :now
        WHERE {_HELD}
    """
    return tx.run(sql, pk=pk, fence=fence, error=_json(error), now=now_us) == 1


def requeue_job(tx: Writer, pk: int, fence: int, *, error: JobError, run_at_us: int) -> bool:
    """Let a job be claimed again at `run_at_us`."""
    sql = f"""
        UPDATE job SET state = 'queued', error_json = :error, owner = NULL, lease_until_us = NULL,
                       run_at_us = :run_at
        WHERE {_HELD}
    """
    return tx.run(sql, pk=pk, fence=fence, error=_json(error), run_at=run_at_us) == 1


def cancel_job(tx: Writer, pk: int, *, error: JobError, now_us: int) -> bool:
    """Cancel a job that waits or runs; False when it has ended."""
    sql = """
        UPDATE job SET state = 'cancelled', error_json = :error, owner = NULL,
                       lease_until_us = NULL, finished_us = :now
        WHERE pk = :pk AND state IN ('queued', 'running')
    """
    return tx.run(sql, pk=pk, error=_json(error), now=now_us) == 1


def requeue_expired(tx: Writer, *, error: JobError, now_us: int) -> list[JobId]:
    """Put jobs whose lease has run out, and that may be tried again, back into their queues."""
    sql = f"""
        UPDATE job SET state = 'queued', error_json = :error, owner = NULL, lease_until_us = NULL
        WHERE pk IN ({_EXPIRED} AND attempt < max_attempts {_skip_locked(tx)}) RETURNING id
    """
    return [JobId(job) for job in tx.column(str, sql, error=_json(error), now=now_us)]


def fail_expired(tx: Writer, *, error: JobError, now_us: int) -> list[JobId]:
    """Fail jobs whose lease has run out for the last time they may be tried."""
    sql = f"""
        UPDATE job SET state = 'failed', error_json = :error, owner = NULL, lease_until_us = NULL,
                       finished_us = :now
        WHERE pk IN ({_EXPIRED} AND attempt >= max_attempts {_skip_locked(tx)}) RETURNING id
    """
    return [JobId(job) for job in tx.column(str, sql, error=_json(error), now=now_us)]


def has_expired(tx: Reader, *, now_us: int) -> bool:
    """Tell whether any lease has run out."""
    return tx.value(int, f"{_EXPIRED} LIMIT 1", now=now_us) is not None


def read_hold(tx: Reader, pk: int) -> tuple[int, JobState] | None:
    """Return a job's fence and state."""
    sql = "SELECT fence, state FROM job WHERE pk = :pk"
    return tx.first(tuple[int, JobState], sql, pk=pk)


def find_step(tx: Reader, pk: int, name: str) -> str | None:
    """Return the stored result of a job's step, as JSON, or None when it has not been done."""
    sql = "SELECT result_json FROM job_step WHERE job_pk = :pk AND name = :name"
    return tx.value(str, sql, pk=pk, name=name)


def insert_step(tx: Writer, pk: int, name: str, *, result_json: str, now_us: int) -> None:
    """Store the result of a job's step."""
    tx.run(
        """
        INSERT INTO job_step (job_pk, name, result_json, finished_us)
        VALUES (:pk, :name, :result, :now)
        """,
        pk=pk,
        name=name,
        result=result_json,
        now=now_us,
    )


def _skip_locked(tx: Reader) -> str:
    # SQLite has one writer at a time and needs no row locks.
    return "FOR UPDATE SKIP LOCKED" if tx.dialect.name == "postgresql" else ""


def _json(error: JobError) -> str:
    return msgspec.json.encode(error).decode()
