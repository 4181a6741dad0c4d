"""`mill project`: projects of the home."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.refs import check_name

app = noun("Projects of the home.")


@app.command("list")
def list_all() -> None:
    """List the projects."""
    here = session()
    with here.door() as door:
        found = door.access.projects()
    here.answer(
        found,
        lambda: text.table(
            ["name", "created", "id"],
            [(one.name, text.when(one.created_us), one.id) for one in found],
        ),
        empty="There are no projects yet. Make one: mill project create NAME",
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make a project."""
    here = session()
    check_name(name, "project")
    with here.door() as door:
        if dry_run:
            taken = name in {one.name for one in door.access.projects()}
            found = [f"there is a project {name} already" if taken else "the name is free"]
            here.would("access.create_project", name=name, reason=reason, found=found)
            return
        made = door.access.create_project(name=name, reason=reason)
    here.answer(
        made,
        lambda: text.facts(
            {"project": made.name, "id": made.id, "created": text.when(made.created_us)}
        ),
    )
    here.say(f"Work in it: --project {name}, or project in millwright.toml")
