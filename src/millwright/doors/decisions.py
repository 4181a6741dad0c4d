"""The door to single decisions: what was decided, by what, proved and explained."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import DecisionId
from millwright.doors.audit import Proof
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.data import DatasetVersion
from millwright.records.models import AliasChange, Approval, GateReport, ModelVersion
from millwright.records.runs import Run
from millwright.records.serving import Cell, Decision, SegmentHeader


class SegmentProof(Struct, frozen=True, kw_only=True):
    """That one decision stands in a sealed segment (RFC 9162 §2.1.3)."""

    index: int
    size: int
    leaf: str
    path: list[str]
    root: str


class DecisionChain(Struct, frozen=True, kw_only=True):
    """One decision and all that led to it, with proofs."""

    decision: Decision
    label: Cell
    segment: SegmentHeader
    in_segment: SegmentProof
    in_journal: Proof
    """That the segment's root stands in the journal."""
    model_version: ModelVersion
    run: Run | None
    datasets: list[DatasetVersion]
    gates: list[GateReport]
    approvals: list[Approval]
    aliases: list[AliasChange]


class Explanation(Struct, frozen=True, kw_only=True):
    """What each raw input column added to the score, compared with the training rows."""

    decision: DecisionId
    model_digest: Digest
    method: str
    scale: str
    """What the contributions add up to: a `probability`, a `margin` or a `prediction`."""
    output: float
    """The score that is explained."""
    base: float
    """The mean score over the background rows."""
    contributions: dict[str, float]
    """Column -> what it added; with `base` they add up to `output`."""
    residue: float
    """output - base - sum of contributions."""
    background_rows: int
    standard_error: dict[str, float] | None = None
    """Of each contribution, where they were sampled; None where they are exact."""


class Decisions(Protocol):
    """Decisions that were captured."""

    @operation("GET", "/decisions/{id}", needs=Permission.DECISION_READ)
    def show(self, *, id: DecisionId) -> DecisionChain:
        """Return a decision's chain: version, run, data, verdicts, approvals, proofs."""
        ...

    @operation("POST", "/decisions/{id}/explanation", needs=Permission.DECISION_READ)
    def explain(self, *, id: DecisionId) -> Explanation:
        """Return each raw column's contribution to the decision's score."""
        ...
