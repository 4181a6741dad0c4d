"""The demo's story, stage by stage, over the doors that everybody has.

What a stage found is kept beside the home when it is done. The same command after a kill goes
on where the last finished stage ended: a stage that was under way is done again, and finds in
the home what it had done already.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from millwright.cli.demo_data import KEY, Change, Rows, draw
from millwright.cli.demo_live import Caller, Sent
from millwright.cli.processes import CONTROL_PORT, SERVING_PORT, read_running
from millwright.cli.up import Running, processes
from millwright.core.canonical import encode
from millwright.core.digest import digest_bytes
from millwright.core.errors import Failed, NeedsApproval, NotFound, TimedOut
from millwright.core.ids import DecisionId, JobId
from millwright.data.expectations import suggest
from millwright.data.frames import arrow_bytes
from millwright.governance.decisions import is_proven
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import segments as segment_tables
from millwright.records.automation import RuleSpec
from millwright.records.deployments import Rollout, RolloutPlan
from millwright.records.models import GateReport
from millwright.records.monitoring import DriftReport, MonitorSpec
from millwright.workspace.config import Config
from millwright.workspace.open import RUN_FOLDER, Workspace
from millwright.workspace.pipelines import run_apart

NAME = "demo"
TARGET_FILE = "pipeline.py:demo"
APPROVER = "demo-approver"
HEALTHY_REQUESTS = 300
CHANGED_REQUESTS = 600
CANARY_BATCH = 50
MAX_CANARY_REQUESTS = 3000
MARGIN = 0.05
WAIT_S = 75.0
POLL_S = 0.1

Stage = dict[str, Any]
"""What a stage found: `ok`, `outcome`, ids and counts; printed by `--json` as it is."""

SPEC = MonitorSpec(min_effect=0.2, min_rows=100, window_rows=HEALTHY_REQUESTS)
PLAN = RolloutPlan(
    steps=(5000,),
    error_margin=0.05,
    slow_margin=0.1,
    slow_after_us=20_000,
    min_keys=60,
    max_step_s=45.0,
)


@dataclass(frozen=True, slots=True)
class Telling:
    """What the story is told about."""

    scenario: str
    seed: int
    protected: str | None
    uses_protected: bool
    change: Change
    keep: bool


@dataclass(slots=True)
class Story:
    """One telling; `run` returns every stage."""

    config: Config
    rows: Rows
    telling: Telling
    say: Callable[[str], None]
    stages: dict[str, Stage] = field(default_factory=dict[str, Stage])
    began_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    """When this process took the story up."""

    @property
    def path(self) -> Path:
        """Where finished stages are kept."""
        return self.config.home / "demo.json"

    @property
    def is_high_risk(self) -> bool:
        """Whether somebody else must agree to a promotion."""
        return self.telling.protected is not None or self.telling.scenario == "unapproved"

    def run(self) -> dict[str, Stage]:
        """Tell the story from where it stands, and return its stages."""
        self.stages = self._load()
        if "audit" in self.stages:
            return self.stages
        end_leftovers(self.config.home / RUN_FOLDER)
        with ExitStack() as stack:
            ws = stack.enter_context(Workspace.open(self.config, create=True))
            self._stage("data", lambda: self._data(ws))
            self._stage("pipeline", lambda: self._pipeline(ws))
            self._stage("model", lambda: self._model(ws))
            self._stage("gate", lambda: self._gate(ws))
            self._live(stack, ws)
        return self.stages

    # Before anybody is answered

    def _data(self, ws: Workspace) -> Stage:
        path = self.config.home / "rows.arrow"
        path.write_bytes(arrow_bytes(self.rows.base.lazy()))
        digest = ws.artifacts.put_file(path)
        path.unlink()
        version = ws.data.add(
            name=NAME, digest=digest, format="arrow", source=self.rows.source, reason=self._reason()
        )
        expected = suggest(version.schema, ws.home.datasets.profile(ws.session.key, version.id))
        report = ws.data.validate(ref=f"{NAME}@v1", expectations=expected)
        failed = sum(not result.passed for result in report.results)
        self.say(
            f"data        {self.rows.source}\n"
            f"            {self.rows.base.height} rows to learn from and judge by, "
            f"{self.rows.live.height} kept for the live stream, disjoint by {KEY}\n"
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
            "live_rows": self.rows.live.height,
            "source": self.rows.source,
            "target": self.rows.target,
            "expectations": len(expected),
            "expectations_failed": failed,
        }

    def _reason(self) -> str:
        if self.telling.uses_protected:
            return f"the demo; the protected column {self.telling.protected} is learnt from"
        return "the demo"

    def _params(self, ws: Workspace, data: str, **more: object) -> dict[str, object]:
        version = ws.data.show(ref=f"{NAME}@v1")
        expected = suggest(version.schema, ws.home.datasets.profile(ws.session.key, version.id))
        wanted = [
            one
            for one in cast("list[dict[str, Any]]", msgspec.to_builtins(expected))
            # The live stream may bring values that the first rows did not have.
            if one["type"] in {"type", "row_count"}
        ]
        excluded = [
            column.name
            for column in version.schema.columns
            if column.name not in self.rows.features
        ]
        return {
            "data": data,
            "target": self.rows.target,
            "key": KEY,
            "excluded": excluded,
            "expectations": wanted,
            "risk": "high" if self.is_high_risk else "low",
            "seed": self.telling.seed,
            **more,
        }

    def _pipeline(self, ws: Workspace) -> Stage:
        params = self._params(ws, f"{NAME}@v1")
        runs: list[Stage] = []
        for reason in ("first training", "the same again"):
            begin = time.monotonic()
            run = run_apart(self.config, ws.session.act(reason), TARGET_FILE, params)
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
        self.say(
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

    def _model(self, ws: Workspace) -> Stage:
        version = ws.models.show(ref=f"{NAME}@v1")
        run = ws.runs.show(ref=str(version.run))
        assert run.parent is not None
        children = ws.runs.page(parent=run.parent, limit=100).runs
        params = {key: value for child in children for key, value in child.params.items()}
        metrics = {key: value for child in children for key, value in child.metrics.items()}
        shown = {key: metrics.get(key) for key in ("auc", "accuracy")}
        self.say(
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

    def _gate(self, ws: Workspace) -> Stage:
        ref = f"{NAME}@v1"
        verdicts = ws.gates.verdicts(ref=ref)
        report = (
            verdicts[-1]
            if verdicts
            else ws.gates.check(
                ref=ref,
                dataset=f"{NAME}-holdout@v1",
                target=self.rows.target,
                spec=self._gate_text(),
                reason="the first model",
            )
        )
        found = gate_stage(report)
        self.say(f"gate        {describe_gate(report)}")
        for group in found["groups"]:
            self.say(f"            {group['name']}: {group['message']}")
        if report.verdict != "pass":
            return found | {"ok": False, "outcome": f"the first model's gate said {report.verdict}"}
        self._promote(ws, ref, "first model")
        return found | {"outcome": "passed and promoted"}

    def _promote(self, ws: Workspace, ref: str, reason: str) -> None:
        try:
            ws.models.promote(ref=ref, reason=reason)
        except NeedsApproval:
            self._approve(ws, ref)
            ws.models.promote(ref=ref, reason=reason)

    def _approve(self, ws: Workspace, ref: str) -> None:
        """Agree as the demo's second, clearly labelled local identity."""
        home = ws.home
        try:
            principal = home.principal(APPROVER)
        except NotFound:
            ws.access.create_actor(
                name=APPROVER,
                role="approver",
                reason="a second local identity, made by the demo to stand for another person",
            )
            principal = home.principal(APPROVER)
        other = home.door(principal, self.config.project)
        other.models.approve(ref=ref, reason="seen and agreed to (the demo's second identity)")
        self.say(f"            {ref} approved by {APPROVER}, a second local identity of the demo")

    # With everything running

    def _live(self, stack: ExitStack, ws: Workspace) -> None:
        running = stack.enter_context(
            processes(
                self.config,
                port=CONTROL_PORT,
                serving_port=SERVING_PORT,
                keep=self.telling.keep,
            )
        )
        self._stage("deployment", lambda: self._deployment(ws, running))
        version = ws.models.show(ref=f"{NAME}@v1")
        caller = Caller(running.serving_url, NAME, version.signature.inputs)
        stack.callback(caller.close)
        caller.wait_until_ready()
        self._stage("traffic", lambda: self._traffic(ws, caller, running))
        self._stage("drift", lambda: self._drift(ws, running))
        self._stage("retrain", lambda: self._retrain(ws, running))
        self._stage("rollout", lambda: self._rollout(ws, caller, running))
        self._stage("decision", lambda: self._decision(ws, running))
        self._stage("predictions", lambda: self._predictions(ws))
        self._stage("audit", lambda: self._audit(ws))

    def _deployment(self, ws: Workspace, running: Running) -> Stage:
        deployment = ws.deployments.create(
            name=NAME, model=f"{NAME}@v1", reason="the first model answers"
        )
        ws.monitors.create(name=NAME, deployment=NAME, spec=SPEC, reason="watched from the start")
        if self.telling.scenario != "healthy":
            for name, spec in self._rules(ws).items():
                ws.rules.put(name=name, spec=spec, reason="the loop closes by itself")
        self.say(
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

    def _rules(self, ws: Workspace) -> dict[str, RuleSpec]:
        release: dict[str, Any] = {
            "deployment": NAME,
            "model": "${name}@v${version}",
            "plan": msgspec.to_builtins(PLAN),
        }
        candidate: dict[str, Any] = {}
        if self.telling.scenario == "bad-candidate":
            candidate = {"trees": 1, "max_depth": 1}
        if self.telling.scenario == "faulty-canary":
            candidate = {"kind": "boosting", "trees": 1500}
        params = self._params(ws, "${name}@v${version}", **candidate)
        return {
            "collect-labels": RuleSpec(
                event="AlertRaised",
                where={"deployment": NAME, "kind": "drift"},
                job="labels.collect",
                args={
                    "deployment": NAME,
                    "dataset": NAME,
                    "base": f"{NAME}@v1",
                    "target": self.rows.target,
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
                    "target": self.rows.target,
                    "spec": self._gate_text(),
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

    def _traffic(self, ws: Workspace, caller: Caller, running: Running) -> Stage:
        """Send the healthy phase, then the changed one, with labels behind each batch."""
        change = None if self.telling.scenario == "healthy" else self.telling.change
        total = Sent()
        for phase, count, applied in (
            ("healthy", HEALTHY_REQUESTS, None),
            ("changed", CHANGED_REQUESTS, change),
        ):
            batch = caller.send(
                draw(self.rows, seed=self.telling.seed, phase=phase, count=count, change=applied)
            )
            ws.labels.add(deployment=NAME, labels=batch.labels, reason="ground truth arrives")
            total.add(batch)
            self._wait(lambda: self._captured(ws)[0] >= total.answered, running, "decisions sealed")
            if phase == "healthy":
                # The next window begins with the change, so that neither dilutes the other.
                self._wait(lambda: ws.monitors.show(name=NAME).looks > 0, running, "first look")
                self.say(
                    f"predictions {batch.answered} answers, median "
                    f"{statistics.median(batch.times_us) / 1000:.2f} ms; "
                    "drawn from the live rows with replacement, every draw a new key"
                )
        if change is not None:
            self.say(
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

    def _drift(self, ws: Workspace, running: Running) -> Stage:
        def looked_at_all() -> bool:
            seen = sum(report.rows for report in last_of_windows(ws.monitors.reports(name=NAME)))
            return seen >= HEALTHY_REQUESTS + CHANGED_REQUESTS - SPEC.min_rows

        if self.telling.scenario == "healthy":
            self._wait(looked_at_all, running, "the monitor's looks")
        else:
            self._wait(lambda: bool(ws.alerts.list_all()), running, "the alert")
            with suppress(TimedOut):
                self._wait(looked_at_all, running, "the monitor's looks", seconds=5.0)
        reports = ws.monitors.reports(name=NAME)
        alerts = ws.alerts.list_all()
        named = sorted({column for alert in alerts for column in alert.columns})
        shown = max(reports, key=lambda one: (len(one.drifted), one.n))
        verdict = {"drifted": bool(named), "columns": named}
        is_right = (
            not named
            if self.telling.scenario == "healthy"
            else self.telling.change.column in named and len(named) <= 2
        )
        if named:
            self.say(f"drift       ALERT {alerts[-1].message}")
        else:
            self.say(f"drift       none in {len(reports)} looks at {shown.rows} rows")
        return {
            "ok": is_right,
            "outcome": f"alert: {', '.join(named)}" if named else "no drift",
            "monitor": NAME,
            "alert": alerts[-1].id if alerts else None,
            "named": named,
            "simulated": None
            if self.telling.scenario == "healthy"
            else {"column": self.telling.change.column, "change": self.telling.change.words()},
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

    def _retrain(self, ws: Workspace, running: Running) -> Stage:
        if self.telling.scenario == "healthy":
            self.say("retrain     not needed")
            return {"ok": True, "outcome": "not needed", "version": None}
        self.say("retrain     by the rule: labels that have arrived → new data → pipeline → gate")
        ref = f"{NAME}@v2"

        def judged() -> bool:
            self._check_jobs(ws)
            with suppress(NotFound):
                return bool(ws.gates.verdicts(ref=ref))
            return False

        self._wait(judged, running, "the retrained model's verdict")
        version = ws.models.show(ref=ref)
        report = ws.gates.verdicts(ref=ref)[0]
        data = ws.data.show(ref=f"{NAME}@v2")
        self.say(
            f"            {NAME}@v2 on {data.row_count} rows {data.digest[:15]}…  "
            f"model {version.digest[:15]}…\n            gate {describe_gate(report)}"
        )
        wants_pass = self.telling.scenario != "bad-candidate"
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

    def _rollout(self, ws: Workspace, caller: Caller, running: Running) -> Stage:
        none: Stage = {"ok": True, "state": None, "looks": []}
        if self.telling.scenario == "healthy":
            return none | {"outcome": "none needed"}
        if self.telling.scenario == "bad-candidate":
            self.say("rollout     none: the gate said no")
            return none | {"outcome": "none: the gate said no"}
        if self.is_high_risk:
            self._wait(
                lambda: (
                    bool(ws.models.approvals(state="waiting"))
                    or bool(ws.deployments.rollouts(name=NAME))
                ),
                running,
                "the request for approval",
            )
            if self.telling.scenario == "unapproved":
                waiting = ws.models.approvals(state="waiting")[0]
                self.say(
                    f"rollout     {NAME}@v2 waits for somebody other than the requester\n"
                    f"            mill model approve {NAME}@v2 --as {APPROVER}"
                )
                return none | {"outcome": "waits for approval", "approval": waiting.id}
            if ws.models.approvals(state="waiting"):
                self._approve(ws, f"{NAME}@v2")
        self._wait(lambda: bool(ws.deployments.rollouts(name=NAME)), running, "the rollout")
        sent = self._send_until_ended(ws, caller, running)
        newest = ws.deployments.rollouts(name=NAME)[0]
        if newest.state == "inconclusive" and newest.started_us < self.began_us:
            reason = "the rollout before ran out of its time while the demo was away"
            self.say(f"            {reason}; another is begun")
            ws.deployments.roll_out(
                name=NAME, model=f"{NAME}@v{newest.candidate}", plan=PLAN, reason=reason
            )
            sent.add(self._send_until_ended(ws, caller, running))
        rollout = ws.deployments.rollouts(name=NAME)[0]
        sent.add(
            self._send_until_answered_by(caller, ws.models.show(ref=f"{NAME}@champion").version)
        )
        expected = "rolled_back" if self.telling.scenario == "faulty-canary" else "promoted"
        champion = ws.models.show(ref=f"{NAME}@champion")
        self.say(
            f"rollout     v{rollout.candidate} at {rollout.plan.steps[0] / 100:.0f} % of the keys: "
            f"{rollout.state.replace('_', ' ')} after {len(rollout.looks)} looks\n"
            f"            {rollout.why}\n            champion is v{champion.version}"
        )
        return {
            "ok": rollout.state == expected,
            "outcome": rollout.state,
            "id": rollout.id,
            "state": rollout.state,
            "champion": rollout.champion,
            "candidate": rollout.candidate,
            "why": rollout.why,
            "requests": sent.sent,
            "errors": sent.errors,
            "champion_now": champion.version,
            "last": sent.last,
            "looks": [
                {
                    "n": look.n,
                    "action": look.action,
                    "champion_keys": look.seen.champion.keys,
                    "candidate_keys": look.seen.candidate.keys,
                    "errors": [look.error_difference, look.error_low, look.error_high],
                    "slow": [look.slow_difference, look.slow_low, look.slow_high],
                    "why": look.why,
                }
                for look in rollout.looks
            ],
            "verdict_digest": digest_bytes(
                encode({"candidate": rollout.candidate, "state": rollout.state})
            ),
        }

    def _send_until_ended(self, ws: Workspace, caller: Caller, running: Running) -> Sent:
        total = Sent()
        deadline = time.monotonic() + PLAN.max_step_s + WAIT_S
        for batch in range(MAX_CANARY_REQUESTS // CANARY_BATCH):
            if _has_ended(ws.deployments.rollouts(name=NAME)[0]):
                return total
            self._check_alive(running, "the rollout")
            draws = draw(
                self.rows,
                seed=self.telling.seed,
                # Named by the process, so that keys sent before a kill do not come again.
                phase=f"canary-{os.getpid()}-{batch}",
                count=CANARY_BATCH,
                change=self.telling.change,
            )
            total.add(caller.send(draws))
        while not _has_ended(ws.deployments.rollouts(name=NAME)[0]):
            self._check_alive(running, "the rollout")
            if time.monotonic() > deadline:
                raise TimedOut("the rollout has not ended", fix="see: mill deploy show demo")
            time.sleep(POLL_S)
        return total

    def _send_until_answered_by(self, caller: Caller, version: int) -> Sent:
        """Send single requests until the version answers: plans are followed within moments."""
        total = Sent()
        deadline = time.monotonic() + WAIT_S
        while total.versions.get(str(version), 0) == 0 and time.monotonic() < deadline:
            number = total.sent
            phase = f"after-{os.getpid()}-{number}"
            change = self.telling.change
            total.add(
                caller.send(
                    draw(self.rows, seed=self.telling.seed, phase=phase, count=1, change=change)
                )
            )
            time.sleep(POLL_S)
        return total

    def _decision(self, ws: Workspace, running: Running) -> Stage:
        last = self.stages["rollout"].get("last") or self.stages["traffic"]["last"]
        decision = DecisionId(last)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                chain = ws.decisions.show(id=decision)
                break
            except NotFound:
                self._check_alive(running, "the decision's segment")
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
        explained = ws.decisions.explain(id=decision)
        top = sorted(explained.contributions.items(), key=lambda one: -abs(one[1]))[:3]
        proven = is_proven(ws.home.decisions.find(ws.session.key, decision))
        data = ", ".join(f"{one.name}@v{one.version}" for one in chain.datasets) or "no dataset"
        self.say(
            f"decision    {decision}: {chain.decision.prediction!r}, score "
            f"{chain.decision.score:.4f}, by v{chain.decision.version}, trained on {data}\n"
            f"            in its segment and the journal: {'proven' if proven else 'NOT PROVEN'}\n"
            f"            {explained.output:.4f} = {explained.base:.4f} "
            + " ".join(f"{value:+.4f} {name}" for name, value in top)
            + f" and {len(explained.contributions) - len(top)} more; rest {explained.residue:.1e}"
        )
        return {
            "ok": proven and abs(explained.residue) < 1e-9 and bool(chain.datasets),
            "outcome": "traced, proven, explained",
            "id": decision,
            "version": chain.decision.version,
            "model_version": chain.model_version.id,
            "model_digest": chain.model_version.digest,
            "run": None if chain.run is None else chain.run.id,
            "datasets": [one.digest for one in chain.datasets],
            "gates": [one.id for one in chain.gates],
            "prediction": chain.decision.prediction,
            "score": chain.decision.score,
            "segment": chain.segment.id,
            "root": chain.segment.root,
            "journal_index": chain.in_journal.index,
            "base": explained.base,
            "output": explained.output,
            "contributions": explained.contributions,
            "residue": explained.residue,
        }

    def _predictions(self, ws: Workspace) -> Stage:
        count, errors = self._captured(ws)
        performance = ws.monitors.performance(deployment=NAME)
        traffic = self.stages["traffic"]
        canary = self.stages["rollout"].get("requests", 0)
        self.say(
            f"accounted   {count} decisions in sealed segments; {performance.labelled} labelled, "
            f"accuracy {_shown(performance.accuracy)} "
            f"[{_shown(performance.accuracy_low)}, {_shown(performance.accuracy_high)}]"
        )
        return {
            "ok": errors == 0 and count >= traffic["answered"],
            "outcome": "answered and captured",
            "deployment": NAME,
            "count": count,
            "errors": errors,
            "sent": traffic["sent"] + canary,
            "median_ms": traffic["median_ms"],
            "labelled": performance.labelled,
            "accuracy": performance.accuracy,
        }

    def _audit(self, ws: Workspace) -> Stage:
        found = ws.audit.verify()
        note = ws.audit.checkpoint()
        (self.config.root / "checkpoint.txt").write_text(note, encoding="utf-8")
        again = ws.audit.verify(against=note)
        self.say(
            f"audit       {found.size} events verified, root {found.root[:16]}…; "
            "a checkpoint lies in checkpoint.txt: keep a copy elsewhere"
        )
        return {
            "ok": found.ok and again.ok,
            "outcome": "verified" if found.ok and again.ok else "NOT VERIFIED",
            "events": found.size,
            "root": found.root,
            "problems": len(found.problems),
            "cannot_exclude": found.cannot_exclude,
        }

    # What the stages share

    def _stage(self, name: str, tell: Callable[[], Stage]) -> None:
        if name in self.stages:
            return
        self.stages[name] = tell()
        aside = self.path.with_suffix(".part")
        aside.write_bytes(msgspec.json.encode({"telling": self._key(), "stages": self.stages}))
        aside.replace(self.path)
        if not self.stages[name]["ok"]:
            raise Failed(
                f"the demo's stage {name} did not come out as its scenario says: "
                f"{self.stages[name]['outcome']}",
                fix=f"look around: cd {self.config.root} && mill status",
            )

    def _key(self) -> dict[str, Any]:
        return {
            "scenario": self.telling.scenario,
            "seed": self.telling.seed,
            "data": self.rows.digest,
            "target": self.rows.target,
            "protected": self.telling.protected,
            "features": self.rows.features,
            "change": f"{self.telling.change.column}:{self.telling.change.operation}",
        }

    def _load(self) -> dict[str, Stage]:
        if not self.path.exists():
            return {}
        kept = msgspec.json.decode(self.path.read_bytes())
        if kept["telling"] != self._key():
            raise Failed(
                f"{self.config.root} holds another telling of the demo",
                why=f"it was told with {kept['telling']}",
                fix="name another folder with --home, or remove that one",
            )
        stages = {name: stage for name, stage in kept["stages"].items() if stage["ok"]}
        if stages:
            self.say(f"going on in {self.config.root}; done already: {', '.join(stages)}")
        return stages

    def _wait(
        self,
        is_done: Callable[[], bool],
        running: Running,
        what: str,
        *,
        seconds: float = WAIT_S,
    ) -> None:
        deadline = time.monotonic() + seconds
        while not is_done():
            self._check_alive(running, what)
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"the demo waited {seconds:.0f} s for {what}",
                    fix=f"see {self.config.home / 'log'}; the same command goes on",
                )
            time.sleep(POLL_S)

    def _check_alive(self, running: Running, what: str) -> None:
        for child in running.children:
            if not child.is_alive():
                raise Failed(
                    f"{child.name} has died while the demo waited for {what}",
                    why=child.last_words()[-400:],
                    fix="run the same command again: it goes on where it was",
                )

    def _check_jobs(self, ws: Workspace) -> None:
        for job in ws.jobs.list_all(state="failed"):
            error = job.error
            raise Failed(
                f"the job {job.kind} failed: {error.what if error else 'nobody knows why'}",
                why=error.why if error else "",
                fix=f"see: mill job show {JobId(job.id)}",
            )

    def _captured(self, ws: Workspace) -> tuple[int, int]:
        with ws.home.database.read() as tx:
            row = deployment_tables.find_deployment(tx, project=ws.session.key, name=NAME)
            assert row is not None
            return segment_tables.count_decisions(tx, deployment_pk=row.pk)

    def _gate_text(self) -> str:
        return (self.config.root / "gate.yaml").read_text(encoding="utf-8")


def end_leftovers(folder: Path) -> None:
    """End the processes of this home that a killed demo left behind, and wait for them."""
    for entry in read_running(folder):
        with suppress(ProcessLookupError):
            os.kill(entry.pid, signal.SIGTERM)
    deadline = time.monotonic() + 20.0
    while read_running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    for entry in read_running(folder):
        with suppress(ProcessLookupError):
            os.kill(entry.pid, signal.SIGKILL)


def last_of_windows(reports: list[DriftReport]) -> list[DriftReport]:
    """Return the last report of each window, given reports newest first."""
    found: dict[tuple[int, int], DriftReport] = {}
    for report in reports:
        found.setdefault((report.version, report.window), report)
    return list(found.values())


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
        f"{words} on {found['n']} rows: auc {_shown(found['auc'])}, "
        f"accuracy {_shown(found['accuracy'])}"
    )
    if found["interval"] is not None:
        low, high = found["interval"]
        line += f"; {found['interval_of']} [{low:+.4f}, {high:+.4f}], margin {MARGIN}"
    for one in failed:
        needed = f"; about {one.n_needed} rows would decide" if one.n_needed else ""
        line += f"\n            {one.verdict}: {one.name}: {one.message}{needed}"
    return line


def _has_ended(rollout: Rollout) -> bool:
    return rollout.state != "running"


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
