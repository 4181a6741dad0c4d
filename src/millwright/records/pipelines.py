"""Pipelines: what a plan says, and how each step of a run ended."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import RunId

StepOutcome: TypeAlias = Literal["running", "ran", "cached", "failed", "skipped"]


class StepOutput(Struct, frozen=True, kw_only=True):
    """One result of a step, kept in the artifact store."""

    name: str
    kind: str
    """How to read it back: `json`, `table`, `array`, `model`, `bytes`, `folder`."""
    digest: Digest


class Fingerprint(Struct, frozen=True, kw_only=True):
    """Why a step's result is what it is: the digest, and the parts it was made from."""

    digest: Digest
    parts: dict[str, str]
    """`code:<function>`, `input:<name>`, `param:<name>`, `environment` -> digest or value."""


class PlannedStep(Struct, frozen=True, kw_only=True):
    """What will happen to one step, and why."""

    step: str
    action: Literal["run", "reuse", "unknown"]
    """`unknown`: it depends on a result that does not exist yet."""
    why: str
    after: list[str]


class StepRun(Struct, frozen=True, kw_only=True):
    """One step of one pipeline run."""

    run: RunId
    step: str
    outcome: StepOutcome
    why: str
    fingerprint: Fingerprint | None
    outputs: list[StepOutput]
    start_us: int
    end_us: int | None
    log_digest: Digest | None = None


class PipelineRun(Struct, frozen=True, kw_only=True):
    """One execution of a pipeline."""

    run: RunId
    pipeline: str
    status: str
    steps: list[StepRun]
