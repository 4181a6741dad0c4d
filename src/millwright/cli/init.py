"""`mill init`: a project's settings and its home, made where they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, single
from millwright.core.errors import Conflict, Denied
from millwright.core.refs import check_name

app = single()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="By default here.")] = Path(),
    dry_run: DryRun = False,
) -> None:
    """Make a project in a folder: millwright.toml and a home. Doing it again changes nothing."""
    from millwright.workspace.config import FILE_NAME, HOME_FOLDER, load_config, read_settings
    from millwright.workspace.open import Home, Workspace

    here = session()
    path = folder.absolute() / FILE_NAME
    wanted = here.given.project
    if wanted is not None:
        check_name(wanted, "project")
    if path.is_file():
        named = read_settings(path)
        if wanted is not None and wanted != named.project:
            raise Conflict(
                f"{path} names the project {named.project}",
                why=f"{wanted} was asked for",
                fix="edit the file, or leave --project out",
            )
        its_home = path.parent / named.home
        if here.given.home is not None and here.given.home.resolve() != its_home.resolve():
            raise Conflict(
                f"{path} names the home {its_home}",
                why=f"{here.given.home} was asked for",
                fix="edit the file, leave --home out, or make it in another folder: "
                "mill init FOLDER --home DIR",
            )
    settings = _settings_text(
        wanted or here.environment.get("MILLWRIGHT_PROJECT") or "default",
        home=HOME_FOLDER if here.given.home is None else _from(path.parent, here.given.home),
    )
    if dry_run:
        made = [f"{path} is there already" if path.is_file() else f"{path} would be written"]
        here.would("init", folder=str(folder.absolute()), project=wanted, found=made)
        return
    is_new = not path.is_file()
    if is_new:
        _write(path, settings)
    config = load_config(
        environment=here.environment,
        folder=path.parent,
        home=here.given.home,
        project=wanted,
        actor=here.given.actor,
    )
    home = Home.create(config.home, database=config.database, policy=config.policy)
    try:
        door = Workspace(home, home.session(home.principal(config.actor), "default"))
        if config.project not in {one.name for one in door.access.projects()}:
            door.access.create_project(name=config.project, reason="mill init")
        record = {
            "root": str(config.root),
            "home": str(config.home),
            "id": home.id,
            "project": config.project,
            "settings_written": is_new,
        }
    finally:
        home.close()
    here.answer(
        record,
        lambda: text.facts(
            {
                "project": config.project,
                "settings": str(path),
                "home": str(config.home),
                "id": home.id,
            }
        ),
    )
    here.say("Add data: mill data add FILE")


def _from(folder: Path, home: Path) -> str:
    """Return how settings in `folder` name a home: from there where it lies below, else in full."""
    full = home.resolve()
    below = folder.resolve()
    return (full.relative_to(below) if full.is_relative_to(below) else full).as_posix()


def _settings_text(project: str, *, home: str) -> str:
    return f"""\
# What holds for every command in this folder and below; see it with: mill config
project = "{project}"
home = {msgspec.json.encode(home).decode()}
"""


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Denied(
            f"{path} cannot be written",
            why=error.strerror or str(error),
            fix="choose a folder you may write to",
        ) from error
