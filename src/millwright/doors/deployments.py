"""The door to deployments, rollouts, and what serving processes follow and send."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.deployments import Deployment, Rollout, RolloutPlan
from millwright.records.serving import (
    DecisionPolicy,
    Label,
    Plans,
    Segment,
    SegmentHeader,
)


class LabelsTaken(Struct, frozen=True, kw_only=True):
    """What became of labels that were sent."""

    joined: int
    """For decisions that segments hold."""
    unknown: int
    """For decision ids that no segment holds yet; kept, and joined when one does."""
    corrected: int
    """Of decisions that had another label before."""


class Deployments(Protocol):
    """Models that answer requests under a name."""

    @operation("GET", "/deployments", needs=Permission.DEPLOYMENT_READ)
    def list_all(self) -> list[Deployment]:
        """Return the project's deployments, by name."""
        ...

    @operation("POST", "/deployments", needs=Permission.DEPLOYMENT_WRITE)
    def create(
        self, *, name: str, model: str, policy: DecisionPolicy | None = None, reason: str = ""
    ) -> Deployment:
        """Let a model version answer all requests to `name`."""
        ...

    @operation("GET", "/deployments/{name}", needs=Permission.DEPLOYMENT_READ)
    def show(self, *, name: str) -> Deployment:
        """Return one deployment: which versions answer, and for what share of the keys."""
        ...

    @operation("POST", "/deployments/{name}/rollouts", needs=Permission.DEPLOYMENT_WRITE)
    def roll_out(
        self, *, name: str, model: str, plan: RolloutPlan | None = None, reason: str = ""
    ) -> Rollout:
        """Begin to let a model version in, step by step; Conflict while another is on its way."""
        ...

    @operation("GET", "/deployments/{name}/rollouts", needs=Permission.DEPLOYMENT_READ)
    def rollouts(self, *, name: str) -> list[Rollout]:
        """Return the rollouts of a deployment with every look taken, newest first."""
        ...

    @operation("POST", "/deployments/{name}/abort", needs=Permission.DEPLOYMENT_ROLLBACK)
    def abort(self, *, name: str, reason: str) -> Rollout:
        """End the running rollout; the champion answers everything again."""
        ...

    @operation("POST", "/deployments/{name}/rollback", needs=Permission.DEPLOYMENT_ROLLBACK)
    def rollback(self, *, name: str, reason: str) -> Deployment:
        """Let the version answer that did before; the model's champion moves with it."""
        ...


class Serving(Protocol):
    """What a serving process asks and tells."""

    @operation("GET", "/serving/plans", needs=Permission.SERVE_FOLLOW)
    def plans(self, *, after: int = -1, wait_s: float = 0.0) -> Plans:
        """Return all plans; with `wait_s`, as soon as their revision is above `after`."""
        ...

    @operation("POST", "/serving/segments", needs=Permission.DECISION_WRITE)
    def seal(self, *, header: SegmentHeader) -> Segment:
        """Anchor a sealed segment, whose index and payload are stored already.

        The same segment sent again is the same segment. Refused when root, counts or digests
        do not fit the stored bytes.
        """
        ...


class Labels(Protocol):
    """Ground truth."""

    @operation("POST", "/deployments/{deployment}/labels", needs=Permission.LABEL_WRITE)
    def add(self, *, deployment: str, labels: list[Label], reason: str = "") -> LabelsTaken:
        """Record what turned out to be true of decisions, by their ids."""
        ...
