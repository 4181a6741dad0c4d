"""`mill <noun> <verb>`: finds the noun, runs the verb, and turns what became of it into a code.

Options that every command takes are taken out wherever they stand, before the noun or behind
the verb.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from millwright.cli.nouns import NOUNS, load_app
from millwright.cli.session import INTERRUPTED, Given, Session, drop_stdout, working
from millwright.core.errors import Failed, Invalid, MillwrightError
from millwright.core.version import VERSION

_VALUES = {
    "--home": "home",
    "--url": "url",
    "--project": "project",
    "--as": "actor",
}
_FLAGS = {
    "--json": "json",
    "--quiet": "quiet",
    "-q": "quiet",
    "--yes": "yes",
    "--debug": "debug",
}
_EVERYWHERE = """\
Everywhere:
  --home DIR      work on the home in that folder
  --url URL       work on the server there
  --project NAME  work in that project
  --as ACTOR      act as that person or service account (on a home)
  --json          print the record itself
  -q, --quiet     print nothing but the result
  --yes           do not ask before something is undone
  --debug         show where an error came from
"""
_COMPLETE = "_MILL_COMPLETE"


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Carry out a command line and return its exit code; the only place that shows errors."""
    command = Session(Given(json="--json" in arguments, debug="--debug" in arguments), environment)
    try:
        if _COMPLETE in environment:
            from millwright.cli.completion import complete

            return complete()
        given, rest = take_given(arguments)
        command = Session(given, environment)
        with working(command):
            return _dispatch(command, rest)
    except MillwrightError as error:
        if command.given.debug:
            _show_trace()
        command.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        command.complain("stopped")
        return INTERRUPTED
    except BrokenPipeError:
        drop_stdout()
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is, the user sees words
        if command.given.debug:
            _show_trace()
        command.show_error(
            Failed(
                f"unexpected {type(error).__name__}: {error}",
                fix="" if command.given.debug else "run again with --debug to see where",
            )
        )
        return Failed.exit_code


def take_given(arguments: Sequence[str]) -> tuple[Given, list[str]]:
    """Return the options that every command takes, and what is left; nothing behind `--` counts.

    Raises Invalid for one that lacks its value.
    """
    given = Given()
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _FLAGS:
            given = replace(given, **{_FLAGS[argument]: True})
        elif name in _VALUES:
            found = value if equals else next(waiting, "")
            if not found:
                raise Invalid(f"{name} needs a value", fix="see mill --help")
            field = _VALUES[name]
            given = replace(given, **{field: Path(found) if field == "home" else found})
        else:
            rest.append(argument)
    return given, rest


def overview() -> str:
    """Return what `mill --help` says."""
    width = max(len(name) for names in NOUNS.values() for name in names)
    lines = ["Usage: mill NOUN [VERB] …", "", "Data becomes a model, and the model stays good.", ""]
    for section, names in NOUNS.items():
        lines.append(f"{section}:")
        lines += [f"  {name.ljust(width)}  {summary}" for name, summary in names.items()]
        lines.append("")
    return "\n".join(lines) + f"\n{_EVERYWHERE}\nMore on each: mill NOUN --help\n"


def _dispatch(command: Session, rest: list[str]) -> int:
    if not rest or rest[0] in {"-h", "--help", "help"}:
        command.write(overview())
        return 0
    if rest[0] == "--version":
        if command.given.json:
            command.print_json({"version": VERSION})
        else:
            command.write(f"millwright {VERSION}\n")
        return 0
    if rest[0].startswith("-"):
        raise Invalid(f"mill has no option {rest[0]}", fix="see mill --help")
    app = load_app(rest[0])
    # Only here, so that what goes before does not wait for it.
    import typer
    from typer.main import get_command

    try:
        code: object = get_command(app).main(
            rest[1:], prog_name=f"mill {rest[0]}", standalone_mode=False
        )
    except typer.Abort:
        command.complain("nothing was done")
        return INTERRUPTED
    except typer.TyperException as error:
        path = cast("str", getattr(getattr(error, "ctx", None), "command_path", f"mill {rest[0]}"))
        raise Invalid(error.format_message(), fix=f"see {path} --help") from error
    if code == INTERRUPTED:
        command.complain("stopped")
    return code if isinstance(code, int) else 0


def _show_trace() -> None:
    import traceback

    traceback.print_exc()
