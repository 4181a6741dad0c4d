"""`mill alert`: what monitors found."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Limit, WantedReason, noun
from millwright.core.ids import AlertId
from millwright.records.monitoring import Alert

app = noun("What monitors found.")

Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def list_all(
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="open, acknowledged or closed.")
    ] = None,
    limit: Limit = 50,
) -> None:
    """List alerts, newest first."""
    here = session()
    with here.door() as door:
        found = door.alerts.list_all(state=state, limit=limit)
    here.answer(
        found,
        lambda: text.table(
            ["raised", "kind", "state", "deployment", "version", "message", "id"],
            [
                (
                    text.when(one.created_us),
                    one.kind,
                    one.state,
                    one.deployment,
                    f"v{one.version}",
                    one.message,
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no such alerts. A monitor raises them: mill monitor check NAME",
    )


@app.command()
def show(alert: Id) -> None:
    """Show one alert."""
    here = session()
    with here.door() as door:
        found = door.alerts.show(id=AlertId(alert))
    here.answer(found, lambda: alert_lines(found))


@app.command()
def close(alert: Id, reason: WantedReason, dry_run: DryRun = False) -> None:
    """Close an alert."""
    here = session()
    with here.door() as door:
        if dry_run:
            found = door.alerts.show(id=AlertId(alert))
            here.would("alerts.close", id=found.id, reason=reason, found=[f"it is {found.state}"])
            return
        closed = door.alerts.close(id=AlertId(alert), reason=reason)
    here.answer(closed, lambda: alert_lines(closed))


def alert_lines(alert: Alert) -> list[str]:
    """Return an alert as names and values."""
    return text.facts(
        {
            "alert": alert.id,
            "kind": alert.kind,
            "state": alert.state,
            "monitor": alert.monitor,
            "deployment": alert.deployment,
            "version": f"v{alert.version}",
            "columns": ", ".join(alert.columns),
            "message": alert.message,
            "evidence": alert.evidence,
            "raised": text.when(alert.created_us),
            "closed": text.when(alert.closed_us),
        }
    )
