"""The door to webhooks: who elsewhere is told of what."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.ids import WebhookId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.automation import Webhook, WebhookEvent, WebhookStatus, WebhookTest


class FoundWebhooks(Struct, frozen=True, kw_only=True):
    """One page of a listing, and the token by which to read on."""

    webhooks: list[Webhook]
    next_token: str | None


class Webhooks(Protocol):
    """Addresses elsewhere that are told of events; nobody is shown their secrets."""

    @operation("GET", "/webhooks", needs=Permission.RULE_READ)
    def page(self, *, limit: int = 100, token: str | None = None) -> FoundWebhooks:
        """Return the project's webhooks, newest first."""
        ...

    @operation("POST", "/webhooks", needs=Permission.RULE_WRITE)
    def create(
        self,
        *,
        name: str,
        url: str,
        events: list[WebhookEvent],
        description: str = "",
        secret: str | None = None,
        status: WebhookStatus = "active",
        reason: str = "",
    ) -> Webhook:
        """Have an address told of what happens from now on."""
        ...

    @operation("GET", "/webhooks/{id}", needs=Permission.RULE_READ)
    def show(self, *, id: WebhookId) -> Webhook:
        """Return one webhook."""
        ...

    @operation("PUT", "/webhooks/{id}", needs=Permission.RULE_WRITE)
    def change(
        self,
        *,
        id: WebhookId,
        name: str | None = None,
        url: str | None = None,
        events: list[WebhookEvent] | None = None,
        description: str | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
        reason: str = "",
    ) -> Webhook:
        """Change what is given and leave the rest; an empty secret signs nothing any more."""
        ...

    @operation("DELETE", "/webhooks/{id}", needs=Permission.RULE_WRITE)
    def delete(self, *, id: WebhookId, reason: str = "") -> None:
        """Remove a webhook; what waits to be told to it is told to nobody."""
        ...

    @operation("POST", "/webhooks/{id}/test", needs=Permission.RULE_WRITE)
    def test(self, *, id: WebhookId, event: WebhookEvent | None = None) -> WebhookTest:
        """Send an example now, by default of the first event, and return what came of it."""
        ...
