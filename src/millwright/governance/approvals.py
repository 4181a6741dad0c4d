"""Approvals: asked for by one, given by another, used once, for one digest."""

from __future__ import annotations

from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Conflict, Denied, NeedsApproval, NotFound
from millwright.core.ids import ApprovalId, new_id
from millwright.governance.policy import Policy, needs_approval, usable
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import approvals as tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables.models import VersionRow
from millwright.records.events import (
    Act,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    Subject,
)
from millwright.records.models import Approval, Risk

_US_PER_DAY = 86_400 * US_PER_S


class Approvals:
    """The approvals of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock, policy: Policy) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._policy = policy

    def request_if_needed(self, act: Act, version: VersionRow, *, alias: str, risk: Risk) -> None:
        """Return when the promotion may go on; otherwise record the request and say who can help.

        Raises NeedsApproval while the request waits, and Denied when it was rejected.
        """
        if not needs_approval(self._policy, alias=alias, risk=risk):
            return
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            # Of two who ask at once the second finds the first one's request, or what came of it.
            model_tables.lock_model(tx, version.model_pk)
            pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=alias)
            if pointed is not None and pointed.pk == version.pk:
                return
            newest = tables.newest_approval(tx, version_pk=version.pk, alias=alias)
            if usable(newest, digest=version.digest, now_us=now_us):
                return
            if newest is not None and newest.state == "rejected":
                raise Denied(
                    f"{version.name}@v{version.version} was refused as {alias}",
                    why=newest.decision_reason or "no reason was given",
                    fix="register a version that answers the objection",
                )
            if newest is None or newest.state != "waiting" or now_us >= newest.expires_us:
                self._insert(tx, act, version, alias=alias, now_us=now_us)
        raise NeedsApproval(
            f"{version.name}@v{version.version} waits for approval to become {alias}",
            why="the model is of high risk, so somebody other than the requester must agree",
            fix=f"mill model approve {version.name}@v{version.version} --alias {alias}",
        )

    def use(self, tx: Writer, version: VersionRow, *, alias: str, risk: Risk) -> None:
        """Use up the approval of a promotion, in the transaction that promotes.

        Raises NeedsApproval when there is none, so that nothing is promoted around it.
        """
        if not needs_approval(self._policy, alias=alias, risk=risk):
            return
        newest = tables.newest_approval(tx, version_pk=version.pk, alias=alias)
        now_us = self._clock.now_us()
        if (
            newest is None
            or not usable(newest, digest=version.digest, now_us=now_us)
            or not tables.change_state(tx, approval_id=newest.id, before="approved", state="used")
        ):
            raise NeedsApproval(
                f"{version.name}@v{version.version} has no approval to become {alias}",
                fix=f"mill model promote {version.name}@v{version.version} asks for one",
            )

    def decide(self, act: Act, version: VersionRow, *, alias: str, approve: bool) -> Approval:
        """Agree to, or refuse, the promotion that waits.

        Raises NotFound when none waits, Denied when the requester decides, and Conflict when
        it has expired or was decided meanwhile.
        """
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            newest = tables.newest_approval(tx, version_pk=version.pk, alias=alias)
            if newest is None or newest.state != "waiting":
                raise NotFound(
                    f"no promotion of {version.name}@v{version.version} to {alias} waits",
                    why="none was asked for" if newest is None else f"it is {newest.state}",
                    fix=f"mill model promote {version.name}@v{version.version} --alias {alias}",
                )
            if newest.requested_by == act.actor:
                raise Denied(
                    f"{version.name}@v{version.version} cannot be decided by who asked for it",
                    why="four eyes: the request and the decision come from two people",
                    fix="have somebody else decide",
                )
            if now_us >= newest.expires_us or newest.digest != version.digest:
                raise Conflict(
                    "the request has expired",
                    fix=f"ask again: mill model promote {version.name}@v{version.version}",
                )
            if not tables.change_state(
                tx,
                approval_id=newest.id,
                before="waiting",
                state="approved" if approve else "rejected",
                decided_by=act.actor,
                decided_us=now_us,
                decision_reason=act.reason,
            ):
                raise Conflict("somebody else has just decided", fix="mill model approvals")
            made = ApprovalGranted if approve else ApprovalRejected
            detail = made(
                reason=act.reason, name=version.name, version=version.version, alias=alias
            )
            self._journal.append(tx, act, detail, _subjects(newest.id, version))
            decided = tables.newest_approval(tx, version_pk=version.pk, alias=alias)
        assert decided is not None
        return decided

    def list_all(
        self, project_key: int, *, state: str | None = None, version_pk: int | None = None
    ) -> list[Approval]:
        """Return approvals, newest first."""
        with self._database.read() as tx:
            return tables.list_approvals(
                tx, project=project_key, state=state, version_pk=version_pk
            )

    def _insert(
        self, tx: Writer, act: Act, version: VersionRow, *, alias: str, now_us: int
    ) -> None:
        approval = Approval(
            id=ApprovalId(new_id("apr")),
            model=version.name,
            version=version.version,
            alias=alias,
            digest=version.digest,
            state="waiting",
            requested_by=act.actor,
            requested_us=now_us,
            reason=act.reason,
            decided_by=None,
            decided_us=None,
            decision_reason=None,
            expires_us=now_us + int(self._policy.approval_days * _US_PER_DAY),
        )
        tables.insert_approval(tx, approval, project=act.project_key, version_pk=version.pk)
        detail = ApprovalRequested(
            reason=act.reason, name=version.name, version=version.version, alias=alias
        )
        self._journal.append(tx, act, detail, _subjects(approval.id, version))


def _subjects(approval: ApprovalId, version: VersionRow) -> list[Subject]:
    return [
        Subject(kind="approval", id=approval, digest=version.digest),
        Subject(kind="model_version", id=version.id, digest=version.digest),
    ]
