"""The SQL of approvals."""

from __future__ import annotations

from millwright.metadata.database import Reader, Writer
from millwright.records.models import Approval

_APPROVAL = """
    SELECT a.id, m.name AS model, v.version, a.alias, a.digest, a.state, a.requested_by,
           a.requested_us, a.reason, a.decided_by, a.decided_us, a.decision_reason, a.expires_us
    FROM approval a
    JOIN model_version v ON v.pk = a.version_pk
    JOIN model m ON m.pk = v.model_pk
"""


def insert_approval(tx: Writer, approval: Approval, *, project: int, version_pk: int) -> None:
    """Add an approval that waits."""
    tx.run(
        """
        INSERT INTO approval (id, project_id, version_pk, alias, digest, state, requested_by,
            requested_us, reason, expires_us)
        VALUES (:id, :project, :version, :alias, :digest, :state, :by, :at, :reason, :expires)
        """,
        id=approval.id,
        project=project,
        version=version_pk,
        alias=approval.alias,
        digest=approval.digest,
        state=approval.state,
        by=approval.requested_by,
        at=approval.requested_us,
        reason=approval.reason,
        expires=approval.expires_us,
    )


def newest_approval(tx: Reader, *, version_pk: int, alias: str) -> Approval | None:
    """Return the newest approval asked for that promotion."""
    return tx.first(
        Approval,
        _APPROVAL + "WHERE a.version_pk = :version AND a.alias = :alias ORDER BY a.pk DESC LIMIT 1",
        version=version_pk,
        alias=alias,
    )


def list_approvals(
    tx: Reader, *, project: int, state: str | None = None, version_pk: int | None = None
) -> list[Approval]:
    """Return approvals, newest first."""
    where, params = ["a.project_id = :project"], {"project": project}
    conditions: dict[str, str | int] = dict(params)
    if state is not None:
        where.append("a.state = :state")
        conditions["state"] = state
    if version_pk is not None:
        where.append("a.version_pk = :version")
        conditions["version"] = version_pk
    return tx.rows(
        Approval, _APPROVAL + f"WHERE {' AND '.join(where)} ORDER BY a.pk DESC", **conditions
    )


def change_state(
    tx: Writer,
    *,
    approval_id: str,
    before: str,
    state: str,
    decided_by: str | None = None,
    decided_us: int | None = None,
    decision_reason: str | None = None,
) -> bool:
    """Move an approval from `before` to `state`; False when it was no longer `before`."""
    changed = tx.run(
        """
        UPDATE approval SET state = :state, decided_by = coalesce(:by, decided_by),
            decided_us = coalesce(:at, decided_us),
            decision_reason = coalesce(:reason, decision_reason)
        WHERE id = :id AND state = :before
        """,
        id=approval_id,
        before=before,
        state=state,
        by=decided_by,
        at=decided_us,
        reason=decision_reason,
    )
    return changed == 1
