"""`mill user`: people and service accounts, and the roles they hold."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.records.access import Actor, Role

app = noun("People and service accounts, and the roles they hold.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
_ROLES = ", ".join(Role)


@app.command()
def create(
    name: Name,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="person or service.")
    ] = "person",
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help=_ROLES)] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make a person or a service account, with a role in this project."""
    here = session()
    if role is not None:
        check_role(role)
    with here.door() as door:
        if dry_run:
            here.would("access.create_actor", name=name, kind=kind, role=role, reason=reason)
            return
        made = door.access.create_actor(name=name, kind=kind, role=role, reason=reason)
    here.answer(made, lambda: actor_lines(made))
    if role is None:
        here.say(f"It may do nothing yet: mill user grant {name} ROLE")


@app.command("list")
def list_all() -> None:
    """List people, service accounts and rules."""
    here = session()
    with here.door() as door:
        found = door.access.actors()
    here.answer(
        found,
        lambda: text.table(
            ["name", "kind", "created", "disabled", "id"],
            [
                (
                    one.name,
                    one.kind,
                    text.when(one.created_us),
                    text.when(one.disabled_us),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There is nobody yet. Make somebody: mill user create NAME --role ROLE",
    )


@app.command()
def grant(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=_ROLES)],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Give somebody a role in this project."""
    here = session()
    check_role(role)
    with here.door() as door:
        if dry_run:
            here.would("access.grant", name=name, role=role, reason=reason)
            return
        door.access.grant(name=name, role=role, reason=reason)
    here.answer({"name": name, "role": role}, lambda: [f"{name} is {role}"])


@app.command()
def revoke(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=_ROLES)],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Take back a role that somebody has in this project."""
    here = session()
    check_role(role)
    with here.door() as door:
        if dry_run:
            here.would("access.revoke", name=name, role=role, reason=reason)
            return
        door.access.revoke(name=name, role=role, reason=reason)
    here.answer({"name": name, "role": role}, lambda: [f"{name} is not {role} in this project"])


@app.command()
def disable(name: Name, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Let somebody act no more, in any project; his tokens open nothing from now on."""
    here = session()
    with here.door() as door:
        if dry_run:
            here.would("access.disable_actor", name=name, reason=reason)
            return
        done = door.access.disable_actor(name=name, reason=reason)
    here.answer(done, lambda: actor_lines(done))


def check_role(role: str) -> None:
    """Raise Invalid, naming them all, unless there is such a role."""
    known = [one.value for one in Role]
    if role not in known:
        raise Invalid(
            f"there is no role {role!r}",
            why=f"there are: {', '.join(known)}",
            fix=did_you_mean(role, known),
        )


def actor_lines(actor: Actor) -> list[str]:
    """Return an actor as names and values."""
    return text.facts(
        {
            "name": actor.name,
            "kind": actor.kind,
            "id": actor.id,
            "created": text.when(actor.created_us),
            **({"disabled": text.when(actor.disabled_us)} if actor.disabled_us else {}),
        }
    )
