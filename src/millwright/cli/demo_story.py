"""The demo's story, stage by stage, over the doors that everybody has.

What a stage found is kept beside the home when it is done. The same command after a kill goes
on where the last finished stage ended: a stage that was under way is done again, and finds in
the home what it had done already.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from millwright.cli.demo_data import KEY, Change, Rows
from millwright.cli.demo_facts import APPROVER, NAME, POLL_S, WAIT_S, Stage
from millwright.cli.demo_live import Caller
from millwright.cli.demo_loop import tell_deployment, tell_drift, tell_retrain, tell_traffic
from millwright.cli.demo_release import tell_audit, tell_decision, tell_predictions, tell_rollout
from millwright.cli.demo_training import tell_data, tell_gate, tell_model, tell_pipeline
from millwright.cli.processes import CONTROL_PORT, SERVING_PORT, read_running
from millwright.cli.up import Running, processes
from millwright.core.errors import Failed, NeedsApproval, NotFound, TimedOut
from millwright.core.ids import JobId
from millwright.data.expectations import suggest
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import segments as segment_tables
from millwright.workspace.config import Config
from millwright.workspace.open import RUN_FOLDER, Workspace


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
            self._stage("data", lambda: tell_data(self, ws))
            self._stage("pipeline", lambda: tell_pipeline(self, ws))
            self._stage("model", lambda: tell_model(self, ws))
            self._stage("gate", lambda: tell_gate(self, ws))
            self._live(stack, ws)
        return self.stages

    def reason(self) -> str:
        """Return why the rows are added, for the journal."""
        if self.telling.uses_protected:
            return f"the demo; the protected column {self.telling.protected} is learnt from"
        return "the demo"

    def params(self, ws: Workspace, data: str, **more: object) -> dict[str, object]:
        """Return the pipeline's parameters for a dataset version."""
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

    def promote(self, ws: Workspace, ref: str, reason: str) -> None:
        """Make a version champion, with the second identity's approval where it is needed."""
        try:
            ws.models.promote(ref=ref, reason=reason)
        except NeedsApproval:
            self.approve(ws, ref)
            ws.models.promote(ref=ref, reason=reason)

    def approve(self, ws: Workspace, ref: str) -> None:
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

    def _live(self, stack: ExitStack, ws: Workspace) -> None:
        running = stack.enter_context(
            processes(
                self.config,
                port=CONTROL_PORT,
                serving_port=SERVING_PORT,
                keep=self.telling.keep,
            )
        )
        self._stage("deployment", lambda: tell_deployment(self, ws, running))
        version = ws.models.show(ref=f"{NAME}@v1")
        caller = Caller(running.serving_url, NAME, version.signature.inputs)
        stack.callback(caller.close)
        caller.wait_until_ready()
        self._stage("traffic", lambda: tell_traffic(self, ws, caller, running))
        self._stage("drift", lambda: tell_drift(self, ws, running))
        self._stage("retrain", lambda: tell_retrain(self, ws, running))
        self._stage("rollout", lambda: tell_rollout(self, ws, caller, running))
        self._stage("decision", lambda: tell_decision(self, ws, running))
        self._stage("predictions", lambda: tell_predictions(self, ws))
        self._stage("audit", lambda: tell_audit(self, ws))

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

    def wait(
        self,
        is_done: Callable[[], bool],
        running: Running,
        what: str,
        *,
        seconds: float = WAIT_S,
    ) -> None:
        """Return when `is_done` says so; raises Failed when a process dies, and TimedOut."""
        deadline = time.monotonic() + seconds
        while not is_done():
            self.check_alive(running, what)
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"the demo waited {seconds:.0f} s for {what}",
                    fix=f"see {self.config.home / 'log'}; the same command goes on",
                )
            time.sleep(POLL_S)

    def check_alive(self, running: Running, what: str) -> None:
        """Raise Failed with its last words when a process has died."""
        for child in running.children:
            if not child.is_alive():
                raise Failed(
                    f"{child.name} has died while the demo waited for {what}",
                    why=child.last_words()[-400:],
                    fix="run the same command again: it goes on where it was",
                )

    def check_jobs(self, ws: Workspace) -> None:
        """Raise Failed with the words of a job that has failed for good."""
        for job in ws.jobs.list_all(state="failed"):
            error = job.error
            raise Failed(
                f"the job {job.kind} failed: {error.what if error else 'nobody knows why'}",
                why=error.why if error else "",
                fix=f"see: mill job show {JobId(job.id)}",
            )

    def captured(self, ws: Workspace) -> tuple[int, int]:
        """Return how many decisions sealed segments hold, and how many are errors."""
        with ws.home.database.read() as tx:
            row = deployment_tables.find_deployment(tx, project=ws.session.key, name=NAME)
            assert row is not None
            return segment_tables.count_decisions(tx, deployment_pk=row.pk)

    def gate_text(self) -> str:
        """Return the project's gate."""
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
