"""The door to pipelines, work in progress and the state of the whole."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.ids import JobId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.events import JsonValue
from millwright.records.jobs import Job


class Status(Struct, frozen=True, kw_only=True):
    """The loop at a glance."""

    home: str
    project: str
    version: str
    datasets: int
    runs: int
    models: int
    deployments: int
    open_alerts: int
    waiting_approvals: int
    queued_jobs: int
    running_jobs: int
    events: int
    last_event_us: int | None


class Jobs(Protocol):
    """Durable work, and the state of the whole."""

    @operation("GET", "/status", needs=Permission.PROJECT_READ)
    def status(self) -> Status:
        """Return the state of the project at a glance."""
        ...

    @operation("POST", "/jobs", needs=Permission.JOB_WRITE)
    def submit(
        self, *, kind: str, args: dict[str, JsonValue], key: str | None = None, reason: str = ""
    ) -> Job:
        """Have a worker do something; the same key is the same job."""
        ...

    @operation("GET", "/jobs", needs=Permission.JOB_READ)
    def list_all(self, *, state: str | None = None, limit: int = 100) -> list[Job]:
        """Return jobs, newest first."""
        ...

    @operation("GET", "/jobs/{id}", needs=Permission.JOB_READ)
    def show(self, *, id: JobId) -> Job:
        """Return one job."""
        ...

    @operation("POST", "/jobs/{id}/cancel", needs=Permission.JOB_WRITE)
    def cancel(self, *, id: JobId, reason: str = "") -> Job:
        """End a job that has not finished."""
        ...
