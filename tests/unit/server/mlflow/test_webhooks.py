from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from fixtures.mlflow_api import INVALID, MISSING, Api
from fixtures.receivers import Receiver, receiving
from millwright.core.ids import from_hex

pytestmark = pytest.mark.sockets

EVENT = {"entity": "MODEL_VERSION", "action": "CREATED"}
URL = "https://hooks.example.com/s3cret"


@pytest.fixture
def receiver(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setattr(api.home.webhooks, "allowed", (receiver.origin,))
        yield receiver


def made(api: Api, **given: Any) -> dict[str, Any]:
    return api.post("webhooks", **({"name": "tell", "url": URL, "events": [EVENT]} | given))[
        "webhook"
    ]


def test_one_is_made_shown_changed_and_removed(api: Api) -> None:
    hook = made(api, description="for the team", secret="s3cret!", status="ACTIVE")
    assert {key: hook[key] for key in ("name", "description", "url", "events", "status")} == {
        "name": "tell",
        "description": "for the team",
        "url": URL,
        "events": [EVENT],
        "status": "ACTIVE",
    }
    assert set(hook) == {
        *("webhook_id", "name", "description", "url", "events", "status"),
        *("creation_timestamp", "last_updated_timestamp"),
    }
    digits = hook["webhook_id"]
    assert api.get(f"webhooks/{digits}")["webhook"] == hook
    assert api.get(f"webhooks/{uuid.UUID(digits)}")["webhook"] == hook
    given = {
        "webhook_id": digits,
        "name": "other",
        "description": "",
        "status": "DISABLED",
        "events": [{"entity": "PROMPT_TAG", "action": "SET"}],
    }
    changed = api.ok("PATCH", f"webhooks/{digits}", given)["webhook"]
    assert (changed["name"], changed["description"], changed["status"], changed["url"]) == (
        "other",
        "",
        "DISABLED",
        URL,
    )
    assert changed["events"] == [{"entity": "PROMPT_TAG", "action": "SET"}]
    assert api.ok("DELETE", f"webhooks/{digits}", {"webhook_id": digits}) == {}
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        assert api.no(method, f"webhooks/{digits}{path}", {}) == (
            404,
            MISSING,
            f"Webhook with ID {digits} not found.",
        )


def test_a_secret_is_changed_and_never_shown(api: Api) -> None:
    digits = made(api, secret="s3cret!")["webhook_id"]
    hook = api.me.webhooks.show(id=from_hex(digits, "whk"))  # pyright: ignore[reportArgumentType]
    assert hook.is_signed
    assert "s3cret!" not in str(api.get("webhooks"))
    api.ok("PATCH", f"webhooks/{digits}", {"name": "still"})
    assert api.me.webhooks.show(id=hook.id).is_signed
    api.ok("PATCH", f"webhooks/{digits}", {"secret": ""})
    assert not api.me.webhooks.show(id=hook.id).is_signed


def test_pages_are_read_on(api: Api) -> None:
    ids = [made(api, name=f"hook-{number}")["webhook_id"] for number in range(3)]
    first = api.get("webhooks", max_results=2)
    assert [one["webhook_id"] for one in first["webhooks"]] == ids[:0:-1]
    rest = api.get("webhooks", max_results=2, page_token=first["next_page_token"])
    assert rest["webhooks"][0]["webhook_id"] == ids[0]
    assert api.no("GET", "webhooks", {"max_results": 1001})[:2] == (400, INVALID)
    assert api.no("GET", "webhooks", {"page_token": "x"})[:2] == (400, INVALID)
    for digits in ids:
        api.ok("DELETE", f"webhooks/{digits}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": None}, "Missing value for required parameter 'name'"),
        ({"url": ""}, "Missing value for required parameter 'url'"),
        ({"events": []}, "Missing value for required parameter 'events'"),
        ({"name": "a b"}, "cannot be the name of a webhook"),
        ({"url": "http://example.com"}, "only https is allowed"),
        ({"url": "https://169.254.169.254/"}, "no address of the open network"),
        ({"url": "https://a:b@example.com/"}, "holds a name or a password"),
        ({"status": "PAUSED"}, "Invalid webhook status: 'PAUSED'"),
        (
            {"events": [{"entity": "MODEL_VERSION_TAG", "action": "CREATED"}]},
            "'created' for entity 'model_version_tag'. Valid actions are: ['deleted', 'set']",
        ),
        (
            {"events": [{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}]},
            "tells of no events of the entity 'budget_policy'",
        ),
    ],
)
def test_what_cannot_be_is_said_so(api: Api, given: dict[str, Any], said: str) -> None:
    status, code, message = api.no(
        "POST", "webhooks", {"name": "tell", "url": URL, "events": [EVENT]} | given
    )
    assert (status, code) == (400, INVALID)
    assert said in message
    assert "s3cret" not in message


def test_a_test_says_what_came_of_it(api: Api, receiver: Receiver) -> None:
    digits = made(api, url=receiver.url, secret="k")["webhook_id"]
    assert api.post(f"webhooks/{digits}/test")["result"] == {
        "success": True,
        "response_status": 200,
        "response_body": "thanks",
    }
    receiver.answers = [503]
    event = {"entity": "PROMPT", "action": "CREATED"}
    result = api.post(f"webhooks/{digits}/test", event=event)["result"]
    assert (result["success"], result["response_status"]) == (False, 503)
    assert [one.event for one in receiver.received] == ["model_version.created", "prompt.created"]
    assert all(one.is_signed_with("k") for one in receiver.received)


def test_a_test_of_one_that_may_not_be_reached_says_why(api: Api) -> None:
    digits = made(api, url="https://localhost:1/x")["webhook_id"]
    result = api.post(f"webhooks/{digits}/test")["result"]
    assert result["success"] is False
    assert "no address of the open network" in result["error_message"]
