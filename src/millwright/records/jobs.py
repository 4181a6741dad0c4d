"""Durable work, as records: a job and what came of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from millwright.core.ids import ActorId, EventId, JobId, ProjectId, RequestId


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobError(Struct, frozen=True, kw_only=True):
    """Why an attempt ended badly; a queued job keeps that of its last attempt."""

    code: str
    """The code of the error, as in `core.errors`; `error` for one that is not ours."""
    what: str
    why: str = ""
    fix: str = ""


class Job(Struct, frozen=True, kw_only=True):
    """A piece of work that outlives the process doing it."""

    id: JobId
    project: ProjectId
    queue: str
    kind: str
    """What is to be done; names the handler."""
    key: str | None = None
    """The idempotency key: in a project, the same key is the same job."""
    args: dict[str, object]
    """JSON; the handler parses it into what it needs."""
    state: JobState
    priority: int
    """The lower runs the sooner, as with `nice`."""
    run_at_us: int
    """Not claimed before."""
    attempt: int
    """How often it was claimed."""
    max_attempts: int
    owner: str | None = None
    """Who has claimed it, while it runs."""
    lease_until_us: int | None = None
    actor: ActorId
    """For whom it is done."""
    cause: EventId | None = None
    request: RequestId | None = None
    reason: str = ""
    """Why it was asked for; what is done in its name is journaled with it."""
    result: object = None
    """JSON; what the handler returned."""
    error: JobError | None = None
    created_us: int
    finished_us: int | None = None
