"""The demo with everything running: traffic, drift, retraining."""

from __future__ import annotations

import statistics
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec

from millwright.cli.demo_data import KEY, draw
from millwright.cli.demo_facts import (
    CHANGED_REQUESTS,
    HEALTHY_REQUESTS,
    NAME,
    PLAN,
    SPEC,
    TARGET_FILE,
    Stage,
)
from millwright.cli.demo_live import Caller, Sent
from millwright.cli.demo_training import describe_gate, gate_stage
from millwright.cli.up import Running
from millwright.core.canonical import encode
from millwright.core.digest import digest_bytes
from millwright.core.errors import NotFound, TimedOut
from millwright.records.automation import RuleSpec
from millwright.records.monitoring import DriftReport
from millwright.workspace.open import Workspace

if TYPE_CHECKING:
    from millwright.cli.demo_story import Story


def tell_deployment(story: Story, ws: Workspace, running: Running) -> Stage:
    """Let the first model answer, watched, with the rules that close the loop."""
    deployment = ws.deployments.create(
        name=NAME, model=f"{NAME}@v1", reason="the first model answers"
    )
    ws.monitors.create(name=NAME, deployment=NAME, spec=SPEC, reason="watched from the start")
    if story.telling.scenario != "healthy":
        for name, spec in _rules(story, ws).items():
            ws.rules.put(name=name, spec=spec, reason="the loop closes by itself")
    story.say(
        f"deployment  {NAME} answers with v1 at {running.serving_url}/v2/models/{NAME}/infer\n"
        f"            control plane {running.url}"
    )
    return {
        "ok": True,
        "outcome": "answering",
        "deployment": NAME,
        "id": deployment.id,
        "model_version": deployment.variants[0].model_version,
        "rules": [rule.name for rule in ws.rules.list_all()],
    }


def _rules(story: Story, ws: Workspace) -> dict[str, RuleSpec]:
    release: dict[str, Any] = {
        "deployment": NAME,
        "model": "${name}@v${version}",
        "plan": msgspec.to_builtins(PLAN),
    }
    candidate: dict[str, Any] = {}
    if story.telling.scenario == "bad-candidate":
        candidate = {"trees": 1, "max_depth": 1}
    if story.telling.scenario == "faulty-canary":
        candidate = {"kind": "boosting", "trees": 1500}
    params = story.params(ws, "${name}@v${version}", **candidate)
    return {
        "collect-labels": RuleSpec(
            event="AlertRaised",
            where={"deployment": NAME, "kind": "drift"},
            job="labels.collect",
            args={
                "deployment": NAME,
                "dataset": NAME,
                "base": f"{NAME}@v1",
                "target": story.rows.target,
                "key": KEY,
                "min_labels": HEALTHY_REQUESTS + CHANGED_REQUESTS,
            },
            cool_down_s=3600.0,
        ),
        "retrain": RuleSpec(
            event="DatasetVersionCreated",
            where={"name": NAME},
            job="pipeline.run",
            args={"pipeline": TARGET_FILE, "params": cast("Any", params)},
        ),
        "judge": RuleSpec(
            event="ModelVersionRegistered",
            where={"name": NAME},
            job="gate.check",
            args={
                "model": "${name}@v${version}",
                "dataset": f"{NAME}-holdout@latest",
                "target": story.rows.target,
                "spec": story.gate_text(),
            },
        ),
        "release": RuleSpec(
            event="GateEvaluated",
            where={"name": NAME, "verdict": "pass"},
            job="deployment.roll_out",
            args=release,
        ),
        "release-when-approved": RuleSpec(
            event="ApprovalGranted",
            where={"name": NAME, "alias": "champion"},
            job="deployment.roll_out",
            args=release,
        ),
    }


def tell_traffic(story: Story, ws: Workspace, caller: Caller, running: Running) -> Stage:
    """Send the healthy phase, then the changed one, with labels behind each batch."""
    change = None if story.telling.scenario == "healthy" else story.telling.change
    total = Sent()
    for phase, count, applied in (
        ("healthy", HEALTHY_REQUESTS, None),
        ("changed", CHANGED_REQUESTS, change),
    ):
        batch = caller.send(
            draw(story.rows, seed=story.telling.seed, phase=phase, count=count, change=applied)
        )
        ws.labels.add(deployment=NAME, labels=batch.labels, reason="ground truth arrives")
        total.add(batch)
        story.wait(lambda: story.captured(ws)[0] >= total.answered, running, "decisions sealed")
        if phase == "healthy":
            # The next window begins with the change, so that neither dilutes the other.
            story.wait(lambda: ws.monitors.show(name=NAME).looks > 0, running, "first look")
            story.say(
                f"predictions {batch.answered} answers, median "
                f"{statistics.median(batch.times_us) / 1000:.2f} ms; "
                "drawn from the live rows with replacement, every draw a new key"
            )
    if change is not None:
        story.say(
            f"change      SIMULATED in the live stream from request {HEALTHY_REQUESTS} on: "
            f"{change.column}, {change.words()}"
        )
    return {
        "ok": total.errors == 0,
        "outcome": "answered",
        "sent": total.sent,
        "answered": total.answered,
        "labels": len(total.labels),
        "median_ms": round(statistics.median(total.times_us) / 1000, 3),
        "last": total.last,
    }


def tell_drift(story: Story, ws: Workspace, running: Running) -> Stage:
    """Wait for what the monitor finds."""

    def looked_at_all() -> bool:
        seen = sum(report.rows for report in last_of_windows(ws.monitors.reports(name=NAME)))
        return seen >= HEALTHY_REQUESTS + CHANGED_REQUESTS - SPEC.min_rows

    if story.telling.scenario == "healthy":
        story.wait(looked_at_all, running, "the monitor's looks")
    else:
        story.wait(lambda: bool(ws.alerts.list_all()), running, "the alert")
        with suppress(TimedOut):
            story.wait(looked_at_all, running, "the monitor's looks", seconds=5.0)
    reports = ws.monitors.reports(name=NAME)
    alerts = ws.alerts.list_all()
    named = sorted({column for alert in alerts for column in alert.columns})
    shown = max(reports, key=lambda one: (len(one.drifted), one.n))
    verdict = {"drifted": bool(named), "columns": named}
    is_right = (
        not named
        if story.telling.scenario == "healthy"
        else story.telling.change.column in named and len(named) <= 2
    )
    if named:
        story.say(f"drift       ALERT {alerts[-1].message}")
    else:
        story.say(f"drift       none in {len(reports)} looks at {shown.rows} rows")
    return {
        "ok": is_right,
        "outcome": f"alert: {', '.join(named)}" if named else "no drift",
        "monitor": NAME,
        "alert": alerts[-1].id if alerts else None,
        "named": named,
        "simulated": None
        if story.telling.scenario == "healthy"
        else {"column": story.telling.change.column, "change": story.telling.change.words()},
        "looks": len(reports),
        "rows": shown.rows,
        "reference_rows": shown.reference_rows,
        "threshold": shown.threshold,
        "columns": {
            one.column: {
                "distance": one.distance,
                "low": one.low,
                "high": one.high,
                "evidence": one.evidence,
                "drifted": one.drifted,
                "detectable": one.detectable,
            }
            for one in shown.columns
        },
        "verdict_digest": digest_bytes(encode(verdict)),
    }


def tell_retrain(story: Story, ws: Workspace, running: Running) -> Stage:
    """Wait for what the rules do about it."""
    if story.telling.scenario == "healthy":
        story.say("retrain     not needed")
        return {"ok": True, "outcome": "not needed", "version": None}
    story.say("retrain     by the rule: labels that have arrived → new data → pipeline → gate")
    ref = f"{NAME}@v2"

    def judged() -> bool:
        story.check_jobs(ws)
        with suppress(NotFound):
            return bool(ws.gates.verdicts(ref=ref))
        return False

    story.wait(judged, running, "the retrained model's verdict")
    version = ws.models.show(ref=ref)
    report = ws.gates.verdicts(ref=ref)[0]
    data = ws.data.show(ref=f"{NAME}@v2")
    story.say(
        f"            {NAME}@v2 on {data.row_count} rows {data.digest[:15]}…  "
        f"model {version.digest[:15]}…\n            gate {describe_gate(report)}"
    )
    wants_pass = story.telling.scenario != "bad-candidate"
    champion = ws.models.show(ref=f"{NAME}@champion")
    return {
        # One that passed may be champion by now, when a kill lies between then and now.
        "ok": report.verdict == "pass" if wants_pass else champion.version == 1,
        "outcome": "gate passed"
        if report.verdict == "pass"
        else f"gate said {report.verdict}; champion unchanged",
        "dataset": f"{NAME}@v2",
        "dataset_digest": data.digest,
        "rows": data.row_count,
        "run": version.run,
        "model": NAME,
        "version": version.version,
        "id": version.id,
        "digest": version.digest,
        "gate": gate_stage(report),
    }


def last_of_windows(reports: list[DriftReport]) -> list[DriftReport]:
    """Return the last report of each window, given reports newest first."""
    found: dict[tuple[int, int], DriftReport] = {}
    for report in reports:
        found.setdefault((report.version, report.window), report)
    return list(found.values())
