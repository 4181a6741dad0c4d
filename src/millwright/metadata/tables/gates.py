"""The SQL of gate verdicts."""

from __future__ import annotations

import msgspec

from millwright.metadata.database import Reader, Writer
from millwright.records.models import GateReport


def insert_verdict(
    tx: Writer, report: GateReport, *, project: int, version_pk: int, baseline_pk: int | None
) -> None:
    """Add a verdict."""
    tx.run(
        """
        INSERT INTO gate_verdict (id, project_id, version_pk, baseline_pk, verdict, digest,
            report_json, actor, created_us)
        VALUES (:id, :project, :version, :baseline, :verdict, :digest, :report, :actor, :now)
        """,
        id=report.id,
        project=project,
        version=version_pk,
        baseline=baseline_pk,
        verdict=report.verdict,
        digest=report.digest,
        report=msgspec.json.encode(report).decode(),
        actor=report.actor,
        now=report.created_us,
    )


def find_verdicts_by_id(tx: Reader, *, project: int, low: str, high: str) -> list[GateReport]:
    """Return at most two verdicts with an id in [low, high]."""
    found = tx.column(
        str,
        "SELECT report_json FROM gate_verdict WHERE project_id = :project AND id >= :low "
        "AND id <= :high ORDER BY id LIMIT 2",
        project=project,
        low=low,
        high=high,
    )
    return [msgspec.json.decode(text, type=GateReport) for text in found]


def list_verdicts(tx: Reader, *, version_pk: int) -> list[GateReport]:
    """Return the verdicts on a version, newest first."""
    found = tx.column(
        str,
        "SELECT report_json FROM gate_verdict WHERE version_pk = :version ORDER BY pk DESC",
        version=version_pk,
    )
    return [msgspec.json.decode(text, type=GateReport) for text in found]
