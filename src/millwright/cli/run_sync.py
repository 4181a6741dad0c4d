"""`mill runs sync`: sends what scripts logged while their server was away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli.session import session
from millwright.core.errors import Unreachable
from millwright.core.ids import RunId, in_our_spelling, parse_id

if TYPE_CHECKING:
    from millwright.sdk.syncing import SyncReport


def sync(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Only this run, by its id.")
    ] = None,
) -> None:
    """Send what waits since a server was away. Exit 7 when some of it still waits.

    It may be killed and asked again: everything arrives once.
    """
    from millwright.sdk.syncing import sync_spool

    here = session()
    wanted = None if run is None else RunId(parse_id(in_our_spelling(run, "run"), "run"))
    report = sync_spool(here.config(), run=wanted)
    told = {
        "delivered": report.delivered,
        "waiting": report.waiting,
        "refused": [str(refusal) for refusal in report.refusals],
        "torn": report.torn,
    }
    here.answer(told, lambda: _lines(report))
    if report.waiting:
        here.say("Nothing is lost; again: mill runs sync")
        raise typer.Exit(Unreachable.exit_code)


def _lines(report: SyncReport) -> Iterator[str]:
    for run in report.delivered:
        yield f"sent     {run}"
    for refusal in report.refusals:
        yield f"refused  {refusal}"
    for run, size_bytes in report.torn.items():
        yield f"torn     {run}: its end is not whole, {size_bytes} bytes are left out"
    for run, why in report.waiting.items():
        yield f"waits    {run}: {why}"
    if not (report.delivered or report.refusals or report.waiting or report.torn):
        yield "Nothing waits."
