"""Runs: what was executed, from which code and environment, with what result."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import ActorId, ExperimentId, RunId

RunKind: TypeAlias = Literal["script", "pipeline", "step"]
RunStatus: TypeAlias = Literal["running", "finished", "failed", "cancelled"]


class Experiment(Struct, frozen=True, kw_only=True):
    """A named set of runs; `number` is its id on MLflow's routes."""

    id: ExperimentId
    number: int
    name: str
    created_us: int


class RunSource(Struct, frozen=True, kw_only=True):
    """What a run was made from, enough to make it again."""

    command: list[str]
    python: str
    platform: str
    environment_digest: Digest | None = None
    """The installed distributions and their versions, as an artifact."""
    code_digest: Digest | None = None
    """The project's source files, as an artifact tree."""
    git_commit: str | None = None
    git_diff_digest: Digest | None = None
    """What was changed and not committed, as a patch; None when nothing was."""
    process: str | None = None
    """Machine, boot, process and its start, by which one sees that it is gone."""


class RunLink(Struct, frozen=True, kw_only=True):
    """One thing a run read or made."""

    way: Literal["input", "output"]
    name: str
    what: str
    """`dataset_version`, `model_version` or `artifact`."""
    id: str
    digest: Digest


class MetricPoint(Struct, frozen=True, kw_only=True):
    """One value of a metric; `value` None stands for not-a-number."""

    key: str
    value: float | None
    step: int = 0
    time_us: int = 0


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong, in the three parts of an error."""

    code: str
    what: str
    why: str = ""
    fix: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """A run with everything that was logged to it, the newest value of each metric."""

    id: RunId
    experiment: str
    parent: RunId | None
    pipeline: str | None
    kind: RunKind
    name: str
    status: RunStatus
    actor: ActorId
    start_us: int
    end_us: int | None
    source: RunSource
    error: Problem | None
    log_digest: Digest | None
    telemetry_digest: Digest | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float | None]
    links: list[RunLink]
