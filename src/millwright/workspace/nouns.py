"""Every noun of the embedded door: its service behind the one permission check."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from millwright.doors.access import Access
from millwright.doors.artifacts import Artifacts
from millwright.doors.audit import Audit
from millwright.doors.data import Data
from millwright.doors.decisions import Decisions
from millwright.doors.deployments import Deployments, Labels, Serving
from millwright.doors.experiments import Experiments
from millwright.doors.files import Files
from millwright.doors.jobs import Jobs
from millwright.doors.logged_models import LoggedModels
from millwright.doors.models import Gates, Models
from millwright.doors.monitors import Alerts, Monitors, Rules
from millwright.doors.runs import Runs
from millwright.doors.studies import Studies
from millwright.doors.webhooks import Webhooks
from millwright.workspace import (
    access,
    artifacts,
    operation,
    registry,
    services,
    tracked,
    tracking,
    webhooks,
)
from millwright.workspace.guard import guard

if TYPE_CHECKING:
    from millwright.workspace.open import Home
    from millwright.workspace.session import Session

T = TypeVar("T")


class Nouns:
    """What can be done in one project of a home, as one principal."""

    def __init__(self, home: Home, session: Session) -> None:
        self.home = home
        self.session = session
        self.artifacts: Artifacts = artifacts.Artifacts(home, session)
        self.access = self._guard(Access, "access", access.Access(home, session))
        self.alerts = self._guard(Alerts, "alerts", operation.Alerts(home, session))
        self.audit = self._guard(Audit, "audit", services.Audit(home, session))
        self.data = self._guard(Data, "data", services.Data(home, session))
        self.decisions = self._guard(Decisions, "decisions", operation.Decisions(home, session))
        self.deployments = self._guard(
            Deployments, "deployments", operation.Deployments(home, session)
        )
        self.experiments = self._guard(
            Experiments, "experiments", tracking.Experiments(home, session)
        )
        self.files = self._guard(Files, "files", tracked.Files(home, session))
        self.gates = self._guard(Gates, "gates", services.Gates(home, session))
        self.jobs = self._guard(Jobs, "jobs", services.Jobs(home, session))
        self.labels = self._guard(Labels, "labels", operation.Labels(home, session))
        self.logged_models = self._guard(
            LoggedModels, "logged_models", tracked.LoggedModels(home, session)
        )
        self.models = self._guard(Models, "models", registry.Models(home, session))
        self.monitors = self._guard(Monitors, "monitors", operation.Monitors(home, session))
        self.rules = self._guard(Rules, "rules", operation.Rules(home, session))
        self.runs = self._guard(Runs, "runs", tracking.Runs(home, session))
        self.serving = self._guard(Serving, "serving", operation.Serving(home, session))
        self.studies = self._guard(Studies, "studies", tracked.Studies(home, session))
        self.webhooks = self._guard(Webhooks, "webhooks", webhooks.Webhooks(home, session))

    def _guard(self, door: type[T], noun: str, service: T) -> T:
        return guard(
            door,
            noun,
            service,
            principal=self.session.principal,
            project_key=self.session.key,
            project=self.session.project_name,
        )
