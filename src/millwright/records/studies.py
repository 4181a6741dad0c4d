"""Studies: searches for good hyperparameters, whose trials are runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.ids import ActorId, RunId
from millwright.records.runs import Infinite, RunStatus

Direction: TypeAlias = Literal["minimize", "maximize"]
TrialState: TypeAlias = Literal["running", "complete", "pruned", "failed"]
TrialEnd: TypeAlias = Literal["complete", "pruned", "failed"]
"""Pruned: given up early, since it would not have become the best."""


class FloatRange(Struct, frozen=True, kw_only=True, tag="float"):
    """A number in [low, high]; with `log`, tried evenly in its logarithm."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


class IntRange(Struct, frozen=True, kw_only=True, tag="int"):
    """A whole number in [low, high]."""

    low: int
    high: int
    log: bool = False
    step: int = 1


class Choice(Struct, frozen=True, kw_only=True, tag="choice"):
    """One of these texts; numbers and truths are given as parameters spell them."""

    values: list[str]


Dimension: TypeAlias = FloatRange | IntRange | Choice
SearchSpace: TypeAlias = dict[str, Dimension]
"""Parameter -> what is tried of it."""


class Trial(Struct, frozen=True, kw_only=True):
    """One attempt of a study: a run under the study's."""

    number: int
    """Counted from 0."""
    run: RunId
    state: TrialState
    params: dict[str, str]
    value: float | Infinite | None
    """The newest value of the study's metric; None for none, or what is not a number."""
    step: int | None = None
    """At which step that was."""
    best_so_far: float | Infinite | None = None
    """The best value of this and all complete trials before it."""
    start_us: int
    end_us: int | None


class TrialCounts(Struct, frozen=True, kw_only=True):
    """How many trials there are in each state."""

    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0


class Study(Struct, frozen=True, kw_only=True):
    """A search for the parameters with the best value of one metric."""

    run: RunId
    """The run whose children its trials are."""
    name: str
    experiment: str
    status: RunStatus
    metric: str
    direction: Direction
    space: SearchSpace
    actor: ActorId
    start_us: int
    end_us: int | None
    trials: TrialCounts
    best: Trial | None
    """The complete trial with the best value, the earliest of equals."""
