"""`mill webhook`: made, listed, tried out and removed."""

from __future__ import annotations

import io

import pytest

from fixtures.command_line import Mill
from fixtures.receivers import receiving
from millwright.cli.webhook import EVENTS, parse_events
from millwright.core.errors import Invalid
from millwright.records.automation import Webhook, WebhookTest

URL = "https://hooks.example.com/x"


def made(mill: Mill, *more: str) -> Webhook:
    """Make a webhook."""
    return mill.ok("webhook", "create", "tell", URL, *more, "--json").record(Webhook)


def test_a_webhook_from_its_making_to_its_end(mill: Mill) -> None:
    assert mill.ok("webhook", "list").err.startswith("There are no webhooks yet")
    assert "would create webhook\n" in mill.ok("webhook", "create", "tell", URL, "--dry-run").out
    ended = mill.ok("webhook", "create", "tell", URL, "--event", "prompt.created")
    assert ended.plain == (
        "webhook  tell\nid  whk_ID\nurl  https://hooks.example.com/x\nevents  prompt.created\n"
        "description  -\nstatus  active\nsigned  no\n"
    )
    assert ended.err.startswith("Try it: mill webhook test whk_")
    hook = mill.ok("webhook", "list", "--json").record(list[Webhook])[0]
    assert hook.events == ["prompt.created"]
    assert "would delete webhook\n" in mill.ok("webhook", "delete", hook.id, "--dry-run").out
    assert mill.ok("webhook", "delete", hook.id).out == f"{hook.id} is told nothing any more\n"
    assert mill("webhook", "delete", hook.id).code == 3
    assert mill.ok("webhook", "list").out == ""


def test_a_secret_is_taken_from_where_nobody_sees_it(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not made(mill).is_signed
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))
    assert made(mill, "--secret-stdin").is_signed
    mill.environment["MILLWRIGHT_WEBHOOK_SECRET"] = "s3cret"
    assert made(mill).is_signed
    assert "s3cret" not in mill.ok("webhook", "list").out


def test_what_cannot_be_is_a_usage_error(mill: Mill) -> None:
    assert mill("webhook", "create", "tell", "http://127.0.0.1:9000/").code == 2
    ended = mill("webhook", "create", "tell", URL, "--event", "model_version.create")
    assert (ended.code, "model_version.created" in ended.err) == (2, True)
    assert mill("webhook", "test", "whk_1").code == 2


@pytest.mark.sockets
def test_trying_it_out_says_what_came_of_it(mill: Mill) -> None:
    with receiving() as receiver:
        settings = mill.folder / "millwright.toml"
        with settings.open("a") as file:
            file.write(f'\n[webhooks]\nallow = ["{receiver.origin}"]\n')
        hook = mill.ok("webhook", "create", "tell", receiver.url, "--json").record(Webhook)
        tried = mill.ok("webhook", "test", hook.id, "--json").record(WebhookTest)
        assert (tried.success, tried.status) == (True, 200)
        assert mill.ok("webhook", "test", hook.id, "--event", "prompt.created").plain == (
            "taken  yes\nstatus  200\nanswer  thanks\nwhy  -\n"
        )
        receiver.answers = [500]
        assert mill("webhook", "test", hook.id).code == 1
        assert [one.event for one in receiver.received] == [EVENTS[0], "prompt.created", EVENTS[0]]
        shown = mill.ok("config").out
        assert receiver.origin in shown


def test_events_are_named_or_all() -> None:
    assert parse_events(["all"]) == list(EVENTS)
    assert parse_events(["prompt.created"]) == ["prompt.created"]
    with pytest.raises(Invalid, match="no webhook can be told of 'all'"):
        parse_events(["prompt.created", "all"])
