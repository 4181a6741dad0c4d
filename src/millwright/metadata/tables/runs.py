"""The SQL of experiments, runs and what is logged to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from millwright.metadata.database import Reader, Writer
from millwright.metadata.dialects import in_list
from millwright.records.runs import Experiment, MetricPoint, Problem, Run, RunLink, RunSource


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

    def source(self) -> RunSource:
        """Return what the run was made from."""
        return msgspec.json.decode(self.source_json, type=RunSource)


class StoredPoint(Struct, frozen=True, kw_only=True):
    """One point of a metric's history."""

    key: str
    n: int
    step: int
    time_us: int
    value: float | None


_RUN_COLUMNS = """
    run.pk, run.id, run.experiment_pk, experiment.name AS experiment, parent.id AS parent,
    pipeline.name AS pipeline, run.kind, run.name, run.status, run.actor, run.start_us, run.end_us,
    run.source_json, run.error_json, run.log_digest, run.telemetry_digest
    FROM run
    JOIN experiment ON experiment.pk = run.experiment_pk
    LEFT JOIN run parent ON parent.pk = run.parent_pk
    LEFT JOIN pipeline ON pipeline.pk = run.pipeline_pk
"""


def ensure_experiment(
    tx: Writer, *, project: int, name: str, new_id: str, now_us: int
) -> tuple[int, bool]:
    """Return the experiment's key and whether it was made just now."""
    found = find_experiment(tx, project=project, name=name)
    if found is not None:
        return found, False
    # Two writers may count at once on PostgreSQL; the unique number refuses the second, whose
    # statement then changes nothing and is tried again by its caller.
    tx.run(
        """
        INSERT INTO experiment (id, project_id, number, name, created_us)
        SELECT CAST(:id AS TEXT), CAST(:project AS BIGINT), coalesce(max(number) + 1, 0),
            CAST(:name AS TEXT), CAST(:now AS BIGINT)
        FROM experiment WHERE project_id = :project
        ON CONFLICT DO NOTHING
        """,
        id=new_id,
        project=project,
        name=name,
        now=now_us,
    )
    made = find_experiment(tx, project=project, name=name)
    if made is None:
        return ensure_experiment(tx, project=project, name=name, new_id=new_id, now_us=now_us)
    return made, True


def find_experiment(tx: Reader, *, project: int, name: str) -> int | None:
    """Return the experiment's key, or None."""
    return tx.value(
        int,
        "SELECT pk FROM experiment WHERE project_id = :project AND name = :name",
        project=project,
        name=name,
    )


def list_experiments(tx: Reader, *, project: int) -> list[Experiment]:
    """Return the project's experiments in the order they were made."""
    return tx.rows(
        Experiment,
        "SELECT id, number, name, created_us FROM experiment WHERE project_id = :p ORDER BY number",
        p=project,
    )


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
) -> int:
    """Insert a run that has just begun and return its key."""
    return tx.insert(
        """
        INSERT INTO run (id, project_id, experiment_pk, parent_pk, pipeline_pk, kind, name, status,
            actor, start_us, source_json)
        VALUES (:id, :project, :experiment, :parent, :pipeline, :kind, :name, 'running',
            :actor, :start_us, :source) RETURNING pk
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
            log_digest = :log, telemetry_digest = :telemetry
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
    conditions = ["run.project_id = :project"]
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


def ensure_keys(tx: Writer, names: Iterable[str]) -> dict[str, int]:
    """Return the key of each name, making those that are new."""
    wanted = sorted(set(names))
    tx.run_many(
        "INSERT INTO telemetry_key (name) VALUES (:name) ON CONFLICT (name) DO NOTHING",
        [{"name": name} for name in wanted],
    )
    fragment, params = in_list("name", wanted)
    found = tx.rows(
        tuple[str, int], f"SELECT name, pk FROM telemetry_key WHERE name IN {fragment}", **params
    )
    return dict(found)


def insert_params(tx: Writer, *, run_pk: int, params: Mapping[str, str]) -> list[str]:
    """Insert parameters; return the names that already had another value, which are kept."""
    keys = ensure_keys(tx, params)
    tx.run_many(
        "INSERT INTO run_param (run_pk, key_pk, value) VALUES (:run, :key, :value) "
        "ON CONFLICT (run_pk, key_pk) DO NOTHING",
        [{"run": run_pk, "key": keys[name], "value": value} for name, value in params.items()],
    )
    stored = read_params(tx, run_pks=[run_pk]).get(run_pk, {})
    return sorted(name for name, value in params.items() if stored[name] != value)


def upsert_tags(tx: Writer, *, run_pk: int, tags: Mapping[str, str]) -> None:
    """Set tags, replacing earlier values."""
    keys = ensure_keys(tx, tags)
    tx.run_many(
        "INSERT INTO run_tag (run_pk, key_pk, value) VALUES (:run, :key, :value) "
        "ON CONFLICT (run_pk, key_pk) DO UPDATE SET value = excluded.value",
        [{"run": run_pk, "key": keys[name], "value": value} for name, value in tags.items()],
    )


def append_metrics(
    tx: Writer, *, run_pk: int, experiment_pk: int, points: Iterable[MetricPoint]
) -> None:
    """Append points to their metrics' histories and bring the newest value of each up to date."""
    points = list(points)
    keys = ensure_keys(tx, (point.key for point in points))
    counts = dict(
        tx.rows(
            tuple[int, int],
            "SELECT key_pk, points FROM run_metric_latest WHERE run_pk = :run",
            run=run_pk,
        )
    )
    rows: list[dict[str, str | int | float | bytes | None]] = []
    for point in points:
        key = keys[point.key]
        rows.append(
            {
                "run": run_pk,
                "key": key,
                "n": counts.get(key, 0),
                "step": point.step,
                "time": point.time_us,
                "value": point.value,
            }
        )
        counts[key] = counts.get(key, 0) + 1
    tx.run_many(
        "INSERT INTO run_metric (run_pk, key_pk, n, step, time_us, value) "
        "VALUES (:run, :key, :n, :step, :time, :value)",
        rows,
    )
    tx.run_many(
        """
        INSERT INTO run_metric_latest (run_pk, key_pk, experiment_pk, points, step, time_us, value)
        VALUES (:run, :key, :experiment, :n + 1, :step, :time, :value)
        ON CONFLICT (run_pk, key_pk) DO UPDATE SET points = excluded.points,
            step = CASE WHEN excluded.step >= run_metric_latest.step
                THEN excluded.step ELSE run_metric_latest.step END,
            time_us = CASE WHEN excluded.step >= run_metric_latest.step
                THEN excluded.time_us ELSE run_metric_latest.time_us END,
            value = CASE WHEN excluded.step >= run_metric_latest.step
                THEN excluded.value ELSE run_metric_latest.value END
        """,
        [row | {"experiment": experiment_pk} for row in rows],
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


def read_params(tx: Reader, *, run_pks: list[int]) -> dict[int, dict[str, str]]:
    """Return the parameters of each run."""
    return _by_run(tx, "run_param", run_pks)


def read_tags(tx: Reader, *, run_pks: list[int]) -> dict[int, dict[str, str]]:
    """Return the tags of each run."""
    return _by_run(tx, "run_tag", run_pks)


def read_metrics(tx: Reader, *, run_pks: list[int]) -> dict[int, dict[str, float | None]]:
    """Return the newest value of each metric of each run."""
    fragment, params = in_list("run", run_pks)
    found: dict[int, dict[str, float | None]] = {}
    for run_pk, name, value in tx.rows(
        tuple[int, str, float | None],
        "SELECT m.run_pk, k.name, m.value FROM run_metric_latest m "
        f"JOIN telemetry_key k ON k.pk = m.key_pk WHERE m.run_pk IN {fragment} ORDER BY k.name",
        **params,
    ):
        found.setdefault(run_pk, {})[name] = value
    return found


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


def read_history(tx: Reader, *, run_pk: int, key: str | None = None) -> list[StoredPoint]:
    """Return the points of one metric, or of all, in the order they were logged."""
    return tx.rows(
        StoredPoint,
        "SELECT k.name AS key, m.n, m.step, m.time_us, m.value FROM run_metric m "
        "JOIN telemetry_key k ON k.pk = m.key_pk WHERE m.run_pk = :run "
        + ("" if key is None else "AND k.name = :key ")
        + "ORDER BY k.name, m.n",
        run=run_pk,
        **({} if key is None else {"key": key}),
    )


def _by_run(tx: Reader, table: str, run_pks: list[int]) -> dict[int, dict[str, str]]:
    fragment, params = in_list("run", run_pks)
    found: dict[int, dict[str, str]] = {}
    for run_pk, name, value in tx.rows(
        tuple[int, str, str],
        f"SELECT t.run_pk, k.name, t.value FROM {table} t JOIN telemetry_key k ON k.pk = t.key_pk "
        f"WHERE t.run_pk IN {fragment} ORDER BY k.name",
        **params,
    ):
        found.setdefault(run_pk, {})[name] = value
    return found


def to_run(
    row: RunRow,
    *,
    params: dict[str, str],
    tags: dict[str, str],
    metrics: dict[str, float | None],
    links: list[RunLink],
) -> Run:
    """Return the record of a run from its row and what was logged to it."""
    fields = {name: getattr(row, name) for name in row.__struct_fields__ if name in _COPIED}
    error = None if row.error_json is None else msgspec.json.decode(row.error_json, type=Problem)
    return msgspec.convert(
        fields
        | {
            "source": row.source(),
            "error": error,
            "params": params,
            "tags": tags,
            "metrics": metrics,
            "links": links,
        },
        Run,
        from_attributes=True,
    )


_COPIED = frozenset(Run.__struct_fields__)
