"""The SQL of runs, and of what they read and made."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.records.runs import (
    LoggedDataset,
    MetricPoint,
    ModelUse,
    Problem,
    Run,
    RunLink,
    RunSource,
)


class RunRow(Struct, frozen=True, kw_only=True):
    """A run as its table holds it, with the names that its keys stand for."""

    pk: int
    id: str
    experiment_pk: int
    experiment: str
    parent: str | None
    pipeline: str | None
    kind: str
    name: str
    status: str
    actor: str
    start_us: int
    end_us: int | None
    source_json: str
    error_json: str | None
    log_digest: str | None
    telemetry_digest: str | None
    experiment_number: int
    deleted_us: int | None
    user_name: str
    scheduled: int

    def source(self) -> RunSource:
        """Return what the run was made from."""
        return msgspec.json.decode(self.source_json, type=RunSource)


_RUN_COLUMNS = """
    run.pk, run.id, run.experiment_pk, experiment.name AS experiment, parent.id AS parent,
    pipeline.name AS pipeline, run.kind, run.name, run.status, run.actor, run.start_us, run.end_us,
    run.source_json, run.error_json, run.log_digest, run.telemetry_digest,
    experiment.number AS experiment_number, run.deleted_us, run.user_name, run.scheduled
    FROM run
    JOIN experiment ON experiment.pk = run.experiment_pk
    LEFT JOIN run parent ON parent.pk = run.parent_pk
    LEFT JOIN pipeline ON pipeline.pk = run.pipeline_pk
"""


def ensure_pipeline(tx: Writer, *, project: int, name: str, new_id: str, now_us: int) -> int:
    """Return the pipeline's key, having made its row when there was none."""
    tx.run(
        """
        INSERT INTO pipeline (id, project_id, name, created_us)
        VALUES (:id, :project, :name, :now) ON CONFLICT (project_id, name) DO NOTHING
        """,
        id=new_id,
        project=project,
        name=name,
        now=now_us,
    )
    key = tx.value(
        int,
        "SELECT pk FROM pipeline WHERE project_id = :project AND name = :name",
        project=project,
        name=name,
    )
    assert key is not None
    return key


def insert_run(
    tx: Writer,
    *,
    run_id: str,
    project: int,
    experiment_pk: int,
    parent_pk: int | None,
    pipeline_pk: int | None,
    kind: str,
    name: str,
    actor: str,
    start_us: int,
    source: RunSource,
    user: str = "",
    is_scheduled: bool = False,
) -> int:
    """Insert a run that has just begun, or is yet to, and return its key."""
    return tx.insert(
        """
        INSERT INTO run (id, project_id, experiment_pk, parent_pk, pipeline_pk, kind, name, status,
            actor, start_us, source_json, user_name, scheduled)
        VALUES (:id, :project, :experiment, :parent, :pipeline, :kind, :name, 'running',
            :actor, :start_us, :source, :user, :scheduled) RETURNING pk
        """,
        id=run_id,
        project=project,
        experiment=experiment_pk,
        parent=parent_pk,
        pipeline=pipeline_pk,
        kind=kind,
        name=name,
        actor=actor,
        start_us=start_us,
        source=msgspec.json.encode(source).decode(),
        user=user,
        scheduled=int(is_scheduled),
    )


def lock_run(tx: Writer, pk: int) -> None:
    """Have other writers to this run wait until the transaction ends."""
    tx.run("UPDATE run SET name = name WHERE pk = :pk", pk=pk)


def end_run(
    tx: Writer,
    *,
    pk: int,
    status: str,
    end_us: int,
    error: Problem | None,
    log_digest: str | None,
    telemetry_digest: str,
) -> bool:
    """Close a running run; return False when it was closed before."""
    changed = tx.run(
        """
        UPDATE run SET status = :status, end_us = :end_us, error_json = :error,
            log_digest = coalesce(:log, log_digest), telemetry_digest = :telemetry, scheduled = 0
        WHERE pk = :pk AND status = 'running'
        """,
        pk=pk,
        status=status,
        end_us=end_us,
        error=None if error is None else msgspec.json.encode(error).decode(),
        log=log_digest,
        telemetry=telemetry_digest,
    )
    return changed == 1


def reopen_run(tx: Writer, *, pk: int) -> bool:
    """Have a run that had ended run again; False when it runs already."""
    changed = tx.run(
        """
        UPDATE run SET status = 'running', end_us = NULL, error_json = NULL,
            telemetry_digest = NULL, scheduled = 0
        WHERE pk = :pk AND status <> 'running'
        """,
        pk=pk,
    )
    return changed == 1


def set_scheduled(tx: Writer, *, pk: int, is_scheduled: bool) -> None:
    """Say whether a run waits to be started elsewhere."""
    tx.run("UPDATE run SET scheduled = :flag WHERE pk = :pk", pk=pk, flag=int(is_scheduled))


def rename_run(tx: Writer, *, pk: int, name: str) -> None:
    """Give a run another name."""
    tx.run("UPDATE run SET name = :name WHERE pk = :pk", pk=pk, name=name)


def set_deleted(tx: Writer, *, pk: int, deleted_us: int | None) -> None:
    """Mark a run as deleted, or (None) take the mark away."""
    tx.run("UPDATE run SET deleted_us = :deleted WHERE pk = :pk", pk=pk, deleted=deleted_us)


class RunHandle(Struct, frozen=True, kw_only=True):
    """What whoever logs to a run must know of it, and no more."""

    pk: int
    experiment_pk: int
    status: str
    deleted_us: int | None


def find_handle(tx: Reader, *, project: int, run_id: str) -> RunHandle | None:
    """Return the run of that whole id."""
    return tx.first(
        RunHandle,
        "SELECT pk, experiment_pk, status, deleted_us FROM run "
        "WHERE id = :id AND project_id = :project",
        id=run_id,
        project=project,
    )


def list_by_key(tx: Reader, *, pks: list[int]) -> list[RunRow]:
    """Return the runs of these keys, in their order; one that is gone is left out."""
    fragment, params = in_list("pk", pks)
    found = {
        row.pk: row
        for row in tx.rows(RunRow, f"SELECT {_RUN_COLUMNS} WHERE run.pk IN {fragment}", **params)
    }
    return [found[pk] for pk in pks if pk in found]


def find_runs_by_id(tx: Reader, *, project: int, low: str, high: str) -> list[RunRow]:
    """Return at most two runs with an id in [low, high]: enough to see that it is unique."""
    return tx.rows(
        RunRow,
        f"SELECT {_RUN_COLUMNS} WHERE run.project_id = :project AND run.id >= :low "
        "AND run.id <= :high ORDER BY run.id LIMIT 2",
        project=project,
        low=low,
        high=high,
    )


def list_running(tx: Reader, *, project: int) -> list[RunRow]:
    """Return the runs that have not ended."""
    return tx.rows(
        RunRow,
        f"SELECT {_RUN_COLUMNS} WHERE run.project_id = :project AND run.status = 'running'",
        project=project,
    )


def list_runs(
    tx: Reader,
    *,
    project: int,
    experiment_pk: int | None,
    pipeline: str | None,
    kind: str | None,
    parent: str | None,
    before_pk: int | None,
    limit: int,
) -> list[RunRow]:
    """Return runs, newest first, older than `before_pk` where it is given."""
    conditions = ["run.project_id = :project", "run.deleted_us IS NULL"]
    params: dict[str, str | int] = {"project": project, "limit": limit}
    for column, value in {
        "run.experiment_pk": experiment_pk,
        "pipeline.name": pipeline,
        "run.kind": kind,
        "parent.id": parent,
    }.items():
        if value is not None:
            name = column.replace(".", "_")
            conditions.append(f"{column} = :{name}")
            params[name] = value
    if before_pk is not None:
        conditions.append("run.pk < :before")
        params["before"] = before_pk
    where = " AND ".join(conditions)
    return tx.rows(
        RunRow,
        f"SELECT {_RUN_COLUMNS} WHERE {where} ORDER BY run.pk DESC LIMIT :limit",
        **params,
    )


def upsert_links(tx: Writer, *, run_pk: int, links: Iterable[RunLink]) -> None:
    """Set what a run read and made, by way and name."""
    tx.run_many(
        """
        INSERT INTO run_link (run_pk, way, name, what, id, digest)
        VALUES (:run, :way, :name, :what, :id, :digest)
        ON CONFLICT (run_pk, way, name) DO UPDATE
            SET what = excluded.what, id = excluded.id, digest = excluded.digest
        """,
        [
            {
                "run": run_pk,
                "way": link.way,
                "name": link.name,
                "what": link.what,
                "id": link.id,
                "digest": link.digest,
            }
            for link in links
        ],
    )


def read_links(tx: Reader, *, run_pks: list[int]) -> dict[int, list[RunLink]]:
    """Return what each run read and made, inputs first."""
    fragment, params = in_list("run", run_pks)
    found: dict[int, list[RunLink]] = {}
    for run_pk, way, name, what, identity, digest in tx.rows(
        tuple[int, str, str, str, str, str],
        "SELECT run_pk, way, name, what, id, digest FROM run_link "
        f"WHERE run_pk IN {fragment} ORDER BY run_pk, way, name",
        **params,
    ):
        link = msgspec.convert(
            {"way": way, "name": name, "what": what, "id": identity, "digest": digest}, RunLink
        )
        found.setdefault(run_pk, []).append(link)
    return found


def to_run(
    row: RunRow,
    *,
    params: dict[str, str],
    tags: dict[str, str],
    points: list[MetricPoint],
    links: list[RunLink],
    datasets: list[LoggedDataset],
    models: list[ModelUse],
    with_points: bool,
) -> Run:
    """Return the record of a run from its row and what was logged to it."""
    fields = {name: getattr(row, name) for name in _COPIED}
    error = None if row.error_json is None else msgspec.json.decode(row.error_json, type=Problem)
    return Run(
        **fields,
        source=row.source(),
        error=error,
        params=params,
        tags=tags,
        metrics={point.key: point.value for point in points},
        links=links,
        user=row.user_name,
        scheduled=bool(row.scheduled),
        points=points if with_points else [],
        datasets=datasets,
        models=models,
    )


_COPIED = tuple(
    name
    for name in Run.__struct_fields__
    if name in RunRow.__struct_fields__ and name != "scheduled"
)
