"""MLflow's routes of webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from msgspec import Struct

from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import WebhookId, from_hex, to_hex
from millwright.records.access import Permission
from millwright.records.automation import Webhook, WebhookEvent, WebhookStatus
from millwright.server.mlflow.call import Call, Endpoint, need
from millwright.server.mlflow.checks import required
from millwright.server.mlflow.errors import invalid, missing
from millwright.server.mlflow.spelling import Json

BASE = "/2.0/mlflow/webhooks"
MAX_WEBHOOKS = 1000
EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
STATUS: dict[str, WebhookStatus] = {"ACTIVE": "active", "DISABLED": "disabled"}


class _Event(Struct, frozen=True):
    entity: str = ""
    action: str = ""


class _Create(Struct, frozen=True):
    name: str | None = None
    description: str = ""
    url: str | None = None
    events: list[_Event] = []
    secret: str | None = None
    status: str | None = None


class _Change(Struct, frozen=True):
    name: str | None = None
    description: str | None = None
    url: str | None = None
    events: list[_Event] = []
    secret: str | None = None
    status: str | None = None


class _List(Struct, frozen=True):
    max_results: int | None = None
    page_token: str | None = None


class _Test(Struct, frozen=True):
    event: _Event | None = None


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of webhooks."""
    read, write = Permission.RULE_READ, Permission.RULE_WRITE
    yield Endpoint("POST", BASE, write, "write", create)
    yield Endpoint("GET", BASE, read, "read", list_page)
    yield Endpoint("GET", f"{BASE}/{{webhook_id}}", read, "read", get)
    yield Endpoint("PATCH", f"{BASE}/{{webhook_id}}", write, "write", change)
    yield Endpoint("DELETE", f"{BASE}/{{webhook_id}}", write, "write", delete)
    yield Endpoint("POST", f"{BASE}/{{webhook_id}}/test", write, "work", test)


def create(call: Call) -> Json:
    """Make a webhook."""
    given = call.read(_Create)
    name, url = need(given.name, "name"), need(given.url, "url")
    if not given.events:
        raise invalid(required("events"))
    made = call.door.webhooks.create(
        name=name,
        url=url,
        events=_events(given.events),
        description=given.description,
        secret=given.secret,
        status=_status(given.status) or "active",
    )
    return {"webhook": webhook_json(made)}


def list_page(call: Call) -> Json:
    """Return webhooks, newest first."""
    given = call.read(_List)
    limit = given.max_results or 100
    if not 1 <= limit <= MAX_WEBHOOKS:
        raise invalid(f"max_results must be between 1 and {MAX_WEBHOOKS}.")
    found = call.door.webhooks.page(limit=limit, token=given.page_token or None)
    answer: Json = {"webhooks": [webhook_json(one) for one in found.webhooks]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def get(call: Call) -> Json:
    """Return a webhook."""
    return {"webhook": webhook_json(_found(call))}


def change(call: Call) -> Json:
    """Change what is given of a webhook."""
    given = call.read(_Change)
    changed = call.door.webhooks.change(
        id=_found(call).id,
        name=given.name or None,
        url=given.url or None,
        events=_events(given.events) or None,
        description=given.description,
        secret=given.secret,
        status=_status(given.status),
    )
    return {"webhook": webhook_json(changed)}


def delete(call: Call) -> Json:
    """Remove a webhook."""
    call.door.webhooks.delete(id=_found(call).id)
    return {}


def test(call: Call) -> Json:
    """Send a webhook an example, and return what came of it."""
    given = call.read(_Test).event
    event = None if given is None else _events([given])[0]
    tried = call.door.webhooks.test(id=_found(call).id, event=event)
    result: Json = {"success": tried.success}
    if tried.status is not None:
        result |= {"response_status": tried.status, "response_body": tried.body}
    if tried.error:
        result["error_message"] = tried.error
    return {"result": result}


def webhook_json(webhook: Webhook) -> Json:
    """Return a webhook as MLflow's entity; never with its secret."""
    return {
        "webhook_id": to_hex(webhook.id),
        "name": webhook.name,
        "description": webhook.description,
        "url": webhook.url,
        "events": [_event_json(event) for event in webhook.events],
        "status": webhook.status.upper(),
        "creation_timestamp": webhook.created_us // 1000,
        "last_updated_timestamp": webhook.changed_us // 1000,
    }


def _event_json(event: WebhookEvent) -> Json:
    entity, _, action = event.partition(".")
    return {"entity": entity.upper(), "action": action.upper()}


def _found(call: Call) -> Webhook:
    digits = call.part("webhook_id")
    try:
        # Clients may show an id with hyphens, as MLflow's own are.
        return call.door.webhooks.show(id=WebhookId(from_hex(digits.replace("-", ""), "whk")))
    except (NotFound, Invalid) as error:
        raise missing(f"Webhook with ID {digits} not found.") from error


def _events(given: Sequence[_Event]) -> list[WebhookEvent]:
    return [_event(one) for one in given]


def _event(given: _Event) -> WebhookEvent:
    wanted = f"{given.entity}.{given.action}".lower()
    for event in EVENTS:
        if event == wanted:
            return event
    entity, action = given.entity.lower(), given.action.lower()
    known = sorted(event.partition(".")[2] for event in EVENTS if event.startswith(f"{entity}."))
    if known:
        raise invalid(
            f"Invalid action '{action}' for entity '{entity}'. Valid actions are: {known}"
        )
    raise invalid(f"This server tells of no events of the entity '{entity}'.")


def _status(text: str | None) -> WebhookStatus | None:
    if not text:
        return None
    status = STATUS.get(text)
    if status is None:
        raise invalid(f"Invalid webhook status: '{text}'. It is one of {', '.join(STATUS)}.")
    return status
