"""`mill monitor`: watchers of deployments."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.errors import Refused
from millwright.records.monitoring import DriftReport, Monitor, MonitorSpec, Performance

app = noun("Watchers of deployments.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The monitor.")]

_SPEC = MonitorSpec()


@app.command()
def create(
    name: Name,
    deployment: Annotated[
        str, typer.Option("--deployment", metavar="NAME", help="What it watches.")
    ],
    alpha: Annotated[
        float, typer.Option("--alpha", help="Chance of any alarm where nothing changed.")
    ] = _SPEC.alpha,
    min_effect: Annotated[
        float, typer.Option("--min-effect", help="Smallest distance that matters, 0 to 1.")
    ] = _SPEC.min_effect,
    min_rows: Annotated[
        int, typer.Option("--min-rows", help="Rows a window needs before it is judged.")
    ] = _SPEC.min_rows,
    window_rows: Annotated[
        int, typer.Option("--window-rows", help="Rows after which a window is closed.")
    ] = _SPEC.window_rows,
    accuracy_floor: Annotated[
        float | None, typer.Option("--accuracy-floor", help="Alarm when certainly below.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Watch a deployment for drift, and with a floor for lost accuracy."""
    here = session()
    spec = MonitorSpec(
        alpha=alpha,
        min_effect=min_effect,
        min_rows=min_rows,
        window_rows=window_rows,
        accuracy_floor=accuracy_floor,
    )
    with here.door() as door:
        if dry_run:
            watched = door.deployments.show(name=deployment).name
            here.would("monitors.create", name=name, deployment=watched, spec=spec)
            return
        made = door.monitors.create(name=name, deployment=deployment, spec=spec, reason=reason)
    here.answer(made, lambda: monitor_lines(made))
    here.say(f"Take a look: mill monitor check {made.name}")


@app.command("list")
def list_all() -> None:
    """List the project's monitors."""
    here = session()
    with here.door() as door:
        found = door.monitors.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "deployment", "looks", "last look", "drifted", "id"],
            [
                (
                    one.name,
                    one.deployment,
                    one.looks,
                    text.when(one.last.last_us) if one.last else None,
                    ", ".join(one.last.drifted) if one.last else None,
                    one.id,
                )
                for one in found
            ],
        ),
        empty="Nothing is watched yet: mill monitor create NAME --deployment DEPLOYMENT",
    )


@app.command()
def show(name: Name) -> None:
    """Show a monitor, its newest report, and what the labels say."""
    here = session()
    with here.door() as door:
        monitor = door.monitors.show(name=name)
        performance = (
            None if here.given.json else door.monitors.performance(deployment=monitor.deployment)
        )
    lines = monitor_lines(monitor)
    if monitor.last is not None:
        lines += ["", *report_lines(monitor.last)]
    if performance is not None and performance.labelled:
        lines += ["", *_performance_lines(performance)]
    here.answer(monitor, lambda: lines)


@app.command()
def check(name: Name, dry_run: DryRun = False) -> None:
    """Look at what came in since the last look; exit 5 when something drifted."""
    here = session()
    with here.door() as door:
        if dry_run:
            monitor = door.monitors.show(name=name)
            here.would(
                "monitors.check", name=name, found=[text.counted(monitor.looks, "look") + " so far"]
            )
            return
        report = door.monitors.check(name=name)
    if report is None:
        here.answer(None, lambda: ["too few rows came in for a look"])
        return
    here.answer(report, lambda: report_lines(report))
    if report.drifted:
        raise typer.Exit(Refused.exit_code)


def monitor_lines(monitor: Monitor) -> list[str]:
    """Return a monitor and what it watches for."""
    spec = monitor.spec
    return text.facts(
        {
            "monitor": monitor.name,
            "id": monitor.id,
            "deployment": monitor.deployment,
            "looks": monitor.looks,
            "alpha": spec.alpha,
            "min effect": spec.min_effect,
            "min rows": spec.min_rows,
            "window rows": spec.window_rows,
            "accuracy floor": spec.accuracy_floor,
            "created": text.when(monitor.created_us),
        }
    )


def report_lines(report: DriftReport) -> list[str]:
    """Return a look, the columns that moved most first."""
    here = session()
    columns = sorted(report.columns, key=lambda one: (-one.drifted, -one.distance, one.column))
    table = text.table(
        ["column", "distance", "interval", "evidence", "missing", "unseen", "verdict", "why"],
        [
            (
                one.column,
                one.distance,
                text.interval(one.low, one.high),
                one.evidence,
                text.percent(one.missing_now),
                text.percent(one.unseen_now),
                "drifted" if one.drifted else "steady",
                one.reason,
            )
            for one in columns
        ],
    )
    rows = text.counted(report.rows, "row")
    against = text.counted(report.reference_rows, "training row")
    head = f"look {report.n} of v{report.version}: {rows} against {against}"
    if report.drifted:
        verdict = here.paint(f"drifted: {', '.join(report.drifted)}", "bad")
    else:
        verdict = here.paint("nothing drifted", "good")
    return [head, *table, verdict]


def _performance_lines(found: Performance) -> list[str]:
    return text.facts(
        {
            "decisions": found.decisions,
            "labelled": found.labelled,
            "accuracy": found.accuracy,
            "interval": text.interval(found.accuracy_low, found.accuracy_high),
            "auc": found.auc,
        }
    )
