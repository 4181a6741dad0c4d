"""How a noun and its verbs are declared, and the options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from millwright.cli.session import session
from millwright.core.errors import Invalid

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")]
WantedReason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal. Needed.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="At most so many.")
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than-days",
        min=0,
        metavar="DAYS",
        help="Deleted that long ago; else as [retention] of millwright.toml says.",
    ),
]

_SETTINGS = {"help_option_names": ["-h", "--help"]}


def noun(summary: str) -> typer.Typer:
    """Return an app with verbs, each a command of its own."""
    app = single()

    def group(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            session().complain(context.get_help())
            raise typer.Exit(Invalid.exit_code)

    # With a callback, one verb is a verb, too.
    app.callback(help=summary, invoke_without_command=True)(group)

    return app


def parse_tags(pairs: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the tags that `KEY=VALUE` sets, and the keys of those that `KEY=` removes.

    Of one key the last pair counts. Raises Invalid for one without `=` or key.

    >>> parse_tags(["team=risk", "old="])
    ({'team': 'risk'}, ['old'])
    """
    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise Invalid(f"{pair!r} is no tag", fix="write KEY=VALUE, or KEY= to remove it")
        given[key] = value
    tags = {key: value for key, value in given.items() if value}
    return tags, [key for key, value in given.items() if not value]


def single() -> typer.Typer:
    """Return an app for a noun that is itself the command."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
