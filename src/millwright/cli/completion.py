"""`mill completion`: completion for your shell."""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli.nouns import NOUNS, load_app
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.core.errors import Invalid

app = single()

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MILL_COMPLETE"


@app.command()
def completion(
    shell: Annotated[
        str | None, typer.Argument(metavar="[SHELL]", help=f"{', '.join(SHELLS)}; default yours.")
    ] = None,
) -> None:
    """Print the script that completes `mill` in a shell."""
    here = session()
    chosen = shell or Path(here.environment.get("SHELL", "bash")).name
    if chosen not in SHELLS:
        raise Invalid(f"there is no completion for {chosen!r}", why=f"for {', '.join(SHELLS)}")
    here.say(f"# Put this into your shell's start file: mill completion {chosen}")
    os.environ[_VARIABLE] = f"source_{chosen}"
    raise typer.Exit(complete())


def complete() -> int:
    """Answer what a shell asks through the environment; return the exit code."""
    from typer.completion import get_completion_inspect_parameters
    from typer.main import get_command

    get_completion_inspect_parameters()  # Makes the shells known to it.
    tree = typer.Typer(add_completion=False, rich_markup_mode=None)

    def everywhere(
        home: Annotated[Path | None, typer.Option("--home")] = None,
        url: Annotated[str | None, typer.Option("--url")] = None,
        project: Annotated[str | None, typer.Option("--project")] = None,
        actor: Annotated[str | None, typer.Option("--as")] = None,
        json: Annotated[bool, typer.Option("--json")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
        yes: Annotated[bool, typer.Option("--yes")] = False,
        debug: Annotated[bool, typer.Option("--debug")] = False,
    ) -> None:
        """Take the options of every command, so that they are completed."""

    tree.callback()(everywhere)
    for names in NOUNS.values():
        for name, summary in names.items():
            if util.find_spec(f"millwright.cli.{name}") is not None:
                _add(tree, name, summary)
    try:
        get_command(tree).main([], prog_name="mill")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _add(tree: typer.Typer, name: str, summary: str) -> None:
    app = load_app(name)
    if app.registered_callback is None:
        callback = app.registered_commands[0].callback
        assert callback is not None, "a command without verbs has a function"
        tree.command(name, help=summary)(callback)
    else:
        tree.add_typer(app, name=name, help=summary)
