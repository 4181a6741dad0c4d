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
from millwright.doors.views import Views
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
    # A type checker takes no cached property for the property that a Protocol promises.
    from builtins import property as made_once

    from millwright.workspace.open import Home
    from millwright.workspace.session import Session
else:
    from functools import cached_property as made_once

T = TypeVar("T")


class Nouns:
    """What can be done in one project of a home, as one principal."""

    def __init__(self, home: Home, session: Session) -> None:
        self.home = home
        self.session = session
        # Each noun is made when it is first asked for: a server makes a door for every request.

    @made_once
    def artifacts(self) -> Artifacts:
        """Stored bytes."""
        return artifacts.Artifacts(self.home, self.session)

    @made_once
    def access(self) -> Access:
        """People, service accounts, projects and tokens."""
        return self._guard(Access, "access", access.Access(*self._who))

    @made_once
    def alerts(self) -> Alerts:
        """What monitors found."""
        return self._guard(Alerts, "alerts", operation.Alerts(*self._who))

    @made_once
    def audit(self) -> Audit:
        """The journal."""
        return self._guard(Audit, "audit", services.Audit(*self._who))

    @made_once
    def data(self) -> Data:
        """Datasets."""
        return self._guard(Data, "data", services.Data(*self._who))

    @made_once
    def decisions(self) -> Decisions:
        """Single decisions."""
        return self._guard(Decisions, "decisions", operation.Decisions(*self._who))

    @made_once
    def deployments(self) -> Deployments:
        """Deployments and rollouts."""
        return self._guard(
            Deployments, "deployments", operation.Deployments(self.home, self.session)
        )

    @made_once
    def experiments(self) -> Experiments:
        """Named sets of runs."""
        return self._guard(
            Experiments, "experiments", tracking.Experiments(self.home, self.session)
        )

    @made_once
    def files(self) -> Files:
        """Artifacts by path."""
        return self._guard(Files, "files", tracked.Files(*self._who))

    @made_once
    def gates(self) -> Gates:
        """Verdicts."""
        return self._guard(Gates, "gates", services.Gates(*self._who))

    @made_once
    def jobs(self) -> Jobs:
        """Durable work, and the state of the whole."""
        return self._guard(Jobs, "jobs", services.Jobs(*self._who))

    @made_once
    def labels(self) -> Labels:
        """Ground truth."""
        return self._guard(Labels, "labels", operation.Labels(*self._who))

    @made_once
    def logged_models(self) -> LoggedModels:
        """What runs made."""
        return self._guard(
            LoggedModels, "logged_models", tracked.LoggedModels(self.home, self.session)
        )

    @made_once
    def models(self) -> Models:
        """The registry."""
        return self._guard(Models, "models", registry.Models(*self._who))

    @made_once
    def monitors(self) -> Monitors:
        """Watchers of deployments."""
        return self._guard(Monitors, "monitors", operation.Monitors(*self._who))

    @made_once
    def rules(self) -> Rules:
        """What happens by itself."""
        return self._guard(Rules, "rules", operation.Rules(*self._who))

    @made_once
    def runs(self) -> Runs:
        """What was executed."""
        return self._guard(Runs, "runs", tracking.Runs(*self._who))

    @made_once
    def serving(self) -> Serving:
        """What serving processes ask and tell."""
        return self._guard(Serving, "serving", operation.Serving(*self._who))

    @made_once
    def studies(self) -> Studies:
        """Searches for good hyperparameters."""
        return self._guard(Studies, "studies", tracked.Studies(*self._who))

    @made_once
    def views(self) -> Views:
        """Searches that somebody kept."""
        return self._guard(Views, "views", tracked.Views(*self._who))

    @made_once
    def webhooks(self) -> Webhooks:
        """Who is told of changes."""
        return self._guard(Webhooks, "webhooks", webhooks.Webhooks(*self._who))

    @property
    def _who(self) -> tuple[Home, Session]:
        return self.home, self.session

    def _guard(self, door: type[T], noun: str, service: T) -> T:
        return guard(
            door,
            noun,
            service,
            principal=self.session.principal,
            project_key=self.session.key,
            project=self.session.project_name,
        )
