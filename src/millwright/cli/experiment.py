"""`mill experiment`: named sets of runs."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import study, text
from millwright.cli.export_tensorboard import export_tensorboard
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun, parse_tags
from millwright.records.runs import Experiment

app = noun("Named sets of runs.")
app.command("export-tensorboard")(export_tensorboard)
app.add_typer(study.app, name="study")

Ref = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="A name, or a number written '#3'.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name it shall have.")]


@app.command("list")
def list_all(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that are deleted.")] = False,
) -> None:
    """List the project's experiments."""
    here = session()
    with here.door() as door:
        found = door.experiments.list_all(deleted=deleted)
    here.answer(
        found,
        lambda: text.table(
            ["number", "name", "created", "id"],
            [(one.number, one.name, text.when(one.created_us), one.id) for one in found],
        ),
        empty="No experiment is deleted."
        if deleted
        else "There are no experiments yet; the first run makes one: mill run FILE.py",
    )


@app.command()
def show(ref: Ref) -> None:
    """Show an experiment: its tags, and how many runs it has."""
    here = session()
    with here.door() as door:
        found = door.experiments.show(ref=ref)
        runs = door.runs.count(experiments=[f"#{found.number}"])
        deleted = door.runs.count(experiments=[f"#{found.number}"], lifecycle="deleted")
    counts = {"runs": runs, "deleted runs": deleted or None}
    here.answer(found, lambda: experiment_lines(found, counts))
    here.say(f"Its runs: mill runs list --experiment '{found.name}'")


@app.command()
def create(
    name: Name,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be repeated."),
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make an experiment; a run that names a new one makes it, too."""
    here = session()
    tags, _ = parse_tags(tag or ())
    with here.door() as door:
        if dry_run:
            here.would("experiments.create", name=name, tags=tags, reason=reason)
            return
        made = door.experiments.create(name=name, tags=tags, reason=reason)
    here.answer(made, lambda: experiment_lines(made))


@app.command()
def rename(ref: Ref, name: Name, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Give an experiment another name."""
    here = session()
    with here.door() as door:
        if dry_run:
            found = door.experiments.show(ref=ref)
            here.would("experiments.rename", ref=found.name, name=name, reason=reason)
            return
        renamed = door.experiments.rename(ref=ref, name=name, reason=reason)
    here.answer(renamed, lambda: experiment_lines(renamed))


@app.command()
def delete(ref: Ref, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Put an experiment and its runs away; they can be restored until they are purged."""
    here = session()
    with here.door() as door:
        found = door.experiments.show(ref=ref)
        known_as = f"#{found.number}"
        runs = text.counted(door.runs.count(experiments=[known_as]), "run")
        if dry_run:
            here.would("experiments.delete", found=[runs], ref=found.name, reason=reason)
            return
        here.confirm(f"Delete the experiment {found.name} and its {runs}?")
        door.experiments.delete(ref=known_as, reason=reason)
        found = door.experiments.show(ref=known_as)
    here.answer(found, lambda: [f"deleted {found.name} with {runs}"])
    here.say(f"Take it back: mill experiment restore '{found.name}'")


@app.command()
def restore(ref: Ref, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Take a deleted experiment and its runs back."""
    here = session()
    with here.door() as door:
        if dry_run:
            found = door.experiments.show(ref=ref)
            here.would("experiments.restore", ref=found.name, reason=reason)
            return
        restored = door.experiments.restore(ref=ref, reason=reason)
    here.answer(restored, lambda: experiment_lines(restored))


@app.command()
def tag(
    ref: Ref,
    pairs: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE…", help="Tags to set; KEY= removes one.")
    ],
    dry_run: DryRun = False,
) -> None:
    """Set tags of an experiment, or remove them."""
    here = session()
    tags, removed = parse_tags(pairs)
    with here.door() as door:
        if dry_run:
            here.would("experiments.set_tags", ref=ref, tags=tags, removed=removed)
            return
        for key in removed:
            door.experiments.delete_tag(ref=ref, key=key)
        if tags:
            door.experiments.set_tags(ref=ref, tags=tags)
        found = door.experiments.show(ref=ref)
    here.answer(found, lambda: experiment_lines(found))


def experiment_lines(found: Experiment, counts: dict[str, int | None] | None = None) -> list[str]:
    """Return what a person wants to know of an experiment."""
    lines = text.facts(
        {
            "experiment": found.name,
            "number": found.number,
            "id": found.id,
            "created": text.when(found.created_us),
            "changed": text.when(found.changed_us),
            "deleted": text.when(found.deleted_us),
            "location": found.location,
            **(counts or {}),
        }
    )
    if found.tags:
        lines += ["", "tags", *text.indented(text.facts(dict(sorted(found.tags.items()))))]
    return lines
