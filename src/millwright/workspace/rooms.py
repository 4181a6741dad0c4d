"""The rooms of an open home, tied together.

Each is made, and its code imported, when it is first asked for: a command that reads two
numbers must not wait for a data-frame library.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from millwright.access.actors import Directory
from millwright.access.grants import Grants
from millwright.access.projects import Projects
from millwright.metadata.database import Writer
from millwright.metadata.tables.models import ModelRow, VersionRow
from millwright.records.events import Act
from millwright.records.models import ModelVersion, Stage
from millwright.workspace.tracking_rooms import TrackingRooms

if TYPE_CHECKING:
    from millwright.access.tokens import Tokens
    from millwright.automation.deliveries import Deliveries
    from millwright.automation.rules import Rules
    from millwright.automation.webhooks import Webhooks
    from millwright.data.versions import Datasets
    from millwright.deployments.controller import Deployments
    from millwright.deployments.intake import Intake
    from millwright.gates.judge import Judge
    from millwright.governance.approvals import Approvals
    from millwright.governance.attestations import Attestations
    from millwright.governance.cards import Cards
    from millwright.governance.decisions import Decisions
    from millwright.governance.explanations import Explanations
    from millwright.governance.pickles import PickleRulings
    from millwright.governance.promotions import Promotions
    from millwright.jobs.queue import Jobs
    from millwright.monitoring.alerts import Alerts
    from millwright.monitoring.labels import Labels
    from millwright.monitoring.monitor import Monitors
    from millwright.monitoring.performance import Outcomes
    from millwright.registry.aliases import Aliases
    from millwright.registry.changes import Changes
    from millwright.registry.models import Models
    from millwright.registry.packages import Packages
    from millwright.registry.purge import Purges as ModelPurges
    from millwright.registry.search import Searches as ModelSearches
    from millwright.registry.sources import Sources

CACHE_FOLDER = "cache"


class Rooms(TrackingRooms):
    """What a home holds."""

    @cached_property
    def directory(self) -> Directory:
        """People, service accounts and rules."""
        return Directory(self.database, self.journal, self.clock)

    @cached_property
    def projects(self) -> Projects:
        """The projects of the home."""
        return Projects(self.database, self.journal, self.clock)

    @cached_property
    def grants(self) -> Grants:
        """Who holds which role where."""
        return Grants(self.database, self.journal, self.clock)

    @cached_property
    def tokens(self) -> Tokens:
        """Credentials for the server."""
        from millwright.access.tokens import Tokens

        return Tokens(self.database, self.journal, self.clock)

    @cached_property
    def jobs(self) -> Jobs:
        """Durable work."""
        from millwright.jobs.queue import Jobs

        return Jobs(self.database, self.clock)

    @cached_property
    def datasets(self) -> Datasets:
        """Datasets and their versions."""
        from millwright.data.versions import Datasets

        return Datasets(self.database, self.artifacts, self.journal, self.clock)

    @cached_property
    def models(self) -> Models:
        """Models and their versions."""
        from millwright.registry.models import Models

        return Models(self.database, self.artifacts, self.journal, self.clock)

    @cached_property
    def model_searches(self) -> ModelSearches:
        """Models and versions by filter and order."""
        from millwright.registry.search import Searches as ModelSearches

        return ModelSearches(self.database)

    @cached_property
    def model_changes(self) -> Changes:
        """What is said about models, and putting them away."""
        from millwright.registry.changes import Changes

        def ask_policy(tx: Writer, act: Act, version: ModelVersion, stage: Stage) -> None:
            self.promotions.guard_stage(tx, act, version, stage)

        def ask_name(tx: Writer, model: ModelRow) -> None:
            self.promotions.guard_name(tx, model)

        return Changes(
            self.database, self.journal, self.clock, guard=ask_policy, guard_name=ask_name
        )

    @cached_property
    def model_purges(self) -> ModelPurges:
        """Models and versions that were deleted, removed for good."""
        from millwright.registry.purge import Purges as ModelPurges

        return ModelPurges(
            self.database, self.journal, self.clock, retention_days=self.limits.retention_days
        )

    @cached_property
    def model_sources(self) -> Sources:
        """Versions registered from where their files lie."""
        from millwright.registry.sources import Sources

        return Sources(self.database, self.artifacts, self.models, self.files)

    @cached_property
    def packages(self) -> Packages:
        """Model packages at hand on this machine."""
        from millwright.registry.packages import Packages

        return Packages(self.artifacts, self.path / CACHE_FOLDER / "packages")

    @cached_property
    def aliases(self) -> Aliases:
        """The aliases of models; a protected one asks the policy before it moves."""
        from millwright.registry.aliases import Aliases

        def ask_policy(tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
            self.promotions.guard(tx, act, version, alias)  # made when first asked: they need us

        def ask_way_back(tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
            self.promotions.guard_way_back(tx, act, version, alias)

        return Aliases(
            self.database,
            self.journal,
            self.clock,
            guard=ask_policy,
            guard_way_back=ask_way_back,
        )

    @cached_property
    def approvals(self) -> Approvals:
        """What waits for somebody else's yes."""
        from millwright.governance.approvals import Approvals

        return Approvals(self.database, self.journal, self.clock, self.policy)

    @cached_property
    def cards(self) -> Cards:
        """Model cards, and versions held against each other."""
        from millwright.governance.cards import Cards

        return Cards(
            self.database,
            self.artifacts,
            models=self.models,
            aliases=self.aliases,
            approvals=self.approvals,
            runs=self.runs,
        )

    @cached_property
    def attestations(self) -> Attestations:
        """Signed statements of model versions."""
        from millwright.governance.attestations import Attestations

        return Attestations(
            self.journal,
            self.artifacts,
            key=self.key,
            name=self.origin,
            models=self.models,
            runs=self.runs,
        )

    @cached_property
    def pickle_rulings(self) -> PickleRulings:
        """Which versions' pickles may be loaded."""
        from millwright.governance.pickles import PickleRulings

        return PickleRulings(self.journal, self.models)

    @cached_property
    def judge(self) -> Judge:
        """Gates."""
        from millwright.gates.gate import parse_spec
        from millwright.gates.judge import Judge

        gate = None if self.policy.gate is None else parse_spec(self.policy.gate)
        return Judge(
            self.database,
            self.artifacts,
            self.journal,
            self.clock,
            datasets=self.datasets,
            packages=self.packages,
            runs=self.runs,
            gate=gate,
        )

    @cached_property
    def deployments(self) -> Deployments:
        """Who answers requests."""
        from millwright.deployments.controller import Deployments

        def move_champion(tx: Writer, act: Act, version: VersionRow) -> None:
            self.promotions.finish_rollout(tx, act, version)

        return Deployments(
            self.database,
            self.artifacts,
            self.journal,
            self.clock,
            on_promoted=move_champion,
        )

    @cached_property
    def intake(self) -> Intake:
        """Where serving processes send what they captured."""
        from millwright.deployments.intake import Intake

        return Intake(self.database, self.artifacts, self.journal, self.clock)

    @cached_property
    def promotions(self) -> Promotions:
        """The way by which a version comes to answer."""
        from millwright.governance.promotions import Promotions

        return Promotions(
            self.database,
            self.policy,
            aliases=self.aliases,
            approvals=self.approvals,
            deployments=self.deployments,
        )

    @cached_property
    def monitors(self) -> Monitors:
        """Watchers of deployments."""
        from millwright.monitoring.monitor import Monitors

        return Monitors(self.database, self.artifacts, self.journal, self.clock)

    @cached_property
    def alerts(self) -> Alerts:
        """What monitors found."""
        from millwright.monitoring.alerts import Alerts

        return Alerts(self.database, self.journal, self.clock)

    @cached_property
    def labels(self) -> Labels:
        """Ground truth."""
        from millwright.monitoring.labels import Labels

        return Labels(self.database, self.artifacts, self.journal, self.clock)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What labels say of decisions."""
        from millwright.monitoring.performance import Outcomes

        return Outcomes(self.database, self.artifacts)

    @cached_property
    def rules(self) -> Rules:
        """What happens by itself."""
        from millwright.automation.rules import Rules

        return Rules(
            self.database,
            self.journal,
            self.clock,
            directory=self.directory,
            grants=self.grants,
        )

    @cached_property
    def webhooks(self) -> Webhooks:
        """Who elsewhere is told of what."""
        from millwright.automation.sealing import Seal
        from millwright.automation.webhooks import PURPOSE, Webhooks

        return Webhooks(
            self.database,
            self.journal,
            self.clock,
            seal=Seal(self.key.derive(PURPOSE)),
            allowed=self.webhook_origins,
        )

    @cached_property
    def deliveries(self) -> Deliveries:
        """Telling webhooks what happened."""
        from millwright.automation.deliveries import Deliveries
        from millwright.automation.posting import Poster

        return Deliveries(
            self.database,
            self.journal,
            self.jobs,
            self.clock,
            webhooks=self.webhooks,
            poster=Poster(),
        )

    @cached_property
    def decisions(self) -> Decisions:
        """Single decisions."""
        from millwright.governance.decisions import Decisions

        return Decisions(self.database, self.artifacts, self.journal, runs=self.runs)

    @cached_property
    def explanations(self) -> Explanations:
        """Why a decision came out as it did."""
        from millwright.governance.explanations import Explanations

        return Explanations(self.decisions, self.packages)
