"""The SQL of logged models: what runs made, before and beside the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from millwright.core.ids import ActorId, LoggedModelId, RunId
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.metadata.tables.telemetry import spelled
from millwright.records.runs import LoggedModel, LoggedModelMetric, LoggedModelStatus


class ModelRow(Struct, frozen=True, kw_only=True):
    """A logged model as its table holds it."""

    pk: int
    id: LoggedModelId
    experiment_pk: int
    experiment: int
    run: RunId | None
    name: str
    type: str
    status: LoggedModelStatus
    actor: ActorId
    created_us: int
    changed_us: int
    deleted_us: int | None


class MetricRow(Struct, frozen=True, kw_only=True):
    """A value measured of a model, ready to be stored."""

    model_pk: int
    key: str
    run_pk: int
    time_us: int
    step: int
    value: float
    nan: int
    dataset_name: str
    dataset_digest: str


ROW = """
    SELECT m.pk, m.id, m.experiment_pk, e.number AS experiment, r.id AS run, m.name, m.type,
        m.status, m.actor, m.created_us, m.changed_us, m.deleted_us
    FROM logged_model m JOIN experiment e ON e.pk = m.experiment_pk
    LEFT JOIN run r ON r.pk = m.run_pk
"""


def insert_model(
    tx: Writer,
    *,
    model_id: str,
    project: int,
    experiment_pk: int,
    run_pk: int | None,
    name: str,
    type_: str,
    actor: str,
    created_us: int,
    now_us: int,
) -> int:
    """Add a model that is yet to be filled; return its key."""
    return tx.insert(
        """
        INSERT INTO logged_model (id, project_id, experiment_pk, run_pk, name, type, status,
            actor, created_us, changed_us)
        VALUES (:id, :project, :experiment, :run, :name, :type, 'pending', :actor, :created, :now)
        RETURNING pk
        """,
        id=model_id,
        project=project,
        experiment=experiment_pk,
        run=run_pk,
        name=name,
        type=type_,
        actor=actor,
        created=created_us,
        now=now_us,
    )


def find_model(tx: Reader, *, project: int, model_id: str) -> ModelRow | None:
    """Return the model of that id, deleted or not."""
    return tx.first(
        ModelRow, ROW + "WHERE m.id = :id AND m.project_id = :p", id=model_id, p=project
    )


def list_by_key(tx: Reader, *, pks: Sequence[int]) -> list[ModelRow]:
    """Return the models of these keys, in their order."""
    fragment, params = in_list("pk", list(pks))
    found = {row.pk: row for row in tx.rows(ModelRow, f"{ROW} WHERE m.pk IN {fragment}", **params)}
    return [found[pk] for pk in pks if pk in found]


def set_status(tx: Writer, *, pk: int, status: str, now_us: int) -> None:
    """Say whether a model is ready."""
    tx.run(
        "UPDATE logged_model SET status = :status, changed_us = :now WHERE pk = :pk",
        pk=pk,
        status=status,
        now=now_us,
    )


def set_deleted(tx: Writer, *, pk: int, deleted_us: int | None, now_us: int) -> None:
    """Mark a model as deleted, or (None) take the mark away."""
    tx.run(
        "UPDATE logged_model SET deleted_us = :deleted, changed_us = :now WHERE pk = :pk",
        pk=pk,
        deleted=deleted_us,
        now=now_us,
    )


def upsert_texts(tx: Writer, table: str, *, pk: int, texts: Mapping[str, str]) -> None:
    """Set parameters or tags; `table` is `logged_model_param` or `logged_model_tag`."""
    tx.run_many(
        f"INSERT INTO {table} (model_pk, key, value) VALUES (:pk, :key, :value) "
        "ON CONFLICT (model_pk, key) DO UPDATE SET value = excluded.value",
        [{"pk": pk, "key": key, "value": value} for key, value in texts.items()],
    )


def delete_tag(tx: Writer, *, pk: int, key: str) -> bool:
    """Remove a tag; False when there was none."""
    removed = tx.run(
        "DELETE FROM logged_model_tag WHERE model_pk = :pk AND key = :key", pk=pk, key=key
    )
    return removed == 1


def upsert_metrics(tx: Writer, rows: Sequence[MetricRow]) -> None:
    """Record values measured of models; the same measurement again replaces it."""
    tx.run_many(
        """
        INSERT INTO logged_model_metric (model_pk, key, run_pk, time_us, step, value, nan,
            dataset_name, dataset_digest)
        VALUES (:model, :key, :run, :time, :step, :value, :nan, :name, :digest)
        ON CONFLICT (model_pk, key, run_pk, time_us, step, dataset_name, dataset_digest)
            DO UPDATE SET value = excluded.value, nan = excluded.nan
        """,
        [
            {
                "model": row.model_pk,
                "key": row.key,
                "run": row.run_pk,
                "time": row.time_us,
                "step": row.step,
                "value": row.value,
                "nan": row.nan,
                "name": row.dataset_name,
                "digest": row.dataset_digest,
            }
            for row in rows
        ],
    )


def to_models(tx: Reader, rows: Sequence[ModelRow]) -> list[LoggedModel]:
    """Return the records of models, with what was logged to them."""
    pks = [row.pk for row in rows]
    params, tags = (
        _texts(tx, "logged_model_param", pks),
        _texts(tx, "logged_model_tag", pks),
    )
    metrics = _metrics(tx, pks)
    return [
        LoggedModel(
            id=row.id,
            experiment=row.experiment,
            run=row.run,
            name=row.name,
            type=row.type,
            status=row.status,
            actor=row.actor,
            created_us=row.created_us,
            changed_us=row.changed_us,
            deleted_us=row.deleted_us,
            params=params.get(row.pk, {}),
            tags=tags.get(row.pk, {}),
            metrics=metrics.get(row.pk, []),
        )
        for row in rows
    ]


def _texts(tx: Reader, table: str, pks: list[int]) -> dict[int, dict[str, str]]:
    fragment, params = in_list("pk", pks)
    found: dict[int, dict[str, str]] = {}
    for pk, key, value in tx.rows(
        tuple[int, str, str],
        f"SELECT model_pk, key, value FROM {table} WHERE model_pk IN {fragment} ORDER BY key",
        **params,
    ):
        found.setdefault(pk, {})[key] = value
    return found


def _metrics(tx: Reader, pks: list[int]) -> dict[int, list[LoggedModelMetric]]:
    fragment, params = in_list("pk", pks)
    found: dict[int, list[LoggedModelMetric]] = {}
    for pk, key, run, time_us, step, value, nan, name, digest in tx.rows(
        tuple[int, str, RunId, int, int, float, int, str, str],
        "SELECT m.model_pk, m.key, r.id, m.time_us, m.step, m.value, m.nan, m.dataset_name, "
        "m.dataset_digest FROM logged_model_metric m JOIN run r ON r.pk = m.run_pk "
        f"WHERE m.model_pk IN {fragment} ORDER BY m.key, m.time_us, m.step",
        **params,
    ):
        found.setdefault(pk, []).append(
            LoggedModelMetric(
                key=key,
                value=spelled(value, nan),
                step=step,
                time_us=time_us,
                run=run,
                dataset_name=name,
                dataset_digest=digest,
            )
        )
    return found
