"""The SQL that removes deleted runs, experiments and logged models for good."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from millwright.core.ids import ExperimentId, LoggedModelId, RunId
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list

_LOGGED = ("metric_point", "metric_latest", "run_param", "run_tag", "run_link", "run_dataset")
_OF_MODEL = ("logged_model_param", "logged_model_tag", "logged_model_metric", "run_model")


class DeletedRun(Struct, frozen=True, kw_only=True):
    """A run that was deleted, and what its artifacts' folder is named by."""

    pk: int
    id: RunId
    experiment: int
    """The experiment's number."""


class DeletedModel(Struct, frozen=True, kw_only=True):
    """A logged model that was deleted, or whose experiment was."""

    pk: int
    id: LoggedModelId
    experiment: int


class DeletedExperiment(Struct, frozen=True, kw_only=True):
    """An experiment that was deleted."""

    pk: int
    id: ExperimentId
    number: int
    name: str
    has_runs: bool
    """Whether it still has any, whatever their state."""
    newest: bool
    """Whether no experiment of the project has a higher number."""


def list_runs(tx: Reader, *, project: int, before_us: int, limit: int) -> list[DeletedRun]:
    """Return runs that were deleted before then, oldest first."""
    return tx.rows(
        DeletedRun,
        "SELECT r.pk, r.id, e.number AS experiment FROM run r "
        "JOIN experiment e ON e.pk = r.experiment_pk "
        "WHERE r.project_id = :project AND r.deleted_us < :before ORDER BY r.pk LIMIT :limit",
        project=project,
        before=before_us,
        limit=limit,
    )


def count_runs(tx: Reader, *, project: int, before_us: int) -> int:
    """Return how many runs were deleted before then."""
    return _count(
        tx, "run r WHERE r.project_id = :project AND r.deleted_us < :before", project, before_us
    )


def count_points(tx: Reader, *, run_pk: int, limit: int) -> int:
    """Return how many points a run has, counting no further than `limit`."""
    counted = tx.value(
        int,
        "SELECT count(*) FROM (SELECT 1 FROM metric_point WHERE run_pk = :run LIMIT :limit) p",
        run=run_pk,
        limit=limit,
    )
    return counted or 0


def lock_deleted(tx: Writer, *, pks: Sequence[int], before_us: int) -> set[int]:
    """Have other writers wait, and return which of the runs are still deleted since then."""
    fragment, given = in_list("pk", list(pks))
    tx.run(f"UPDATE run SET name = name WHERE pk IN {fragment}", **given)
    found = tx.column(
        int,
        f"SELECT pk FROM run WHERE pk IN {fragment} AND deleted_us < :before",
        before=before_us,
        **given,
    )
    return set(found)


def delete_runs(tx: Writer, *, pks: Sequence[int]) -> None:
    """Remove runs with all that was logged to them; what others hold of them lets go."""
    runs, given = in_list("run", list(pks))
    read = tx.column(int, f"SELECT dataset_pk FROM run_dataset WHERE run_pk IN {runs}", **given)
    for table in _LOGGED:
        tx.run(f"DELETE FROM {table} WHERE run_pk IN {runs}", **given)
    for dataset in set(read):
        tx.run(
            "DELETE FROM logged_dataset WHERE pk = :pk "
            "AND NOT EXISTS (SELECT 1 FROM run_dataset u WHERE u.dataset_pk = :pk)",
            pk=dataset,
        )
    tx.run(f"DELETE FROM run_model WHERE run_pk IN {runs}", **given)
    tx.run(f"DELETE FROM logged_model_metric WHERE run_pk IN {runs}", **given)
    # A model outlives the run that made it, until it is deleted itself.
    tx.run(f"UPDATE logged_model SET run_pk = NULL WHERE run_pk IN {runs}", **given)
    tx.run(f"DELETE FROM step_cache WHERE run_pk IN {runs}", **given)
    tx.run(f"DELETE FROM step_run WHERE run_pk IN {runs}", **given)
    tx.run(f"UPDATE run SET parent_pk = NULL WHERE parent_pk IN {runs}", **given)
    tx.run(f"DELETE FROM run WHERE pk IN {runs}", **given)


def list_models(tx: Reader, *, project: int, before_us: int, limit: int) -> list[DeletedModel]:
    """Return logged models that were deleted before then, or whose experiment was."""
    return tx.rows(
        DeletedModel,
        "SELECT m.pk, m.id, e.number AS experiment FROM logged_model m "
        "JOIN experiment e ON e.pk = m.experiment_pk WHERE m.project_id = :project "
        "AND (m.deleted_us < :before OR e.deleted_us < :before) ORDER BY m.pk LIMIT :limit",
        project=project,
        before=before_us,
        limit=limit,
    )


def count_models(tx: Reader, *, project: int, before_us: int) -> int:
    """Return how many logged models were deleted before then, or with their experiment."""
    return _count(
        tx,
        "logged_model m JOIN experiment e ON e.pk = m.experiment_pk "
        "WHERE m.project_id = :project AND (m.deleted_us < :before OR e.deleted_us < :before)",
        project,
        before_us,
    )


def delete_models(tx: Writer, *, pks: Sequence[int]) -> None:
    """Remove logged models with all that is known of them."""
    models, given = in_list("model", list(pks))
    for table in _OF_MODEL:
        tx.run(f"DELETE FROM {table} WHERE model_pk IN {models}", **given)
    tx.run(f"DELETE FROM logged_model WHERE pk IN {models}", **given)


def list_experiments(tx: Reader, *, project: int, before_us: int) -> list[DeletedExperiment]:
    """Return experiments that were deleted before then, highest number first."""
    rows = tx.rows(
        tuple[int, ExperimentId, int, str, int, int],
        """
        SELECT e.pk, e.id, e.number, e.name,
            (SELECT count(*) FROM (SELECT 1 FROM run r WHERE r.experiment_pk = e.pk LIMIT 1) one),
            CASE WHEN e.number = (SELECT max(o.number) FROM experiment o
                WHERE o.project_id = e.project_id) THEN 1 ELSE 0 END
        FROM experiment e WHERE e.project_id = :project AND e.deleted_us < :before
        ORDER BY e.number DESC
        """,
        project=project,
        before=before_us,
    )
    return [
        DeletedExperiment(
            pk=pk, id=identity, number=number, name=name, has_runs=bool(runs), newest=bool(newest)
        )
        for pk, identity, number, name, runs, newest in rows
    ]


def delete_experiment(tx: Writer, *, pk: int, before_us: int) -> bool:
    """Remove an experiment that has no runs and models any more; False when it was restored."""
    locked = tx.run(
        "UPDATE experiment SET name = name WHERE pk = :pk AND deleted_us < :before",
        pk=pk,
        before=before_us,
    )
    if not locked:
        return False
    tx.run("DELETE FROM experiment_tag WHERE experiment_pk = :pk", pk=pk)
    tx.run("DELETE FROM logged_dataset WHERE experiment_pk = :pk", pk=pk)
    tx.run("DELETE FROM experiment WHERE pk = :pk", pk=pk)
    return True


def _count(tx: Reader, tables: str, project: int, before_us: int) -> int:
    counted = tx.value(int, f"SELECT count(*) FROM {tables}", project=project, before=before_us)
    return counted or 0
