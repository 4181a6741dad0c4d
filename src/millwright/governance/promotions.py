"""Promotions: the one way by which a version comes to answer real requests.

Gate and approval are asked first, in words; the alias, the deployment and the use of the
approval then change in one transaction, so that nothing is promoted around the policy.
"""

from __future__ import annotations

from millwright.core.errors import Refused
from millwright.deployments.controller import Deployments
from millwright.governance.approvals import Approvals
from millwright.governance.policy import Policy, check_gate, check_let_pass
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import gates as gate_tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables.models import ModelRow, VersionRow
from millwright.records.deployments import Deployment, Rollout, RolloutPlan
from millwright.records.events import Act
from millwright.records.models import AliasChange, Approval, ModelVersion, Risk, Stage
from millwright.records.serving import DecisionPolicy
from millwright.registry.aliases import Aliases
from millwright.registry.models import find_model, find_version

CHAMPION = "champion"
PRODUCTION: Stage = "Production"


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

    def deploy(
        self, act: Act, deployment: str, ref: str, *, policy: DecisionPolicy | None
    ) -> Deployment:
        """Let a version answer all requests to a new deployment.

        Raises Refused unless it is the model's champion, where that alias is protected: gate and
        approval have let it pass, and there is no way around them.
        """
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
            pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=CHAMPION)
            is_champion = pointed is not None and pointed.pk == version.pk
            if not find_model(tx, act.project_key, version.name).governed:
                # Its alias was set without a gate; what answers requests passes one all the same.
                self._check_gate(tx, version, CHAMPION, pointed=None)
            elif is_champion:
                self._check_let_pass(tx, version, CHAMPION)
        if CHAMPION in self._policy.protected and not is_champion:
            raise Refused(
                f"{_spelled(version)} cannot answer requests: it is not {version.name}@{CHAMPION}",
                why="what answers requests has passed the gate and, where needed, an approval",
                fix=f"mill model promote {_spelled(version)}",
            )
        return self._deployments.create(act, deployment, version, policy=policy)

    def begun_since(self, act: Act, deployment: str, ref: str, *, since_us: int) -> Rollout | None:
        """Return the rollout of `ref` that was begun since then, running or ended, or None."""
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
        begun = self._deployments.rollouts(act.project_key, deployment)
        found = [
            one
            for one in begun
            if one.candidate == version.version
            and one.started_us >= since_us
            and one.requested_by == act.actor
        ]
        return found[0] if found else None

    def roll_out(self, act: Act, deployment: str, ref: str, plan: RolloutPlan | None) -> Rollout:
        """Begin to let `ref` into a deployment; it becomes champion at the end of a good rollout.

        Raises as `promote` does, before anybody is shown the new version.
        """
        version, _ = self._permit(act, ref, CHAMPION, whoever=True)
        return self._deployments.roll_out(act, deployment, version, plan=plan)

    def decide(self, act: Act, ref: str, alias: str, *, approve: bool) -> Approval:
        """Agree to, or refuse, the promotion of `ref` that waits."""
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
        return self._approvals.decide(act, version, alias=alias, approve=approve)

    def roll_back_deployment(self, act: Act, deployment: str) -> Deployment:
        """Let the version answer that did before; the champion alias moves in the same transaction.

        Neither gate nor approval is asked: the version has passed both before, and whoever
        rolls back has no time to wait. A rollout on its way is ended.
        """
        with self._database.write() as tx:
            version = self._deployments.roll_back(tx, act, deployment)
            self._aliases.point_in(tx, act, version, CHAMPION)
        return self._deployments.get(act.project_key, deployment)

    def finish_rollout(self, tx: Writer, act: Act, version: VersionRow) -> None:
        """Make the winner of a rollout champion, in the transaction that ends the rollout."""
        pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=CHAMPION)
        # Champion already, it has used its approval up and needs no other.
        if pointed is None or pointed.pk != version.pk:
            self._guard(tx, act, version, CHAMPION, whoever=True)
        self._aliases.point_in(tx, act, version, CHAMPION)

    def guard(self, tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
        """Check gate and use up the approval, in the transaction that moves the alias."""
        row = find_version(tx, act.project_key, version.id)
        self._guard(tx, act, row, alias, whoever=False)

    def guard_way_back(self, tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
        """Check that a version has ever been let pass, in the transaction that goes back to it."""
        if find_model(tx, act.project_key, version.name).governed:
            self._check_let_pass(tx, find_version(tx, act.project_key, version.id), alias)

    def guard_name(self, tx: Writer, model: ModelRow) -> None:
        """Check that a model's name may be given up, in the transaction that does so.

        Raises Refused where somebody asks for the model by a protected alias: under the name that
        is free then anybody could register what passed no gate.
        """
        if not model.governed:
            return
        moves = model_tables.list_alias_changes(tx, model_pk=model.pk)
        had = sorted({move.alias for move in moves} & self._policy.protected)
        if had:
            raise Refused(
                f"{model.name} cannot be renamed or deleted: its alias {had[0]} is protected",
                why=f"who asks for {model.name}@{had[0]} would get what another registers there",
                fix=f"take the protection off first: mill model unprotect {model.name}",
            )

    def guard_stage(self, tx: Writer, act: Act, version: ModelVersion, stage: Stage) -> None:
        """Check what a stage needs: in production stands what a champion would have to be."""
        if stage == PRODUCTION and CHAMPION in self._policy.protected:
            self.guard(tx, act, version, CHAMPION)

    def _guard(self, tx: Writer, act: Act, row: VersionRow, alias: str, *, whoever: bool) -> None:
        model = find_model(tx, act.project_key, row.name)
        if not (model.governed or whoever):
            return
        pointed = model_tables.find_alias(tx, model_pk=row.model_pk, alias=alias)
        self._check_gate(tx, row, alias, pointed=pointed)
        self._approvals.use(tx, row, alias=alias, risk=model.risk)

    def _permit(
        self, act: Act, ref: str, alias: str, *, whoever: bool = False
    ) -> tuple[VersionRow, Risk]:
        """Ask gate and approval; of a model that is not governed only with `whoever`."""
        with self._database.read() as tx:
            version = find_version(tx, act.project_key, ref)
            model = find_model(tx, act.project_key, version.name)
            pointed = model_tables.find_alias(tx, model_pk=version.model_pk, alias=alias)
            is_there = pointed is not None and pointed.pk == version.pk
            asks = not is_there and (bool(model.governed) or whoever)
            if asks:
                self._check_gate(tx, version, alias, pointed=pointed)
        if asks:
            self._approvals.request_if_needed(act, version, alias=alias, risk=model.risk)
        return version, model.risk

    def _check_let_pass(self, tx: Reader, version: VersionRow, alias: str) -> None:
        check_let_pass(
            self._policy,
            alias=alias,
            ref=_spelled(version),
            verdicts=gate_tables.list_verdicts(tx, version_pk=version.pk),
        )

    def _check_gate(
        self, tx: Reader, version: VersionRow, alias: str, *, pointed: VersionRow | None
    ) -> None:
        check_gate(
            self._policy,
            alias=alias,
            ref=_spelled(version),
            verdicts=gate_tables.list_verdicts(tx, version_pk=version.pk),
            champion=None if pointed is None else pointed.version,
        )


def _spelled(row: VersionRow) -> str:
    return f"{row.name}@v{row.version}"
