"""`mill doctor`: is the home sound?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.core.errors import Refused, Unsupported

if TYPE_CHECKING:
    from millwright.workspace.doctor import Finding

app = single()


@app.command()
def doctor(
    sample: Annotated[
        int, typer.Option("--sample", min=0, metavar="N", help="Stored objects to read again.")
    ] = 50,
) -> None:
    """Check the home: database, schema, key, journal, stored objects. Exit 5 on a problem."""
    from millwright.workspace.doctor import examine

    here = session()
    config = here.config()
    if config.url is not None:
        raise Unsupported(
            "a home is examined on the machine where it is",
            why=f"the settings name the server at {config.url}",
            fix="run it there, or name a home: --home DIR",
        )
    found = examine(config, sample=sample, choice=random.Random())  # noqa: S311 - no secret
    here.answer(found, lambda: finding_lines(found))
    if not all(one.ok for one in found):
        raise typer.Exit(Refused.exit_code)


def finding_lines(found: list[Finding]) -> list[str]:
    """Return a line for each check, with what to do below one that found something."""
    here = session()
    width = max(len(one.name) for one in found)
    lines: list[str] = []
    for one in found:
        word = here.paint("PASS", "good") if one.ok else here.paint("FAIL", "bad")
        lines.append(f"{word}  {one.name.ljust(width)}  {one.what}")
        lines += [f"      {words}" for words in (one.why, one.fix) if words]
    failed = sum(not one.ok for one in found)
    total = text.counted(len(found), "check")
    return [*lines, f"{failed} of {total} found a problem" if failed else f"{total}: all is well"]
