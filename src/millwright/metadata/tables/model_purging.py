"""The SQL that removes deleted models and versions for good, and says what still names them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from millwright.core.ids import ModelId, ModelVersionId
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list


class DeletedVersion(Struct, frozen=True, kw_only=True):
    """A version that was deleted, or whose model was."""

    pk: int
    id: ModelVersionId
    model_pk: int
    model: str
    version: int


class DeletedModel(Struct, frozen=True, kw_only=True):
    """A model that was deleted."""

    pk: int
    id: ModelId
    name: str
    versions: int
    """How many versions it still has, whatever their state."""


# What names a version, in words, and the rows that do.
_NAMES = (
    ("an alias points at it", "model_alias WHERE version_pk = :pk"),
    (
        "the history of an alias names it",
        "alias_change WHERE version_pk = :pk OR previous_pk = :pk",
    ),
    ("a gate's verdict names it", "gate_verdict WHERE version_pk = :pk OR baseline_pk = :pk"),
    ("an approval names it", "approval WHERE version_pk = :pk"),
    ("a rollout names it", "rollout WHERE champion_pk = :pk OR candidate_pk = :pk"),
    (
        "a deployment answers by it",
        """deployment d JOIN model_version v ON v.pk = :pk
        WHERE d.variants_json LIKE '%' || v.id || '%'""",
    ),
)


def list_versions(tx: Reader, *, project: int, before_us: int) -> list[DeletedVersion]:
    """Return versions that were deleted before then, themselves or with their model."""
    return tx.rows(
        DeletedVersion,
        """
        SELECT v.pk, v.id, v.model_pk, coalesce(m.deleted_name, m.name) AS model, v.version
        FROM model_version v JOIN model m ON m.pk = v.model_pk
        WHERE v.project_id = :project AND (v.deleted_us < :before OR m.deleted_us < :before)
        ORDER BY v.pk
        """,
        project=project,
        before=before_us,
    )


def list_models(tx: Reader, *, project: int, before_us: int) -> list[DeletedModel]:
    """Return models that were deleted before then."""
    return tx.rows(
        DeletedModel,
        """
        SELECT m.pk, m.id, coalesce(m.deleted_name, m.name) AS name,
            (SELECT count(*) FROM model_version v WHERE v.model_pk = m.pk) AS versions
        FROM model m WHERE m.project_id = :project AND m.deleted_us < :before ORDER BY m.pk
        """,
        project=project,
        before=before_us,
    )


def name_version(tx: Reader, *, pk: int) -> str:
    """Return in words what still names a version; empty when nothing does."""
    for words, rows in _NAMES:
        if tx.value(int, f"SELECT 1 FROM {rows} LIMIT 1", pk=pk) is not None:
            return words
    return ""


def name_model(tx: Reader, *, pk: int) -> str:
    """Return in words what, besides its versions, still names a model; empty for nothing."""
    if tx.value(int, "SELECT 1 FROM deployment WHERE model_pk = :pk LIMIT 1", pk=pk) is not None:
        return "a deployment is of it"
    found = tx.value(int, "SELECT 1 FROM alias_change WHERE model_pk = :pk LIMIT 1", pk=pk)
    return "" if found is None else "it has a history of aliases"


def lock_deleted(tx: Writer, *, model_pk: int) -> None:
    """Have whoever restores the model or one of its versions wait."""
    tx.run("UPDATE model SET risk = risk WHERE pk = :pk", pk=model_pk)


def is_still_deleted(tx: Reader, *, version_pk: int, before_us: int) -> bool:
    """Tell whether a version is still deleted since then, itself or with its model."""
    found = tx.value(
        int,
        "SELECT 1 FROM model_version v JOIN model m ON m.pk = v.model_pk "
        "WHERE v.pk = :pk AND (v.deleted_us < :before OR m.deleted_us < :before)",
        pk=version_pk,
        before=before_us,
    )
    return found is not None


def delete_versions(tx: Writer, *, pks: Sequence[int]) -> None:
    """Remove versions that nothing names."""
    fragment, given = in_list("pk", list(pks))
    tx.run(f"DELETE FROM model_version_tag WHERE version_pk IN {fragment}", **given)
    tx.run(f"DELETE FROM model_version WHERE pk IN {fragment}", **given)


def delete_model(tx: Writer, *, pk: int, before_us: int) -> bool:
    """Remove a model without versions; False when it was restored meanwhile."""
    still = tx.run(
        "UPDATE model SET risk = risk WHERE pk = :pk AND deleted_us < :before",
        pk=pk,
        before=before_us,
    )
    if not still:
        return False
    tx.run("DELETE FROM model_tag WHERE model_pk = :pk", pk=pk)
    tx.run("DELETE FROM model WHERE pk = :pk", pk=pk)
    return True
