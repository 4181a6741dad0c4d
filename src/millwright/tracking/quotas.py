"""Quotas: asked where something is written, in its transaction, so that nothing too much is kept.

Where no limit is set nothing is counted. A limit on points costs each call that logs some a walk
over those the run has, up to the limit.
"""

from __future__ import annotations

from millwright.core.errors import Denied
from millwright.core.ids import RunId
from millwright.metadata.database import Writer
from millwright.metadata.tables import quotas as tables
from millwright.tracking.limits import Limits

ASK = "ask an admin of this home to raise it in millwright.toml"


def check_runs(tx: Writer, limits: Limits, *, experiment_pk: int, experiment: str) -> None:
    """Return when an experiment holds no more runs than it may; raises Denied."""
    limit = limits.runs_per_experiment
    if limit is not None and tables.has_more_runs(tx, experiment_pk=experiment_pk, than=limit):
        raise _used_up(
            f"the experiment {experiment!r} takes no more runs",
            "runs_per_experiment",
            limit,
            fix="delete runs of it, use another experiment",
        )


def check_points(tx: Writer, limits: Limits, *, run_pk: int, run: RunId) -> None:
    """Return when a run holds no more points than it may; raises Denied."""
    limit = limits.points_per_run
    if limit is not None and tables.has_more_points(tx, run_pk=run_pk, than=limit):
        raise _used_up(
            f"run {run} takes no more points",
            "points_per_run",
            limit,
            fix="log less often",
        )


def check_files(tx: Writer, limits: Limits, *, project: int) -> None:
    """Return when a project's files hold no more bytes than they may; raises Denied."""
    limit = limits.artifact_bytes
    if limit is not None and tables.sum_file_bytes(tx, project=project) > limit:
        raise _used_up(
            "the project takes no more artifacts",
            "artifact_bytes",
            limit,
            fix="delete artifacts",
        )


def _used_up(what: str, key: str, limit: int, *, fix: str) -> Denied:
    return Denied(
        what, why=f"its quota is used up: [quota] {key} = {limit}", fix=f"{fix}, or {ASK}"
    )
