"""Deployments and rollouts: which version answers, who gets the new one, and what was seen."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.ids import ActorId, DeploymentId, RolloutId
from millwright.records.serving import DecisionPolicy, Variant

RolloutState: TypeAlias = Literal["running", "promoted", "rolled_back", "inconclusive", "aborted"]


class Deployment(Struct, frozen=True, kw_only=True):
    """A model that answers requests under a name."""

    id: DeploymentId
    name: str
    model: str
    revision: int
    variants: list[Variant]
    policy: DecisionPolicy
    rollout: RolloutId | None
    created_us: int
    changed_us: int


class RolloutPlan(Struct, frozen=True, kw_only=True):
    """How a candidate is let in: the steps, the limits and how sure one wants to be."""

    steps: tuple[int, ...] = (500, 2500, 5000)
    """Shares of the keys, of 10,000, in rising order; then the candidate takes all."""
    alpha: float = 0.05
    """Chance, over all looks together, of rolling back a candidate that does no harm."""
    error_margin: float = 0.02
    """A rise of the error rate per key up to this is accepted."""
    slow_margin: float = 0.05
    """A rise of the share of slow answers per key up to this is accepted."""
    slow_after_us: int = 250_000
    min_keys: int = 50
    """Distinct keys each arm must have shown in a step before it can be passed."""
    max_step_s: float = 3600.0
    """A step that takes longer without an answer ends the rollout as inconclusive."""


class ArmSeen(Struct, frozen=True, kw_only=True):
    """What one arm has shown since the rollout began, by sticky key.

    Means and variances are over keys of each key's own rate: the key is the unit.
    """

    keys: int = 0
    requests: int = 0
    errors: int = 0
    slow: int = 0
    error_mean: float = 0.0
    error_variance: float = 0.0
    slow_mean: float = 0.0
    slow_variance: float = 0.0


class Observed(Struct, frozen=True, kw_only=True):
    """What `decide` is shown at one look."""

    step: int
    """Index into the plan's steps."""
    step_keys: int
    """Keys the candidate's arm has shown since this step began."""
    step_s: float
    """Seconds since this step began."""
    champion: ArmSeen
    candidate: ArmSeen


class Look(Struct, frozen=True, kw_only=True):
    """One look at a rollout: what was seen, what was decided and why."""

    n: int
    time_us: int
    seen: Observed
    action: Literal["hold", "advance", "promote", "roll_back", "give_up"]
    why: str
    error_difference: float | None
    error_low: float | None
    error_high: float | None
    slow_difference: float | None
    slow_low: float | None
    slow_high: float | None


class Rollout(Struct, frozen=True, kw_only=True):
    """One attempt to bring a candidate in."""

    id: RolloutId
    deployment: str
    champion: int
    candidate: int
    state: RolloutState
    plan: RolloutPlan
    step: int
    started_us: int
    step_started_us: int
    ended_us: int | None
    requested_by: ActorId
    why: str
    looks: list[Look]
