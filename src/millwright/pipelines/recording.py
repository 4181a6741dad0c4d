"""What is written down while a pipeline runs: runs, step rows, cached results, events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from millwright.core.digest import Digest
from millwright.core.errors import Failed, MillwrightError
from millwright.core.ids import RunId
from millwright.metadata.database import Writer
from millwright.metadata.tables import pipelines as tables
from millwright.metadata.tables import runs as run_tables
from millwright.metadata.tables import telemetry as telemetry_tables
from millwright.pipelines.arguments import Argument
from millwright.pipelines.cache import Cache, Cached, Missed
from millwright.pipelines.executor import Noted
from millwright.pipelines.graph import Graph, Node
from millwright.pipelines.host import Host
from millwright.pipelines.log import StepLog
from millwright.pipelines.plan import Known
from millwright.records.events import StepSkipped, Subject
from millwright.records.pipelines import PipelineRun, StepOutput
from millwright.records.runs import MetricPoint, Problem, RunLink, RunStatus

NO_RUN = RunId("")
"""Stands for a run that has not begun."""

_MAX_PARAM_CHARS = 8000
_STATUS: dict[str, RunStatus] = {
    "ran": "finished",
    "cached": "finished",
    "failed": "failed",
    "skipped": "cancelled",
}


@dataclass(slots=True)
class StepState:
    """A step on its way; changed by the execution alone."""

    node: Node
    state: Literal["waiting", "running", "ran", "cached", "failed", "skipped"] = "waiting"
    run: RunId = NO_RUN
    known: Known | None = None
    arguments: Mapping[str, Argument] = field(default_factory=dict[str, Argument])
    start_us: int = 0
    starts: int = 0
    log: StepLog = field(default_factory=StepLog)
    problem: Problem | None = None
    written: bool = False
    """Its end is in the store."""


class Recording:
    """One run of a pipeline, as it is written down; `begin` comes first."""

    def __init__(self, graph: Graph, host: Host, cache: Cache) -> None:
        self._graph = graph
        self._host = host
        self._cache = cache
        self.run = NO_RUN
        self._measured: dict[str, RunId] = {}
        """Step -> the run that measured its result: its own, or the one it was kept from."""

    def begin(self) -> None:
        """Begin the pipeline's run, with its parameters and inputs."""
        host = self._host
        with host.database.write() as tx:
            self.run = host.runs.start_in(
                tx,
                host.act,
                name=self._graph.pipeline,
                source=host.source,
                kind="pipeline",
                experiment=host.experiment,
                parent=None,
                pipeline=self._graph.pipeline,
            )
        if self._graph.params:
            params = self._graph.params.items()
            texts = {key: str(value)[:_MAX_PARAM_CHARS] for key, value in params}
            host.runs.log_params(host.act, self.run, texts)
        self.log_inputs(self.run, set(self._graph.inputs))

    def log_inputs(self, run: RunId, names: set[str]) -> None:
        """Link the pipeline's inputs of these names to a run that takes them."""
        links = [
            RunLink(
                way="input",
                name=name,
                what=given.what,
                id=given.id or given.digest,
                digest=given.digest,
            )
            for name, given in self._graph.inputs.items()
            if name in names
        ]
        if links:
            self._host.runs.log_links(self._host.act, run, links)

    def write_started(self, tx: Writer, step: StepState, why: str) -> None:
        """Begin the run of a step that is going to be submitted."""
        assert step.known is not None
        step.run = self._start_run(tx, step)
        if isinstance(step.known.found, Missed):
            self._cache.forget(tx, step.known.fingerprint, step.known.found)
        tables.insert_step_run(
            tx,
            run=step.run,
            step=step.node.name,
            fingerprint=step.known.fingerprint,
            outcome="running",
            why=why,
        )

    def write_cached(self, tx: Writer, step: StepState, why: str, found: Cached) -> None:
        """Record that a step's result was there already."""
        assert step.known is not None
        step.run = self._start_run(tx, step)
        tables.insert_step_run(
            tx,
            run=step.run,
            step=step.node.name,
            fingerprint=step.known.fingerprint,
            outcome="cached",
            why=why,
            outputs=found.outputs,
        )
        self._measured[step.node.name] = found.run
        self._finish_without_running(tx, step)

    def write_skipped(self, tx: Writer, step: StepState, why: str) -> None:
        """Record that a step could not run."""
        step.run = self._start_run(tx, step)
        tables.insert_step_run(
            tx, run=step.run, step=step.node.name, fingerprint=None, outcome="skipped", why=why
        )
        self._finish_without_running(tx, step)

    def keep_log(self, step: StepState) -> Digest | None:
        """Store what the step printed; None when that was nothing."""
        content = step.log.content()
        return self._host.store.put_bytes(content) if content else None

    def write_finished(
        self,
        tx: Writer,
        step: StepState,
        outputs: Sequence[StepOutput],
        log_digest: Digest | None,
    ) -> None:
        """Record how a step that ran has ended, and keep its result for the next time."""
        assert step.known is not None
        outcome = "ran" if step.state == "ran" else "failed"
        if outcome == "ran":
            self._measured[step.node.name] = step.run
        tables.end_step_run(tx, run=step.run, outcome=outcome, outputs=outputs)
        if outcome == "ran" and step.node.step.cache:
            now_us = self._host.clock.now_us()
            self._cache.keep(tx, step.known.fingerprint, step.run, list(outputs), now_us)
        self._host.runs.finish_in(
            tx,
            self._host.act,
            step.run,
            status=_STATUS[step.state],
            error=step.problem,
            log_digest=log_digest,
        )

    def write_notes(self, run: RunId, notes: Sequence[Noted]) -> list[MetricPoint]:
        """Keep what a step logged, and return its metrics.

        Raises what the run log raises for what it does not take, such as a parameter changed.
        """
        runs, act = self._host.runs, self._host.act
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        points: list[MetricPoint] = []
        for note in notes:
            if any(params.get(key, value) != value for key, value in note.params.items()):
                # Two values for one parameter: the run log is to see, and refuse, the second.
                runs.log_params(act, run, params)
            params |= note.params
            tags |= note.tags
            points += note.metrics
        if params:
            runs.log_params(act, run, params)
        if tags:
            runs.set_tags(act, run, tags)
        if points:
            runs.log_metrics(act, run, points)
        return points

    def end(self, status: RunStatus, problem: Problem | None) -> PipelineRun:
        """Close the pipeline's run, with what its steps measured, and return it as recorded."""
        host = self._host
        points = self._gather()
        if points:
            host.runs.log_metrics(host.act, self.run, points)
        with host.database.write() as tx:
            host.runs.finish_in(
                tx, host.act, self.run, status=status, error=problem, log_digest=None
            )
        with host.database.read() as tx:
            ended = tables.read_pipeline_run(tx, project=host.act.project_key, run=self.run)
        assert ended is not None, "the run was written by this recording"
        return ended

    def abandon(self, steps: Sequence[StepState], error: BaseException) -> None:
        """Close what is open, as far as the store still lets us."""
        what = f"the host broke: {type(error).__name__}: {error}"
        problem = Problem(code=Failed.code, what=what)
        for step in steps:
            if step.run == NO_RUN or step.written:
                continue
            step.state, step.problem = "failed", problem
            # One by one: of a transaction that was undone the store knows no run.
            with suppress(MillwrightError), self._host.database.write() as tx:
                self.write_finished(tx, step, [], None)
        try:
            self.end("cancelled" if isinstance(error, KeyboardInterrupt) else "failed", problem)
        except MillwrightError as second:
            error.add_note(f"the run could not be closed either: {second.what}")

    def _gather(self) -> list[MetricPoint]:
        """Return the newest point of each metric of the steps.

        Where two steps have one of the same name, each is called `step.name`.
        """
        with self._host.database.read() as tx:
            handles = {
                step: run_tables.find_handle(tx, project=self._host.act.project_key, run_id=run)
                for step, run in self._measured.items()
            }
            keys = {step: one.pk for step, one in handles.items() if one is not None}
            latest = telemetry_tables.read_latest(tx, run_pks=list(keys.values()))
        found = [(step, point) for step, pk in keys.items() for point in latest.get(pk, [])]
        times = Counter(point.key for _, point in found)
        return [
            point if times[point.key] == 1 else replace(point, key=f"{step}.{point.key}")
            for step, point in found
        ]

    def _start_run(self, tx: Writer, step: StepState) -> RunId:
        return self._host.runs.start_in(
            tx,
            self._host.act,
            name=step.node.name,
            source=self._host.source,
            kind="step",
            experiment=self._host.experiment,
            parent=self.run,
            pipeline=None,
        )

    def _finish_without_running(self, tx: Writer, step: StepState) -> None:
        detail = StepSkipped(pipeline=self._graph.pipeline, step=step.node.name, outcome=step.state)
        self._host.recorder.append(tx, self._host.act, detail, [Subject(kind="run", id=step.run)])
        self._host.runs.finish_in(
            tx,
            self._host.act,
            step.run,
            status=_STATUS[step.state],
            error=None,
            log_digest=None,
        )
