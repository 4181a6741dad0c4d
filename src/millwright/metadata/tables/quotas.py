"""The SQL that counts what quotas limit, no further than it has to."""

from __future__ import annotations

from millwright.metadata.database import Reader


def has_more_runs(tx: Reader, *, experiment_pk: int, than: int) -> bool:
    """Tell whether an experiment has more runs than that; deleted ones do not count."""
    counted = tx.value(
        int,
        "SELECT count(*) FROM (SELECT 1 FROM run WHERE experiment_pk = :experiment "
        "AND deleted_us IS NULL LIMIT :limit) found",
        experiment=experiment_pk,
        limit=than + 1,
    )
    return (counted or 0) > than


def has_more_points(tx: Reader, *, run_pk: int, than: int) -> bool:
    """Tell whether a run has more points than that."""
    counted = tx.value(
        int,
        "SELECT count(*) FROM (SELECT 1 FROM metric_point WHERE run_pk = :run LIMIT :limit) found",
        run=run_pk,
        limit=than + 1,
    )
    return (counted or 0) > than


def sum_file_bytes(tx: Reader, *, project: int) -> int:
    """Return how many bytes all files by path of a project name together."""
    total = tx.value(
        int,
        "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM artifact_file "
        "WHERE project_id = :project",
        project=project,
    )
    return total or 0
