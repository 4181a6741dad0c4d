"""`mill audit`: the journal, read, proved and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import Limit, noun
from millwright.core.errors import Invalid, NotFound, Refused
from millwright.doors.audit import Verification
from millwright.records.events import Event

app = noun("The journal, read, proved and verified.")


@app.command("list")
def list_all(
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="As AliasMoved.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="What the event is about.")
    ] = None,
    after: Annotated[int, typer.Option("--after", metavar="PLACE", help="Behind this place.")] = -1,
    limit: Limit = 100,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
) -> None:
    """List events in their order: who did what, when, to what, and why."""
    here = session()
    with here.door() as door:
        found = door.audit.events(
            after=after, limit=limit, kind=kind, subject=subject, newest_first=newest
        )
        names = here.names(door)
    here.answer(
        found,
        lambda: text.table(
            ["place", "time", "kind", "actor", "what", "reason", "id"],
            [
                (
                    one.place,
                    text.when(one.time_us),
                    one.kind,
                    names.get(one.actor, one.actor),
                    ", ".join(thing.id for thing in one.subjects),
                    _reason(one),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no such events.",
    )
    if len(found) == limit and not newest:
        here.say(f"There may be more: mill audit list --after {found[-1].place}")


@app.command()
def verify(
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="A checkpoint that was kept elsewhere."),
    ] = None,
) -> None:
    """Check every event, proof and checkpoint; exit 5 and the place when something is wrong."""
    here = session()
    note = None if against is None else read_checkpoint(against)
    with here.door() as door:
        found = door.audit.verify(against=note)
    here.answer(found, lambda: verification_lines(found))
    here.say(*(f"Cannot be excluded: {words}" for words in found.cannot_exclude))
    if not found.ok:
        raise typer.Exit(Refused.exit_code)
    if against is None:
        here.say("Keep a checkpoint elsewhere: mill audit checkpoint > checkpoint.txt")


@app.command()
def prove(event: Annotated[str, typer.Argument(metavar="ID", help="An event's id.")]) -> None:
    """Print the proof that an event stands in the journal; SHA-256 is enough to check it."""
    here = session()
    with here.door() as door:
        proof = door.audit.prove(id=event)
    here.answer(
        proof,
        lambda: [
            *text.facts(
                {
                    "event": proof.event,
                    "place": proof.index,
                    "size": proof.size,
                    "leaf": proof.leaf,
                    "root": proof.root,
                }
            ),
            "path",
            *text.indented(proof.path),
            "checkpoint",
            *text.indented(proof.checkpoint.splitlines()),
        ],
    )


@app.command()
def checkpoint() -> None:
    """Print a signed checkpoint of the journal as it is now; keep it somewhere else."""
    here = session()
    with here.door() as door:
        note = door.audit.checkpoint()
    here.answer({"checkpoint": note}, note.splitlines)


def read_checkpoint(path: Path) -> str:
    """Return a checkpoint kept in a file; raises NotFound and Invalid."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no file {path}", fix="keep one: mill audit checkpoint > FILE"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read", why=str(error)) from error


def verification_lines(found: Verification) -> list[str]:
    """Return what a verification found, each wrong place on a line."""
    here = session()
    root = f"root {found.root}"
    if found.ok:
        return [f"{here.paint('OK', 'good')}  {text.counted(found.size, 'event')}, {root}"]
    lines = [
        f"{here.paint('FAIL', 'bad')}  {_place(one.place)}{one.what}" for one in found.problems
    ]
    total = text.counted(len(found.problems), "problem")
    return [*lines, f"{total} in {text.counted(found.size, 'event')}, {root}"]


def _place(place: int | None) -> str:
    return "" if place is None else f"place {place}: "


def _reason(event: Event) -> str | None:
    if event.detail is None:
        return "(erased)"
    reason = event.detail.get("reason")
    return reason if isinstance(reason, str) else None
