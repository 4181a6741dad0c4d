"""`mill model environment`: what a version needs, installed where it can be loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.records.models import ModelVersion
    from millwright.registry.environment import Environment


def environment(
    ref: Annotated[str, typer.Argument(metavar="REF", help="NAME@v3, NAME@champion, or an id.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new one.")],
    wheels: Annotated[
        list[Path] | None,
        typer.Option("--find-links", metavar="FOLDER", help="With wheels; may be repeated."),
    ] = None,
    no_index: Annotated[
        bool, typer.Option("--no-index", help="Ask no index: from the wheels alone.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Make the environment that a version needs, locked with hashes; needs uv."""
    from millwright.registry.environment import Sources, find_uv, restore

    here = session()
    uv = find_uv()
    with here.door() as door:
        version = door.models.show(ref=ref)
        wanted = environment_of(door, version)
    spelled = f"{version.name}@v{version.version}"
    needs = f"Python {wanted.python}, {text.counted(len(wanted.requirements), 'requirement')}"
    if dry_run:
        here.would("environment.restore", ref=spelled, folder=str(folder), found=[needs])
        return
    here.tell(f"Making the environment of {spelled}: {needs}.")
    sources = Sources(folders=tuple(one.absolute() for one in wheels or ()), use_index=not no_index)
    made = restore(wanted, folder.absolute(), uv=uv, sources=sources)
    facts = {"python": str(made.python), "version": made.python_version, "lock": str(made.lock)}
    here.answer(facts, lambda: text.facts(facts))


def environment_of(door: Door, version: ModelVersion) -> Environment:
    """Return the environment that a version's package names."""
    from millwright.registry.environment import read_environment

    with tempfile.TemporaryDirectory(prefix="mill-environment-") as name:
        package = Path(name, "package")
        door.artifacts.fetch_folder(version.package_digest, package)
        return read_environment(package)


VERBS = (environment,)
