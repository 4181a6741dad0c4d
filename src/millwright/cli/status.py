"""`mill status`: the project at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import single

if TYPE_CHECKING:
    from millwright.doors.jobs import Status

app = single()


@app.command()
def status() -> None:
    """Show the project at a glance."""
    here = session()
    with here.door() as door:
        found = door.jobs.status()
    here.answer(found, lambda: status_lines(found))
    here.say(next_step(found))


def status_lines(found: Status) -> list[str]:
    """Return the counts, and what waits for somebody."""
    return text.facts(
        {
            "project": found.project,
            "home": found.home,
            "version": found.version,
            "datasets": found.datasets,
            "runs": found.runs,
            "models": found.models,
            "deployments": found.deployments,
            "open alerts": found.open_alerts,
            "waiting approvals": found.waiting_approvals,
            "jobs": f"{found.queued_jobs} queued, {found.running_jobs} running",
            "events": found.events,
            "last event": text.when(found.last_event_us),
        }
    )


def next_step(found: Status) -> str:
    """Return what to do next: what waits first, else the next part of the loop."""
    if found.waiting_approvals:
        return "Somebody waits for a yes: mill model approvals"
    if found.open_alerts:
        return "Something was noticed: mill alert list --state open"
    if not found.datasets:
        return "Add data: mill data add FILE"
    if not found.runs:
        return "Run a pipeline: mill run FILE.py"
    if not found.models:
        return "Register a model: mill model register FOLDER --name NAME"
    if not found.deployments:
        return "Deploy a model: mill deploy create NAME MODEL"
    return "What happened last: mill audit list --newest"
