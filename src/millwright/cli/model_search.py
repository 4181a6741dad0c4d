"""Verbs of `mill model` that find models and versions, and tell their past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.located import located
from millwright.cli.session import session
from millwright.cli.verbs import Limit
from millwright.core.errors import Invalid

if TYPE_CHECKING:
    from millwright.metadata.filters import Vocabulary
    from millwright.records.schema import Column
    from millwright.registry.compare import Comparison


def search(
    filter: Annotated[
        str,
        typer.Option("--filter", metavar="FILTER", help="As \"name LIKE 'churn%'\"."),
    ] = "",
    order: Annotated[
        list[str] | None,
        typer.Option("--order", metavar="FIELD", help='As "created desc"; may be repeated.'),
    ] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="Find versions, by what is said of them.")
    ] = False,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TOKEN", help="Read on from there.")
    ] = None,
    limit: Limit = 100,
) -> None:
    """Find models, or versions, by filter and order."""
    here = session()
    terms = list(order or ())
    with here.door() as door, located(filter, terms, _versions if versions else _models):
        if versions:
            found = door.models.search_versions(
                filter=filter, order=terms, limit=limit, token=token
            )
            record, next_token, listed = found, found.next_token, found.versions
            head = ["version", "stage", "aliases", "deprecated", "created", "run", "id"]
            rows = [
                (
                    f"{one.name}@v{one.version}",
                    one.stage,
                    ", ".join(one.aliases),
                    one.deprecated,
                    text.when(one.created_us),
                    one.run,
                    one.id,
                )
                for one in found.versions
            ]
        else:
            models = door.models.search(filter=filter, order=terms, limit=limit, token=token)
            record, next_token, listed = models, models.next_token, models.models
            head = ["name", "risk", "versions", "aliases", "changed", "id"]
            rows = [
                (
                    one.model.name,
                    one.model.risk,
                    one.model.versions,
                    ", ".join(f"{alias} v{n}" for alias, n in one.model.aliases.items()),
                    text.when(one.model.changed_us),
                    one.model.id,
                )
                for one in models.models
            ]
    if here.given.json:
        here.print_json(record)
        return
    here.answer(listed, lambda: text.table(head, rows), empty="Nothing fits.")
    if next_token is not None:
        here.say(f"There are more; add: --token {next_token}")


def compare(
    left: Annotated[str, typer.Argument(metavar="LEFT", help="As churn@champion.")],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="As churn@v7.")],
) -> None:
    """Show what differs between two versions, left to right."""
    here = session()
    with here.door() as door:
        found = door.models.compare(left=left, right=right)
    here.answer(found, lambda: comparison_lines(found))
    if found.breaks:
        here.say(f"{found.right} cannot take the place of {found.left}: its columns do not fit.")


def card(
    ref: Annotated[str, typer.Argument(metavar="REF", help="NAME@v3, NAME@champion, or an id.")],
) -> None:
    """Print the card of a version, as Markdown; what people write stands in tags `card.…`."""
    here = session()
    with here.door() as door:
        found = door.models.card(ref=ref)
    here.answer(found, found.text.splitlines)


def comparison_lines(found: Comparison) -> list[str]:
    """Return what differs between two versions, a table for each kind of thing."""
    head = [found.left, found.right]
    alike = "yes" if found.same_model else "no"
    lines = text.facts({"left": found.left, "right": found.right, "one model": alike})
    for title, changes in (
        ("digest", found.digests),
        ("flavor", found.flavors),
        ("param", found.params),
        ("metric", found.metrics),
        ("requirement", found.requirements),
        ("input", found.inputs),
        ("source", found.source),
    ):
        if changes:
            rows = [(one.key, one.left, one.right) for one in changes]
            lines += ["", *text.table([title, *head], rows)]
    if found.columns:
        rows = [
            (
                f"{one.way} {one.name}",
                _kind(one.left),
                _kind(one.right),
                "yes" if one.breaks else "",
            )
            for one in found.columns
        ]
        lines += ["", *text.table(["column", *head, "breaks"], rows)]
    return lines


def _kind(column: Column | None) -> str | None:
    if column is None:
        return None
    return f"{column.kind}, may be missing" if column.nullable else column.kind


def show_alias_at(name: str, alias: str, when: str) -> None:
    """Tell which version an alias pointed at then, and who had moved it there."""
    here = session()
    time_us = parse_time(when)
    with here.door() as door:
        found = door.models.alias_at(name=name, alias=alias, time_us=time_us)
        names = here.names(door)
    since = found.since
    here.answer(
        found,
        lambda: text.facts(
            {
                "model": name,
                "alias": alias,
                "at": text.when(time_us),
                "version": None if found.version is None else f"v{found.version}",
                "since": None if since is None else text.when(since.time_us),
                "by": None if since is None else names.get(since.actor, since.actor),
                "reason": None if since is None else since.reason,
            }
        ),
    )


def parse_time(words: str) -> int:
    """Return a time written as `2026-01-31` or `2026-01-31T12:00`, UTC where it does not say.

    Raises Invalid for what is none.

    >>> parse_time("1970-01-01T00:00:01")
    1000000
    """
    try:
        parsed = datetime.fromisoformat(words)
    except ValueError as error:
        raise Invalid(
            f"{words!r} is no time", fix="write 2026-01-31T12:00, in UTC, or with +02:00 behind it"
        ) from error
    aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    return (aware - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _models() -> Vocabulary:
    from millwright.registry.search import MODELS

    return MODELS


def _versions() -> Vocabulary:
    from millwright.registry.search import VERSIONS

    return VERSIONS


VERBS = (search, compare, card)
