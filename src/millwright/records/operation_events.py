"""What happens to models at work, as records: deployments, decisions, monitors, rules."""

from __future__ import annotations

from millwright.records.events import Detail


class DeploymentCreated(Detail, frozen=True, kw_only=True):
    """A model answers requests under a name from now on."""

    name: str
    model: str
    version: int


class DeploymentChanged(Detail, frozen=True, kw_only=True):
    """Another version answers, or the shares changed."""

    name: str
    revision: int
    weights: dict[str, int]
    """Version -> share of the keys, of 10,000."""


class RolloutStarted(Detail, frozen=True, kw_only=True):
    """A candidate begins to be let in."""

    deployment: str
    champion: int
    candidate: int


class RolloutLooked(Detail, frozen=True, kw_only=True):
    """A look at a rollout changed its course; the subject carries the look's digest."""

    deployment: str
    action: str
    why: str


class RolloutEnded(Detail, frozen=True, kw_only=True):
    """A rollout is over."""

    deployment: str
    state: str
    why: str


class SegmentSealed(Detail, frozen=True, kw_only=True):
    """Captured decisions were sealed; the subject's digest commits to all of them."""

    deployment: str
    instance: str
    rows: int
    first_n: int
    last_n: int


class SegmentGap(Detail, frozen=True, kw_only=True):
    """Decisions are known to have been made that no segment holds."""

    deployment: str
    instance: str
    missing_from: int
    missing_to: int


class LabelsAdded(Detail, frozen=True, kw_only=True):
    """Ground truth arrived for decisions; the subject's digest commits to it."""

    deployment: str
    count: int


class MonitorCreated(Detail, frozen=True, kw_only=True):
    """A deployment is watched."""

    name: str
    deployment: str


class AlertRaised(Detail, frozen=True, kw_only=True):
    """A monitor found something."""

    monitor: str
    deployment: str
    version: int
    kind: str
    columns: list[str]
    message: str


class AlertClosed(Detail, frozen=True, kw_only=True):
    """An alert was acknowledged or closed."""

    state: str


class DecisionRead(Detail, frozen=True, kw_only=True):
    """Somebody looked at one decision."""

    deployment: str
    how: str


class WebhookChanged(Detail, frozen=True, kw_only=True):
    """A webhook was made, changed or removed."""

    name: str
    what: str
    origin: str = ""
    """Scheme, host and port it leads to; the rest of its address may be a secret."""
    events: tuple[str, ...] = ()
    """What it is told of from now on."""


class RuleCreated(Detail, frozen=True, kw_only=True):
    """From now on an event of one kind starts a job of another."""

    name: str
    event: str
    job: str


class RuleFired(Detail, frozen=True, kw_only=True):
    """A rule answered an event with a job."""

    name: str
    job: str
