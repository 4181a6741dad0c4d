"""Rules: which event starts which job."""

from __future__ import annotations

from msgspec import Struct

from millwright.core.ids import ActorId, RuleId
from millwright.records.events import JsonValue


class RuleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of `event` whose detail has the values of `where` starts a job of kind `job`.

    In `args`, a text `${field}` stands for that field of the event's detail.
    """

    event: str
    where: dict[str, JsonValue] = {}
    job: str
    args: dict[str, JsonValue] = {}
    cool_down_s: float = 0.0
    """After firing, further events are passed over for this long."""


class Rule(Struct, frozen=True, kw_only=True):
    """A rule and the actor as which it acts."""

    id: RuleId
    name: str
    spec: RuleSpec
    actor: ActorId
    enabled: bool
    created_us: int
