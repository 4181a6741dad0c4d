"""The demo up to the gate: data, pipeline, model, verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from millwright.cli.demo_data import KEY
from millwright.cli.demo_facts import MARGIN, NAME, TARGET_FILE, Stage
from millwright.data.expectations import suggest
from millwright.data.frames import arrow_bytes
from millwright.records.models import GateReport
from millwright.workspace.open import Workspace
from millwright.workspace.pipelines import run_apart

if TYPE_CHECKING:
    from millwright.cli.demo_story import Story


def tell_data(story: Story, ws: Workspace) -> Stage:
    """Version the rows and hold them against what they suggest themselves."""
    path = story.config.home / "rows.arrow"
    path.write_bytes(arrow_bytes(story.rows.base.lazy()))
    digest = ws.artifacts.put_file(path)
    path.unlink()
    version = ws.data.add(
        name=NAME, digest=digest, format="arrow", source=story.rows.source, reason=story.reason()
    )
    expected = suggest(version.schema, ws.home.datasets.profile(ws.session.key, version.id))
    report = ws.data.validate(ref=f"{NAME}@v1", expectations=expected)
    failed = sum(not result.passed for result in report.results)
    story.say(
        f"data        {story.rows.source}\n"
        f"            {story.rows.base.height} rows to learn from and judge by, "
        f"{story.rows.live.height} kept for the live stream, disjoint by {KEY}\n"
        f"            {NAME}@v1 {version.digest[:15]}…  "
        f"{len(expected)} expectations, {failed} failed"
    )
    return {
        "ok": report.passed,
        "outcome": "valid" if report.passed else "not as expected",
        "dataset": f"{NAME}@v1",
        "id": version.id,
        "digest": version.digest,
        "rows": version.row_count,
        "columns": len(version.schema.columns),
        "live_rows": story.rows.live.height,
        "source": story.rows.source,
        "target": story.rows.target,
        "expectations": len(expected),
        "expectations_failed": failed,
    }


def tell_pipeline(story: Story, ws: Workspace) -> Stage:
    """Run the pipeline, and run it again."""
    params = story.params(ws, f"{NAME}@v1")
    runs: list[Stage] = []
    for reason in ("first training", "the same again"):
        begin = time.monotonic()
        run = run_apart(story.config, ws.session.act(reason), TARGET_FILE, params)
        steps = ws.runs.steps(ref=run).steps
        runs.append(
            {
                "run": run,
                "seconds": round(time.monotonic() - begin, 2),
                "steps": len(steps),
                "cached": sum(step.outcome == "cached" for step in steps),
                "names": [step.step for step in steps],
            }
        )
    first, second = runs
    story.say(
        f"pipeline    {first['steps']} steps in {first['seconds']:.1f} s: "
        f"{', '.join(first['names'])}\n"
        f"            again: {second['cached']} of {second['steps']} cached, "
        f"{second['seconds']:.1f} s"
    )
    return {
        "ok": second["cached"] == first["steps"],
        "outcome": "trained, then all cached",
        "pipeline": NAME,
        **{key: first[key] for key in ("run", "steps", "seconds")},
        "step_names": first["names"],
        "second_run": {key: second[key] for key in ("run", "cached", "seconds")},
    }


def tell_model(story: Story, ws: Workspace) -> Stage:
    """Say what was registered, and how it fared on rows kept aside."""
    version = ws.models.show(ref=f"{NAME}@v1")
    run = ws.runs.show(ref=str(version.run))
    assert run.parent is not None
    children = ws.runs.page(parent=run.parent, limit=100).runs
    params = {key: value for child in children for key, value in child.params.items()}
    metrics = {key: value for child in children for key, value in child.metrics.items()}
    shown = {key: metrics.get(key) for key in ("auc", "accuracy")}
    story.say(
        f"model       {NAME}@v1 {version.digest[:15]}…  served as {version.flavors[0]}; "
        f"auc {shown['auc']:.4f}, accuracy {shown['accuracy']:.4f} on rows kept aside"
    )
    kept = ("kind", "max_depth", "trees", "seed", "features", "rows")
    return {
        "ok": True,
        "outcome": "registered",
        "model": NAME,
        "version": version.version,
        "id": version.id,
        "digest": version.digest,
        "flavors": version.flavors,
        "run": run.parent,
        "parameters": {key: params[key] for key in kept if key in params},
        "metrics": shown,
    }


def tell_gate(story: Story, ws: Workspace) -> Stage:
    """Judge the first model, and promote it when it passes."""
    ref = f"{NAME}@v1"
    verdicts = ws.gates.verdicts(ref=ref)
    report = (
        verdicts[-1]
        if verdicts
        else ws.gates.check(
            ref=ref,
            dataset=f"{NAME}-holdout@v1",
            target=story.rows.target,
            spec=story.gate_text(),
            reason="the first model",
        )
    )
    found = gate_stage(report)
    story.say(f"gate        {describe_gate(report)}")
    for group in found["groups"]:
        story.say(f"            {group['name']}: {group['message']}")
    if report.verdict != "pass":
        return found | {"ok": False, "outcome": f"the first model's gate said {report.verdict}"}
    story.promote(ws, ref, "first model")
    return found | {"outcome": "passed and promoted"}


def gate_stage(report: GateReport) -> Stage:
    """Return what the demo says of a verdict."""
    compared = next((one for one in report.checks if one.kind == "champion"), None)
    floor = next((one for one in report.checks if one.kind == "floor"), None)
    shown = compared if compared is not None and compared.low is not None else floor
    return {
        "ok": True,
        "outcome": report.verdict,
        "id": report.id,
        "verdict": report.verdict,
        "verdict_digest": report.digest,
        "n": max(check.n for check in report.checks),
        "auc": report.metrics.get("auc"),
        "accuracy": report.metrics.get("accuracy"),
        "baseline": report.baseline_metrics,
        "interval": None if shown is None else [shown.low, shown.high],
        "interval_of": None if shown is None else shown.name,
        "margin": MARGIN,
        "checks": [
            {"name": one.name, "verdict": one.verdict, "message": one.message}
            for one in report.checks
        ],
        "groups": [
            {
                "name": one.name,
                "n": one.n,
                "rate": one.value,
                "reference_rate": one.baseline,
                "ratio_low": one.low,
                "ratio_high": one.high,
                "verdict": one.message.partition(":")[0],
                "n_needed": one.n_needed,
                "message": one.message,
            }
            for one in report.checks
            if one.kind == "groups"
        ],
    }


def describe_gate(report: GateReport) -> str:
    """Return a verdict in a line or two."""
    found = gate_stage(report)
    words = {"pass": "PASS", "fail": "FAIL", "undetermined": "UNDETERMINED"}[report.verdict]
    failed = [one for one in report.checks if one.verdict != "pass"]
    line = (
        f"{words} on {found['n']} rows: auc {shown(found['auc'])}, "
        f"accuracy {shown(found['accuracy'])}"
    )
    if found["interval"] is not None:
        low, high = found["interval"]
        line += f"; {found['interval_of']} [{low:+.4f}, {high:+.4f}], margin {MARGIN}"
    for one in failed:
        needed = f"; about {one.n_needed} rows would decide" if one.n_needed else ""
        line += f"\n            {one.verdict}: {one.name}: {one.message}{needed}"
    return line


def shown(value: float | None) -> str:
    """Return a figure, or that nobody knows it."""
    return "unknown" if value is None else f"{value:.4f}"
