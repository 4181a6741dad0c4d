"""The services of a model at work: deployments, what they captured, monitors, rules, decisions."""

from __future__ import annotations

from millwright.core.ids import AlertId, DecisionId
from millwright.doors.decisions import DecisionChain, Explanation, SegmentProof
from millwright.doors.deployments import LabelsTaken
from millwright.records.automation import Rule, RuleSpec
from millwright.records.deployments import Deployment, Rollout, RolloutPlan
from millwright.records.monitoring import (
    Alert,
    DriftReport,
    Monitor,
    MonitorSpec,
    Performance,
)
from millwright.records.serving import (
    DecisionPolicy,
    Label,
    Plans,
    Segment,
    SegmentHeader,
)
from millwright.workspace.arguments import check_page
from millwright.workspace.services import Service


class Deployments(Service):
    """Fills `doors.deployments.Deployments`."""

    def list_all(self) -> list[Deployment]:
        return self.home.deployments.list_all(self.session.key)

    def create(
        self, *, name: str, model: str, policy: DecisionPolicy | None = None, reason: str = ""
    ) -> Deployment:
        act = self.session.act(reason)
        return self.home.promotions.deploy(act, name, model, policy=policy)

    def show(self, *, name: str) -> Deployment:
        return self.home.deployments.get(self.session.key, name)

    def roll_out(
        self, *, name: str, model: str, plan: RolloutPlan | None = None, reason: str = ""
    ) -> Rollout:
        return self.home.promotions.roll_out(self.session.act(reason), name, model, plan)

    def rollouts(self, *, name: str) -> list[Rollout]:
        return self.home.deployments.rollouts(self.session.key, name)

    def abort(self, *, name: str, reason: str) -> Rollout:
        return self.home.deployments.abort(self.session.act(reason), name)

    def rollback(self, *, name: str, reason: str) -> Deployment:
        return self.home.promotions.roll_back_deployment(self.session.act(reason), name)


class Serving(Service):
    """Fills `doors.deployments.Serving`."""

    def plans(self, *, after: int = -1, wait_s: float = 0.0) -> Plans:
        self.home.wait_for_plans(after, wait_s)
        return self.home.deployments.plans(self.session.key)

    def seal(self, *, header: SegmentHeader) -> Segment:
        return self.home.intake.seal(self.session.act(), header)


class Labels(Service):
    """Fills `doors.deployments.Labels`."""

    def add(self, *, deployment: str, labels: list[Label], reason: str = "") -> LabelsTaken:
        taken = self.home.labels.add(self.session.act(reason), deployment, labels)
        return LabelsTaken(joined=taken.joined, unknown=taken.unknown, corrected=taken.corrected)


class Monitors(Service):
    """Fills `doors.monitors.Monitors`."""

    def list_all(self) -> list[Monitor]:
        return self.home.monitors.list_all(self.session.key)

    def create(
        self, *, name: str, deployment: str, spec: MonitorSpec | None = None, reason: str = ""
    ) -> Monitor:
        return self.home.monitors.create(self.session.act(reason), name, deployment, spec=spec)

    def show(self, *, name: str) -> Monitor:
        return self.home.monitors.get(self.session.key, name)

    def check(self, *, name: str) -> DriftReport | None:
        return self.home.monitors.check(self.session.act(), name)

    def reports(self, *, name: str, limit: int = 50) -> list[DriftReport]:
        return self.home.monitors.reports(self.session.key, name, limit=check_page(limit))

    def performance(self, *, deployment: str, version: int | None = None) -> Performance:
        return self.home.outcomes.performance(self.session.key, deployment, version)


class Alerts(Service):
    """Fills `doors.monitors.Alerts`."""

    def list_all(self, *, state: str | None = None, limit: int = 100) -> list[Alert]:
        return self.home.alerts.list_all(self.session.key, state=state, limit=check_page(limit))

    def show(self, *, id: AlertId) -> Alert:
        return self.home.alerts.get(self.session.key, id)

    def close(self, *, id: AlertId, reason: str) -> Alert:
        return self.home.alerts.close(self.session.act(reason), id, reason=reason)


class Rules(Service):
    """Fills `doors.monitors.Rules`."""

    def list_all(self) -> list[Rule]:
        return self.home.rules.list_all(self.session.key)

    def put(self, *, name: str, spec: RuleSpec, reason: str = "") -> Rule:
        # A rule acts under a name of its own: nobody may make one do what he may not do himself.
        self.home.permit_job(self.session, spec.job)
        return self.home.rules.put(
            self.session.act(reason), name, spec, project=self.session.project_name
        )


class Decisions(Service):
    """Fills `doors.decisions.Decisions`."""

    def show(self, *, id: DecisionId) -> DecisionChain:
        chain = self.home.decisions.chain(self.session.act(), id)
        found = chain.found
        return DecisionChain(
            decision=found.decision,
            label=chain.label,
            segment=found.header,
            in_segment=SegmentProof(
                index=found.index,
                size=found.size,
                leaf=found.leaf.hex(),
                path=[step.hex() for step in found.path],
                root=found.header.root,
            ),
            in_journal=self.home.prove(found.event, project=self.session.project),
            model_version=chain.version,
            run=chain.run,
            datasets=chain.datasets,
            gates=chain.gates,
            approvals=chain.approvals,
            aliases=chain.aliases,
        )

    def explain(self, *, id: DecisionId) -> Explanation:
        explained = self.home.explanations.explain(self.session.act(), id)
        found = explained.contributions
        return Explanation(
            decision=explained.decision,
            model_digest=explained.version.digest,
            method=found.method,
            scale=found.scale,
            output=found.output,
            base=found.base,
            contributions=found.values,
            residue=found.residue,
            background_rows=found.background_rows,
            standard_error=found.standard_error,
        )
