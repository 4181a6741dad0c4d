"""Models: versions that never change, aliases that do, verdicts and approvals between them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import (
    ActorId,
    ApprovalId,
    EventId,
    GateId,
    LoggedModelId,
    ModelId,
    ModelVersionId,
    RunId,
)
from millwright.records.schema import Signature

Risk: TypeAlias = Literal["low", "high"]
Stage: TypeAlias = Literal["None", "Staging", "Production", "Archived"]
"""Where a version stands for clients that know no aliases."""
Verdict: TypeAlias = Literal["pass", "fail", "undetermined"]


class Model(Struct, frozen=True, kw_only=True):
    """A named series of versions."""

    id: ModelId
    name: str
    risk: Risk
    created_us: int
    versions: int
    """How many there are; deleted ones are not counted."""
    aliases: dict[str, int]
    """Alias -> the version number it points at now."""
    description: str = ""
    changed_us: int = 0
    governed: bool = True
    """Whether its protected aliases ask gate and approval."""
    deleted_us: int | None = None
    tags: dict[str, str] = {}


class ModelVersion(Struct, frozen=True, kw_only=True):
    """A package that never changes, known by the digest of what decides its answers."""

    id: ModelVersionId
    name: str
    version: int
    digest: Digest
    """Over weights, signature and requirements: the same fit gives the same digest."""
    package_digest: Digest
    """Over the whole MLmodel folder, as an artifact tree."""
    signature: Signature
    flavors: list[str]
    profile_digest: Digest | None
    """The profile of the rows it was trained on, which monitors compare with."""
    run: RunId | None
    actor: ActorId
    created_us: int
    description: str = ""
    source: str = ""
    """Where its client says that it came from."""
    run_link: str = ""
    logged_model: LoggedModelId | None = None
    stage: Stage = "None"
    deprecated: str | None = None
    """Why nobody should use it any more."""
    changed_us: int = 0
    deleted_us: int | None = None
    tags: dict[str, str] = {}
    aliases: list[str] = []


class AliasChange(Struct, frozen=True, kw_only=True):
    """One move of an alias; `version` None means that it was removed."""

    alias: str
    version: int | None
    previous: int | None
    time_us: int
    actor: ActorId
    reason: str
    event: EventId


class CheckResult(Struct, frozen=True, kw_only=True):
    """What one check of a gate found."""

    name: str
    kind: str
    verdict: Verdict
    message: str
    n: int
    """How many labelled rows it rests on."""
    value: float | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    """The interval of the value, or of the difference to the baseline where there is one."""
    threshold: float | None = None
    n_needed: int | None = None
    """With an undetermined verdict: about how many rows would decide it."""


class GateReport(Struct, frozen=True, kw_only=True):
    """One verdict on one model version, with its evidence."""

    id: GateId
    model: str
    version: int
    baseline: int | None
    verdict: Verdict
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    checks: list[CheckResult]
    evidence: dict[str, Digest]
    """What was judged on, by name: datasets, packages."""
    digest: Digest
    """Over the verdict and its figures; never over ids and times."""
    by_project_gate: bool = False
    """Whether it was the project's own gate that judged, not one that somebody chose."""
    actor: ActorId
    created_us: int


class Approval(Struct, frozen=True, kw_only=True):
    """A promotion that waits for somebody else's yes, or has had it."""

    id: ApprovalId
    model: str
    version: int
    alias: str
    digest: Digest
    state: Literal["waiting", "approved", "rejected", "used"]
    requested_by: ActorId
    requested_us: int
    reason: str
    decided_by: ActorId | None
    decided_us: int | None
    decision_reason: str | None
    expires_us: int


class Attestation(Struct, frozen=True, kw_only=True):
    """A signed statement of what a version is, and what is in its environment."""

    model: str
    version: int
    digest: Digest
    """Of the envelope, which the journal holds."""
    envelope: str
    """The statement, signed: a DSSE envelope with an in-toto statement, as JSON."""
    sbom: str | None
    """A CycloneDX bill of materials, as JSON; None where no environment is known in plain names."""
    key: str
    """The home's verifier key; who keeps it elsewhere need not take it from here."""
    event: EventId
    time_us: int


class PickleRuling(Struct, frozen=True, kw_only=True):
    """Whether the code in a version's files may be run by who loads it."""

    model: str
    version: int
    digest: Digest
    """Of the model; it holds for no other."""
    allowed: bool
    reason: str
    event: EventId | None
    """What said so; None when nobody has, and it is not allowed."""
