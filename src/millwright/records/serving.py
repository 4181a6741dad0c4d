"""What a serving process is told, and what it tells back: plans, decisions, segments."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import (
    DecisionId,
    DeploymentId,
    EventId,
    ModelVersionId,
    RolloutId,
    SegmentId,
)

Cell: TypeAlias = str | int | float | bool | None
"""One value of one input column; None stands for missing."""

WEIGHT_TOTAL = 10_000
"""Weights are shares of ten thousand."""


class Variant(Struct, frozen=True, kw_only=True):
    """One model version that answers for a deployment, and its share of the keys."""

    role: Literal["champion", "candidate"]
    version: int
    model_version: ModelVersionId
    digest: Digest
    package_digest: Digest
    weight: int
    """Share of the keys, of 10,000."""


class DecisionPolicy(Struct, frozen=True, kw_only=True):
    """How a score becomes an action; `version` names these very rules."""

    version: str
    threshold: float = 0.5
    action_at_or_above: str = "positive"
    action_below: str = "negative"


class DeploymentPlan(Struct, frozen=True, kw_only=True):
    """All that a serving process needs to answer for one deployment."""

    deployment: DeploymentId
    name: str
    project: str
    model: str
    revision: int
    """Raised at each change; a process acts on a plan only when it is newer than its own."""
    variants: list[Variant]
    policy: DecisionPolicy
    salt: str
    """Mixed into the sticky key; drawn anew for each rollout."""
    hash_key: str
    """64 hexadecimal digits: the key of the keyed hashes that stand for keys and subjects."""
    rollout: RolloutId | None = None
    slow_after_us: int | None = None
    """During a rollout: an answer that takes longer counts as slow."""


class Plans(Struct, frozen=True, kw_only=True):
    """The plans of all deployments a serving process may see, and their common revision."""

    revision: int
    plans: list[DeploymentPlan]


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer given, as it is captured."""

    id: DecisionId
    n: int
    """Counts the decisions of one serving process for one deployment, without holes."""
    time_us: int
    deployment: DeploymentId
    revision: int
    role: Literal["champion", "candidate"]
    version: int
    digest: Digest
    inputs: dict[str, Cell]
    key: str
    """Keyed hash of the sticky key."""
    prediction: Cell = None
    score: float | None = None
    policy: str = ""
    action: str = ""
    subject: str | None = None
    case: str | None = None
    error: str | None = None
    """Why there was no answer; None when there was one."""
    queue_us: int = 0
    model_us: int = 0
    slow: bool = False
    rollout: RolloutId | None = None


class SegmentHeader(Struct, frozen=True, kw_only=True):
    """What a sealed segment says of itself; its digest and root are anchored in the journal."""

    id: SegmentId
    deployment: DeploymentId
    instance: str
    """Names one life of one serving process."""
    seq: int
    """Counts the segments of this instance and deployment from 0."""
    first_n: int
    last_n: int
    first_id: DecisionId
    last_id: DecisionId
    first_us: int
    last_us: int
    rows: int
    errors: int
    root: str
    """Hexadecimal root of the RFC 9162 tree over the rows' leaves."""
    index_digest: Digest
    """The leaves: decision ids and commitments; kept for ever."""
    payload_digest: Digest
    """The rows themselves, which can be erased."""
    sealed_by: Literal["time", "size", "stop", "recovery"]


class Segment(Struct, frozen=True, kw_only=True):
    """A sealed segment as the control plane holds it."""

    header: SegmentHeader
    event: EventId
    created_us: int


class Label(Struct, frozen=True, kw_only=True):
    """What turned out to be true of one decision; may come late and be corrected."""

    decision: DecisionId
    value: Cell
    time_us: int = 0
