"""A run as whoever works on it must know it: found by its id, locked, and in a fit state."""

from __future__ import annotations

from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import RunId, bounds
from millwright.core.refs import LATEST
from millwright.metadata.database import Reader, Writer
from millwright.metadata.tables import runs as tables
from millwright.metadata.tables.runs import RunHandle


class NotActive(Conflict):
    """The run is deleted, so nothing can be done to it but to restore it."""

    def __init__(self, run: RunId) -> None:
        super().__init__(f"run {run} is deleted", fix=f"restore it: mill runs restore {run}")
        self.run = run

    def __reduce__(self) -> tuple[object, ...]:
        return NotActive, (self.run,)


def find_run(tx: Reader, project_key: int, ref: str) -> tables.RunRow:
    """Return the row of a run by id, unique beginning of one or `latest`; raises NotFound."""
    if ref == LATEST:
        return _newest(tx, project_key)
    low, high = bounds(ref, "run")
    found = tables.find_runs_by_id(tx, project=project_key, low=low, high=high)
    if len(found) == 1:
        return found[0]
    if found:
        raise Invalid(f"{ref!r} begins more than one run's id", fix="give more characters")
    raise NotFound(f"no run {ref!r} in this project", fix="`mill runs list` shows them")


def find_handle(tx: Reader, project_key: int, run: RunId) -> RunHandle:
    """Return the run of an id, whole or a unique beginning; raises NotFound and Invalid."""
    found = tables.find_handle(tx, project=project_key, run_id=run)
    if found is not None:
        return found
    row = find_run(tx, project_key, run)
    return RunHandle(
        pk=row.pk,
        experiment_pk=row.experiment_pk,
        status=row.status,
        deleted_us=row.deleted_us,
    )


def lock_handle(tx: Writer, project_key: int, run: RunId) -> RunHandle:
    """Return the run as it is once this transaction alone may write to it.

    On PostgreSQL another writer may have closed the run while this one waited; so it is read
    again. SQLite has one writer anyway.
    """
    handle = find_handle(tx, project_key, run)
    if tx.dialect.name == "sqlite":
        return handle
    tables.lock_run(tx, handle.pk)
    return find_handle(tx, project_key, run)


def lock_active(tx: Writer, project_key: int, run: RunId) -> RunHandle:
    """Return the locked run; raises NotActive when it is deleted."""
    handle = lock_handle(tx, project_key, run)
    if handle.deleted_us is not None:
        raise NotActive(run)
    return handle


def lock_running(tx: Writer, project_key: int, run: RunId) -> RunHandle:
    """Return the locked run; raises NotActive when it is deleted, Conflict when it has ended."""
    handle = lock_active(tx, project_key, run)
    if handle.status != "running":
        raise closed(run, handle.status)
    return handle


def closed(run: RunId, status: str) -> Conflict:
    """Return the error that a run takes no more logs."""
    return Conflict(
        f"run {run} is {status}: nothing can be logged to it any more", fix="start another run"
    )


def _newest(tx: Reader, project_key: int) -> tables.RunRow:
    found = tables.list_runs(
        tx,
        project=project_key,
        experiment_pk=None,
        pipeline=None,
        kind=None,
        parent=None,
        before_pk=None,
        limit=1,
    )
    if not found:
        raise NotFound("there are no runs yet", fix="start one with `mill run`")
    return found[0]
