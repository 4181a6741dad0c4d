"""`mill runs views`: searches for runs, saved under a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.run_search import Search
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.records.views import View, ViewSpec

app = noun("Searches for runs, saved under a name.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The view.")]


@app.command("list")
def list_all() -> None:
    """List the project's saved views."""
    here = session()
    with here.door() as door:
        found = door.views.list_all()
        names = here.names(door)
    here.answer(
        found,
        lambda: text.table(
            ["name", "filter", "order", "experiments", "saved by", "saved"],
            [
                (
                    one.name,
                    one.spec.filter,
                    ", ".join(one.spec.order),
                    ", ".join(one.spec.experiments),
                    names.get(one.actor, one.actor),
                    text.when(one.changed_us),
                )
                for one in found
            ],
        ),
        empty="No view is saved. Save one: mill runs list --filter FILTER --save-view NAME",
    )


@app.command()
def show(name: Name) -> None:
    """Show what a view asks for."""
    here = session()
    with here.door() as door:
        found = door.views.show(name=name)
    here.answer(found, lambda: view_lines(found))
    here.say(f"Its runs: mill runs list --view '{found.name}'")


@app.command()
def delete(name: Name, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Remove a view; the runs it showed stay as they are."""
    here = session()
    with here.door() as door:
        found = door.views.show(name=name)
        if dry_run:
            here.would("views.delete", name=found.name, reason=reason)
            return
        door.views.delete(name=name, reason=reason)
    here.answer(found, lambda: [f"removed {found.name}"])


def view_lines(found: View) -> list[str]:
    """Return a view as names and values."""
    spec = found.spec
    return text.facts(
        {
            "view": found.name,
            "filter": spec.filter,
            "order": ", ".join(spec.order),
            "experiments": ", ".join(spec.experiments),
            "kinds": ", ".join(spec.kinds),
            "deleted": "yes" if spec.lifecycle == "deleted" else None,
            "columns": ", ".join(spec.columns),
            "saved": text.when(found.changed_us),
        }
    )


def spec_of(search: Search, columns: Sequence[str]) -> ViewSpec:
    """Return what is saved of a search on the command line."""
    return ViewSpec(
        filter=search.text,
        order=list(search.order),
        experiments=list(search.experiments),
        kinds=list(search.kinds),
        lifecycle=search.lifecycle,
        columns=list(columns),
    )


def search_of_view(view: View) -> Search:
    """Return the search that a view is."""
    spec = view.spec
    return Search(
        filter=spec.filter,
        order=tuple(spec.order),
        experiments=tuple(spec.experiments),
        kinds=tuple(spec.kinds),
        deleted=spec.lifecycle == "deleted",
        is_saved=True,
    )
