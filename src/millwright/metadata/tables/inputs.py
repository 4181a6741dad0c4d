"""The SQL of what runs read: data as clients describe it, and logged models, read or made."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from millwright.core.ids import LoggedModelId
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.records.runs import LoggedDataset, ModelUse


class _DatasetRow(Struct, frozen=True, kw_only=True):
    run_pk: int
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    context: str | None
    tags_json: str


def insert_datasets(
    tx: Writer, *, run_pk: int, experiment_pk: int, datasets: Sequence[LoggedDataset]
) -> None:
    """Record data that a run read; the same again changes nothing, neither context nor tags."""
    for one in datasets:
        given = {
            "experiment": experiment_pk,
            "name": one.name,
            "digest": one.digest,
            "source_type": one.source_type,
            "source": one.source,
            "schema": one.schema,
            "profile": one.profile,
        }
        tx.run(
            """
            INSERT INTO logged_dataset
                (experiment_pk, name, digest, source_type, source, schema, profile)
            VALUES (:experiment, :name, :digest, :source_type, :source, :schema, :profile)
            ON CONFLICT (experiment_pk, name, digest) DO NOTHING
            """,
            **given,
        )
        tx.run(
            """
            INSERT INTO run_dataset (run_pk, dataset_pk, context, tags_json)
            SELECT CAST(:run AS BIGINT), pk, CAST(:context AS TEXT), CAST(:tags AS TEXT)
            FROM logged_dataset
            WHERE experiment_pk = :experiment AND name = :name AND digest = :digest
            ON CONFLICT (run_pk, dataset_pk) DO NOTHING
            """,
            run=run_pk,
            context=one.context,
            tags=msgspec.json.encode(one.tags).decode(),
            experiment=experiment_pk,
            name=one.name,
            digest=one.digest,
        )


def read_datasets(tx: Reader, *, run_pks: list[int]) -> dict[int, list[LoggedDataset]]:
    """Return the data that each run read."""
    fragment, params = in_list("run", run_pks)
    found: dict[int, list[LoggedDataset]] = {}
    for row in tx.rows(
        _DatasetRow,
        "SELECT u.run_pk, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, "
        "u.context, u.tags_json FROM run_dataset u JOIN logged_dataset d ON d.pk = u.dataset_pk "
        f"WHERE u.run_pk IN {fragment} ORDER BY u.run_pk, d.pk",
        **params,
    ):
        found.setdefault(row.run_pk, []).append(
            LoggedDataset(
                name=row.name,
                digest=row.digest,
                source_type=row.source_type,
                source=row.source,
                schema=row.schema,
                profile=row.profile,
                context=row.context,
                tags=msgspec.json.decode(row.tags_json, type=dict[str, str]),
            )
        )
    return found


def upsert_uses(tx: Writer, *, run_pk: int, uses: Sequence[tuple[str, int, int]]) -> None:
    """Record logged models as (way, key of the model, step)."""
    tx.run_many(
        "INSERT INTO run_model (run_pk, way, model_pk, step) VALUES (:run, :way, :model, :step) "
        "ON CONFLICT (run_pk, way, model_pk) DO UPDATE SET step = excluded.step",
        [{"run": run_pk, "way": way, "model": model, "step": step} for way, model, step in uses],
    )


def read_uses(tx: Reader, *, run_pks: list[int]) -> dict[int, list[ModelUse]]:
    """Return the logged models that each run read or made."""
    fragment, params = in_list("run", run_pks)
    found: dict[int, list[ModelUse]] = {}
    for run_pk, way, model, step in tx.rows(
        tuple[int, str, str, int],
        "SELECT u.run_pk, u.way, m.id, u.step FROM run_model u "
        f"JOIN logged_model m ON m.pk = u.model_pk WHERE u.run_pk IN {fragment} "
        "ORDER BY u.run_pk, u.way, m.id",
        **params,
    ):
        found.setdefault(run_pk, []).append(
            ModelUse(
                way="input" if way == "input" else "output", model=LoggedModelId(model), step=step
            )
        )
    return found
