"""`mill token`: credentials for the server."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun

app = noun("Credentials for the server.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="By which you know it again.")],
    actor: Annotated[
        str | None, typer.Option("--for", metavar="ACTOR", help="By default for yourself.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="A permission or a role; `*` is all."),
    ] = None,
    days: Annotated[float, typer.Option("--days", help="Until it expires.")] = 90.0,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make a token; its secret is printed once and kept nowhere."""
    here = session()
    scopes = scope or ["*"]
    with here.door() as door:
        if dry_run:
            here.would("access.create_token", name=name, actor=actor, scopes=scopes, days=days)
            return
        made = door.access.create_token(
            name=name, actor=actor, scopes=scopes, days=days, reason=reason
        )
    here.answer(made, lambda: [made.secret])
    token = made.token
    until = text.when(token.expires_us)
    here.say(
        f"Token {token.id} of {token.actor_name} opens {', '.join(token.scopes)} until {until}.",
        "It is shown once. Use it as MILLWRIGHT_TOKEN.",
    )


@app.command("list")
def list_all() -> None:
    """List your tokens, without their secrets."""
    here = session()
    with here.door() as door:
        found = door.access.tokens()
    here.answer(
        found,
        lambda: text.table(
            ["name", "actor", "project", "scopes", "expires", "revoked", "last used", "id"],
            [
                (
                    one.name,
                    one.actor_name,
                    one.project or "all",
                    ", ".join(one.scopes),
                    text.when(one.expires_us),
                    text.when(one.revoked_us),
                    text.when(one.last_used_us),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no tokens yet. Make one: mill token create NAME --scope viewer",
    )


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """End a token; it opens nothing any more."""
    here = session()
    with here.door() as door:
        if dry_run:
            here.would("access.revoke_token", id=token, reason=reason)
            return
        here.confirm(f"End the token {token}?")
        door.access.revoke_token(id=token, reason=reason)
    here.answer({"id": token, "revoked": True}, lambda: [f"{token} opens nothing any more"])
