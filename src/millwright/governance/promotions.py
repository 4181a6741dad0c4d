"""Promotions: the one way by which a version comes to answer real requests.

Gate and approval are asked first, in words; the alias, the deployment and the use of the
approval then change in one transaction, so that nothing is promoted around the policy.
"""

from __future__ import annotations

from millwright.deployments.controller import Deployments
from millwright.governance.approvals import Approvals
from millwright.governance.policy import Policy, check_gate
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import gates as gate_tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables.models import VersionRow
from millwright.records.deployments import Deployment, Rollout, RolloutPlan
from millwright.records.events import Act
from millwright.records.models import AliasChange, Approval, ModelVersion, Risk
from millwright.registry.aliases import Aliases
from millwright.registry.models import find_model, find_version

CHAMPION = "champion"


class Promotions:
    """The promotions of all projects of a home."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        *,
        aliases: Aliases,
        approvals: Approvals,
        deployments: Deployments,
    ) -> None:
        self._database = database
        self._policy = policy
        self._aliases = aliases
        self._approvals = approvals
        self._deployments = deployments

    def promote(self, act: Act, ref: str, alias: str) -> AliasChange:
        """Point `alias` at the version `ref`.

        Raises Refused when a protected alias wants a passed gate, and NeedsApproval when the
        request was recorded and waits for somebody else.
        """
        version, _ = self._permit(act, ref, alias)
        return self._aliases.set_alias(act, name=version.name, alias=alias, version=version.version)

    def roll_out(self, act: Act, deployment: str, ref: str, plan: RolloutPlan | None) -> Rollout:
        """Begin to let `ref` into a deployment; it becomes champion at the end of a good rollout.

        Raises as `promote` does, before anybody is shown the new version.
        """
        version, _ = self._permit(act, ref, CHAMPION)
        return self._deployments.roll_out(act, deployment, version, plan=plan)

    def decide(self, act: Act, ref: str, alias: str, *, approve: bool) -> Approval:
        """Agree to, or refuse, the promotion of `ref` that waits."""
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
        return self._approvals.decide(act, version, alias=alias, approve=approve)

    def roll_back_deployment(self, act: Act, deployment: str) -> Deployment:
        """Let the version answer that did before; the champion alias moves in the same transaction.

        Neither gate nor approval is asked: the version has passed both before, and whoever
        rolls back has no time to wait.
        """
        version = self._deployments.previous(act.project_key, deployment)
        with self._database.write() as tx:
            changed = self._deployments.replace(tx, act, deployment, version)
            self._aliases.point_in(tx, act, version, CHAMPION)
        return changed

    def finish_rollout(self, tx: Writer, act: Act, version: VersionRow) -> None:
        """Make the winner of a rollout champion, in the transaction that ends the rollout."""
        pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=CHAMPION)
        # Champion already, it has used its approval up and needs no other.
        if pointed is None or pointed.pk != version.pk:
            self.guard(tx, act, version.model_version(), CHAMPION)
        self._aliases.point_in(tx, act, version, CHAMPION)

    def guard(self, tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
        """Check gate and use up the approval, in the transaction that moves the alias."""
        row = find_version(tx, act.project_key, version.id)
        verdicts = gate_tables.list_verdicts(tx, version_pk=row.pk)
        check_gate(self._policy, alias=alias, ref=_spelled(row), verdicts=verdicts)
        risk = find_model(tx, act.project_key, row.name).risk
        self._approvals.use(tx, row, alias=alias, risk=risk)

    def _permit(self, act: Act, ref: str, alias: str) -> tuple[VersionRow, Risk]:
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
            risk = find_model(tx, act.project_key, version.name).risk
            pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=alias)
            verdicts = gate_tables.list_verdicts(tx, version_pk=version.pk)
        if pointed is None or pointed.pk != version.pk:
            check_gate(self._policy, alias=alias, ref=_spelled(version), verdicts=verdicts)
            self._approvals.request_if_needed(act, version, alias=alias, risk=risk)
        return version, risk


def _spelled(row: VersionRow) -> str:
    return f"{row.name}@v{row.version}"
