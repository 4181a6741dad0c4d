"""The SQL of what is said about models and versions, and of putting them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.metadata.tables.models import MODEL, VERSION, ModelRow, VersionRow

DELETED = "~deleted/"
"""What the name of a deleted model begins with; no model can be given such a one."""


def upsert_tags(tx: Writer, *, pk: int, tags: Mapping[str, str], of_version: bool) -> None:
    """Set tags of a model or a version, replacing earlier values."""
    table, column = _table(of_version)
    tx.run_many(
        f"INSERT INTO {table} ({column}, key, value) VALUES (:pk, :key, :value) "
        f"ON CONFLICT ({column}, key) DO UPDATE SET value = excluded.value",
        [{"pk": pk, "key": key, "value": value} for key, value in tags.items()],
    )


def delete_tag(tx: Writer, *, pk: int, key: str, of_version: bool) -> bool:
    """Remove a tag; False when there was none."""
    table, column = _table(of_version)
    return tx.run(f"DELETE FROM {table} WHERE {column} = :pk AND key = :key", pk=pk, key=key) == 1


def read_tags(tx: Reader, *, pks: Sequence[int], of_version: bool) -> dict[int, dict[str, str]]:
    """Return the tags of models or versions, by their keys."""
    table, column = _table(of_version)
    fragment, given = in_list("pk", list(pks))
    found: dict[int, dict[str, str]] = {}
    for pk, key, value in tx.rows(
        tuple[int, str, str],
        f"SELECT {column}, key, value FROM {table} WHERE {column} IN {fragment} ORDER BY key",
        **given,
    ):
        found.setdefault(pk, {})[key] = value
    return found


def read_aliases(tx: Reader, *, version_pks: Sequence[int]) -> dict[int, list[str]]:
    """Return the aliases that point at each version."""
    fragment, given = in_list("pk", list(version_pks))
    found: dict[int, list[str]] = {}
    for pk, alias in tx.rows(
        tuple[int, str],
        f"SELECT version_pk, alias FROM model_alias WHERE version_pk IN {fragment} ORDER BY alias",
        **given,
    ):
        found.setdefault(pk, []).append(alias)
    return found


def list_models(tx: Reader, *, pks: Sequence[int]) -> list[ModelRow]:
    """Return the models of these keys, in their order."""
    fragment, given = in_list("pk", list(pks))
    found = {row.pk: row for row in tx.rows(ModelRow, f"{MODEL} WHERE m.pk IN {fragment}", **given)}
    return [found[pk] for pk in pks if pk in found]


def list_versions(tx: Reader, *, pks: Sequence[int]) -> list[VersionRow]:
    """Return the versions of these keys, in their order."""
    fragment, given = in_list("pk", list(pks))
    found = {
        row.pk: row for row in tx.rows(VersionRow, f"{VERSION} WHERE v.pk IN {fragment}", **given)
    }
    return [found[pk] for pk in pks if pk in found]


def list_latest_by_stage(tx: Reader, *, model_pks: Sequence[int]) -> list[VersionRow]:
    """Return of each model and each stage the newest version that is not deleted."""
    fragment, given = in_list("pk", list(model_pks))
    return tx.rows(
        VersionRow,
        f"{VERSION} WHERE v.model_pk IN {fragment} AND v.deleted_us IS NULL AND v.version = "
        "(SELECT max(o.version) FROM model_version o WHERE o.model_pk = v.model_pk "
        "AND o.stage = v.stage AND o.deleted_us IS NULL) ORDER BY v.model_pk, v.version",
        **given,
    )


def find_deleted(tx: Reader, *, project: int, name: str) -> ModelRow | None:
    """Return the model of that name that was deleted last."""
    return tx.first(
        ModelRow,
        f"{MODEL} WHERE m.project_id = :project AND m.deleted_name = :name "
        "ORDER BY m.deleted_us DESC LIMIT 1",
        project=project,
        name=name,
    )


def describe_model(tx: Writer, *, pk: int, description: str, now_us: int) -> None:
    """Say what a model is for."""
    tx.run(
        "UPDATE model SET description = :text, changed_us = :now WHERE pk = :pk",
        pk=pk,
        text=description,
        now=now_us,
    )


def rename_model(tx: Writer, *, pk: int, name: str, now_us: int) -> None:
    """Give a model another name."""
    tx.run(
        "UPDATE model SET name = :name, changed_us = :now WHERE pk = :pk",
        pk=pk,
        name=name,
        now=now_us,
    )


def set_governed(tx: Writer, *, pk: int, governed: bool) -> None:
    """Say whether a model's protected aliases ask gate and approval."""
    tx.run("UPDATE model SET governed = :governed WHERE pk = :pk", pk=pk, governed=int(governed))


def touch_model(tx: Writer, *, pk: int, now_us: int) -> None:
    """Note that something of a model has changed."""
    tx.run("UPDATE model SET changed_us = :now WHERE pk = :pk", pk=pk, now=now_us)


def delete_model(tx: Writer, row: ModelRow, *, now_us: int) -> None:
    """Mark a model as deleted; its name is free again."""
    tx.run(
        "UPDATE model SET name = :hidden, deleted_name = :name, deleted_us = :now WHERE pk = :pk",
        pk=row.pk,
        hidden=f"{DELETED}{row.id}",
        name=row.name,
        now=now_us,
    )


def restore_model(tx: Writer, *, pk: int, name: str) -> None:
    """Take the mark away again, under the name it had."""
    tx.run(
        "UPDATE model SET name = :name, deleted_name = NULL, deleted_us = NULL WHERE pk = :pk",
        pk=pk,
        name=name,
    )


def change_version(
    tx: Writer,
    *,
    pk: int,
    now_us: int,
    description: str | None = None,
    stage: str | None = None,
    deprecated: str | None = None,
) -> None:
    """Change what is given of a version; an empty `deprecated` takes that back."""
    tx.run(
        """
        UPDATE model_version SET changed_us = :now,
            description = coalesce(CAST(:description AS TEXT), description),
            stage = coalesce(CAST(:stage AS TEXT), stage),
            deprecated = CASE WHEN CAST(:deprecated AS TEXT) IS NULL THEN deprecated
                WHEN CAST(:deprecated AS TEXT) = '' THEN NULL ELSE CAST(:deprecated AS TEXT) END
        WHERE pk = :pk
        """,
        pk=pk,
        now=now_us,
        description=description,
        stage=stage,
        deprecated=deprecated,
    )


def set_version_deleted(tx: Writer, *, pk: int, deleted_us: int | None, now_us: int) -> None:
    """Mark a version as deleted, or (None) take the mark away."""
    tx.run(
        "UPDATE model_version SET deleted_us = :deleted, changed_us = :now WHERE pk = :pk",
        pk=pk,
        deleted=deleted_us,
        now=now_us,
    )


def _table(of_version: bool) -> tuple[str, str]:
    return ("model_version_tag", "version_pk") if of_version else ("model_tag", "model_pk")
