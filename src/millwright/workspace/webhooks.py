"""The embedded door's service of webhooks."""

from __future__ import annotations

from millwright.core.ids import WebhookId
from millwright.doors.webhooks import FoundWebhooks
from millwright.records.automation import Webhook, WebhookEvent, WebhookStatus, WebhookTest
from millwright.workspace.services import Service


class Webhooks(Service):
    """Fills `doors.webhooks.Webhooks`."""

    def page(self, *, limit: int = 100, token: str | None = None) -> FoundWebhooks:
        found = self.home.webhooks.list_page(self.session.key, limit=limit, token=token)
        return FoundWebhooks(webhooks=found.webhooks, next_token=found.next_token)

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
        return self.home.webhooks.create(
            self.session.act(reason),
            name=name,
            url=url,
            events=events,
            description=description,
            secret=secret,
            status=status,
        )

    def show(self, *, id: WebhookId) -> Webhook:
        return self.home.webhooks.get(self.session.key, id)

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
        return self.home.webhooks.change(
            self.session.act(reason),
            id,
            name=name,
            url=url,
            events=events,
            description=description,
            secret=secret,
            status=status,
        )

    def delete(self, *, id: WebhookId, reason: str = "") -> None:
        self.home.webhooks.delete(self.session.act(reason), id)

    def test(self, *, id: WebhookId, event: WebhookEvent | None = None) -> WebhookTest:
        return self.home.deliveries.try_out(self.session.key, id, event)
