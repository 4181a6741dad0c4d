"""`mill webhook`: who elsewhere is told of what happens to models and prompts."""

from __future__ import annotations

import sys
from typing import Annotated, get_args

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Limit, Reason, noun
from millwright.core.errors import Failed, Invalid
from millwright.core.ids import WebhookId
from millwright.core.refs import did_you_mean
from millwright.records.automation import Webhook, WebhookEvent, WebhookTest

app = noun("Who elsewhere is told of what happens to models and prompts.")

EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
SECRET_VARIABLE = "MILLWRIGHT_WEBHOOK_SECRET"  # noqa: S105 (where it is, not what it is)

_Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def list_all(limit: Limit = 100) -> None:
    """List the project's webhooks, newest first, without their secrets."""
    here = session()
    found: list[Webhook] = []
    token: str | None = None
    with here.door() as door:
        while len(found) < limit:
            page = door.webhooks.page(limit=min(limit - len(found), 1000), token=token)
            found += page.webhooks
            token = page.next_token
            if token is None:
                break
    here.answer(
        found,
        lambda: text.table(
            ["name", "url", "events", "status", "signed", "id"],
            [
                (
                    one.name,
                    one.url,
                    ", ".join(one.events),
                    one.status,
                    "yes" if one.is_signed else "no",
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no webhooks yet. Make one: mill webhook create NAME URL",
    )


@app.command(
    help="Have an address told of what happens from now on. "
    f"A secret for signing is read from {SECRET_VARIABLE}, or with --secret-stdin."
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    url: Annotated[str, typer.Argument(metavar="URL", help="By https; see [webhooks] allow.")],
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="Such as model_version.created; or `all`."),
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read the secret's line from standard input.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make a webhook."""
    here = session()
    events = parse_events(event or ["all"])
    with here.door() as door:
        if dry_run:
            here.would("webhooks.create", name=name, url=url, events=events, reason=reason)
            return
        # An option would show the secret to whoever lists processes, and to the shell's history.
        secret = sys.stdin.readline().strip() if secret_stdin else None
        made = door.webhooks.create(
            name=name,
            url=url,
            events=events,
            description=description,
            secret=secret or here.environment.get(SECRET_VARIABLE) or None,
            reason=reason,
        )
    here.answer(made, lambda: webhook_lines(made))
    here.say(f"Try it: mill webhook test {made.id}")


@app.command()
def delete(webhook: _Id, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Remove a webhook; what waits to be told to it is told to nobody."""
    here = session()
    with here.door() as door:
        if dry_run:
            here.would("webhooks.delete", id=webhook, reason=reason)
            return
        here.confirm(f"Remove the webhook {webhook}?")
        door.webhooks.delete(id=WebhookId(webhook), reason=reason)
    here.answer({"id": webhook, "removed": True}, lambda: [f"{webhook} is told nothing any more"])


@app.command("test")
def try_out(
    webhook: _Id,
    event: Annotated[
        str | None,
        typer.Option("--event", metavar="EVENT", help="By default the first it is told of."),
    ] = None,
) -> None:
    """Send a webhook an example now, and say what came of it."""
    here = session()
    chosen = None if event is None else parse_events([event])[0]
    with here.door() as door:
        tried = door.webhooks.test(id=WebhookId(webhook), event=chosen)
    here.answer(tried, lambda: tried_lines(tried))
    if not tried.success:
        raise typer.Exit(Failed.exit_code)


def parse_events(names: list[str]) -> list[WebhookEvent]:
    """Return the events of these names; `all` is every one. Raises Invalid naming the nearest."""
    if names == ["all"]:
        return list(EVENTS)
    known: dict[str, WebhookEvent] = {event: event for event in EVENTS}
    for name in names:
        if name not in known:
            raise Invalid(
                f"no webhook can be told of {name!r}",
                why=f"there are: {', '.join(EVENTS)}",
                fix=did_you_mean(name, EVENTS),
            )
    return [known[name] for name in names]


def webhook_lines(webhook: Webhook) -> list[str]:
    """Return a webhook as names and values."""
    return text.facts(
        {
            "webhook": webhook.name,
            "id": webhook.id,
            "url": webhook.url,
            "events": ", ".join(webhook.events),
            "description": webhook.description or None,
            "status": webhook.status,
            "signed": "yes" if webhook.is_signed else "no",
        }
    )


def tried_lines(tried: WebhookTest) -> list[str]:
    """Return what came of a test as names and values."""
    return text.facts(
        {
            "taken": "yes" if tried.success else "no",
            "status": None if tried.status is None else str(tried.status),
            "answer": tried.body or None,
            "why": tried.error or None,
        }
    )
