"""The SQL behind the state of a project at a glance."""

from __future__ import annotations

from msgspec import Struct

from millwright.metadata.database import Reader


class Counts(Struct, frozen=True, kw_only=True):
    """How many there are of what a project holds."""

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


def count_all(tx: Reader, *, project: int) -> Counts:
    """Return the counts of one project, in one statement."""
    found = tx.first(
        Counts,
        """
        SELECT
            (SELECT count(*) FROM dataset WHERE project_id = :p) AS datasets,
            (SELECT count(*) FROM run WHERE project_id = :p) AS runs,
            (SELECT count(*) FROM model WHERE project_id = :p) AS models,
            (SELECT count(*) FROM deployment WHERE project_id = :p) AS deployments,
            (SELECT count(*) FROM alert WHERE project_id = :p AND state = 'open') AS open_alerts,
            (SELECT count(*) FROM approval WHERE project_id = :p AND state = 'waiting')
                AS waiting_approvals,
            (SELECT count(*) FROM job WHERE project_id = :p AND state = 'queued') AS queued_jobs,
            (SELECT count(*) FROM job WHERE project_id = :p AND state = 'running') AS running_jobs,
            (SELECT count(*) FROM event WHERE project_id = :p) AS events,
            (SELECT max(time_us) FROM event WHERE project_id = :p) AS last_event_us
        """,
        p=project,
    )
    assert found is not None
    return found
