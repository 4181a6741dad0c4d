"""All doors under their nouns: what `Workspace` and `Client` both are."""

from __future__ import annotations

from typing import Protocol

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
from millwright.doors.operation import BoundOperation, operations_of
from millwright.doors.runs import Runs
from millwright.doors.studies import Studies
from millwright.doors.views import Views
from millwright.doors.webhooks import Webhooks

NOUNS: dict[str, type] = {
    "access": Access,
    "alerts": Alerts,
    "audit": Audit,
    "data": Data,
    "decisions": Decisions,
    "deployments": Deployments,
    "experiments": Experiments,
    "files": Files,
    "gates": Gates,
    "jobs": Jobs,
    "labels": Labels,
    "logged_models": LoggedModels,
    "models": Models,
    "monitors": Monitors,
    "rules": Rules,
    "runs": Runs,
    "serving": Serving,
    "studies": Studies,
    "views": Views,
    "webhooks": Webhooks,
}
"""Noun -> the Protocol that declares its operations; `artifacts` stands apart, since it streams."""


class Door(Protocol):
    """A way into one project of one home, as one actor."""

    @property
    def access(self) -> Access:
        """People, service accounts, projects and tokens."""
        ...

    @property
    def alerts(self) -> Alerts:
        """What monitors found."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Stored bytes."""
        ...

    @property
    def audit(self) -> Audit:
        """The journal."""
        ...

    @property
    def data(self) -> Data:
        """Datasets."""
        ...

    @property
    def decisions(self) -> Decisions:
        """Single decisions."""
        ...

    @property
    def deployments(self) -> Deployments:
        """Deployments and rollouts."""
        ...

    @property
    def experiments(self) -> Experiments:
        """Named sets of runs."""
        ...

    @property
    def files(self) -> Files:
        """Artifacts by path."""
        ...

    @property
    def gates(self) -> Gates:
        """Verdicts."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Durable work, and the state of the whole."""
        ...

    @property
    def labels(self) -> Labels:
        """Ground truth."""
        ...

    @property
    def logged_models(self) -> LoggedModels:
        """What runs made."""
        ...

    @property
    def models(self) -> Models:
        """The registry."""
        ...

    @property
    def monitors(self) -> Monitors:
        """Watchers of deployments."""
        ...

    @property
    def rules(self) -> Rules:
        """What happens by itself."""
        ...

    @property
    def runs(self) -> Runs:
        """What was executed."""
        ...

    @property
    def serving(self) -> Serving:
        """What serving processes ask and tell."""
        ...

    @property
    def studies(self) -> Studies:
        """Searches for good hyperparameters."""
        ...

    @property
    def views(self) -> Views:
        """Searches for runs under names."""
        ...

    @property
    def webhooks(self) -> Webhooks:
        """Who elsewhere is told of what."""
        ...

    def close(self) -> None:
        """Let go of what the door holds open."""
        ...


def all_operations() -> list[BoundOperation]:
    """Return every operation of every noun."""
    return [bound for noun, door in NOUNS.items() for bound in operations_of(noun, door)]
