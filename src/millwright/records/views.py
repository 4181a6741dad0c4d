"""Saved views: searches for runs that somebody wants to see again."""

from __future__ import annotations

from msgspec import Struct

from millwright.core.ids import ActorId, ViewId
from millwright.records.runs import Lifecycle, RunKind


class ViewSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs a view shows, in which order, and what of each."""

    filter: str = ""
    order: list[str] = []
    experiments: list[str] = []
    """Names, or numbers written `#3`; empty for all of the project."""
    kinds: list[RunKind] = []
    lifecycle: Lifecycle = "active"
    columns: list[str] = []
    """As `metrics.auc` and `status`; empty for what is shown anyway."""


class View(Struct, frozen=True, kw_only=True):
    """A search under a name, the same for everybody of a project."""

    id: ViewId
    name: str
    spec: ViewSpec
    actor: ActorId
    """Who saved it last."""
    changed_us: int
