"""Rules, by which an event starts a job, and webhooks, by which one is told elsewhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.ids import ActorId, RuleId, WebhookId
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


WebhookEvent: TypeAlias = Literal[
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
]
"""What can be told elsewhere, in MLflow's words: an entity and what was done with it."""
WebhookStatus: TypeAlias = Literal["active", "disabled"]


class Webhook(Struct, frozen=True, kw_only=True):
    """An address elsewhere that is told of events; its secret is never shown."""

    id: WebhookId
    name: str
    description: str
    url: str
    events: list[WebhookEvent]
    status: WebhookStatus
    is_signed: bool
    """Whether it has a secret, by which its receiver knows that we sent it."""
    created_us: int
    changed_us: int


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What came of sending an example to a webhook, once."""

    success: bool
    status: int | None = None
    """The HTTP status of the answer; None where there was none."""
    body: str = ""
    """The beginning of the answer."""
    error: str = ""
    """Why there was no answer, or the example was not sent."""
