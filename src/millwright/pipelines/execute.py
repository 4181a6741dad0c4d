"""Carry out a plan: start what is ready, keep what ends, tell what happens.

The state is in the metadata store and nowhere else. A step is finished in one transaction (its
run, its step row, its cached result, the journal's event), so a host that is killed leaves
each step either finished or not, and the same command again continues: finished steps are
found in the cache. Nothing is locked meanwhile, so several runs of one pipeline do not wait
for, or disturb, each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from millwright.core.clock import US_PER_S
from millwright.core.errors import Failed, MillwrightError
from millwright.core.ids import RunId
from millwright.metadata.database import Writer
from millwright.metadata.tables import pipelines as tables
from millwright.pipelines.arguments import Argument, refs_in
from millwright.pipelines.cache import Cache, Cached, Missed
from millwright.pipelines.context import answer_with, problem_of
from millwright.pipelines.executor import (
    Broke,
    Finished,
    Logged,
    Lost,
    Message,
    Noted,
    Progressed,
    Task,
)
from millwright.pipelines.fingerprint import Fingerprinter
from millwright.pipelines.graph import Graph, Node, Pipeline
from millwright.pipelines.host import Host, OnEvent, StepEvent, StepEventKind, ignore
from millwright.pipelines.plan import Known, Made, bind_arguments, decide
from millwright.pipelines.plan import plan as make_plan
from millwright.pipelines.recording import Recording, StepState
from millwright.records.pipelines import Fingerprint, PipelineRun, PlannedStep, StepOutput
from millwright.records.runs import Infinite, Problem, RunStatus

LOG_LINES = 20
"""How many lines of its log a failed step's report holds."""

_MAX_STARTS = 2


def execute(
    pipeline: Pipeline[..., object],
    params: Mapping[str, object],
    *,
    host: Host,
    on_event: OnEvent = ignore,
) -> PipelineRun:
    """Run what must be run of a pipeline, and return how each step ended.

    A failed step fails the run and skips the steps that need it; all others end. Ctrl-C starts
    nothing more and waits for what runs; a second one ends it at once; the run is `cancelled`.

    Raises Invalid, before anything is recorded, for parameters, wiring or steps that cannot be.
    """
    graph = pipeline.build(**params)
    return _Execution(graph, host, on_event).run()


def plan(
    pipeline: Pipeline[..., object], params: Mapping[str, object], *, host: Host
) -> list[PlannedStep]:
    """Return what `execute` would do now, and why, without doing it."""
    graph = pipeline.build(**params)
    knowledge = _Knowledge(graph, host)
    return make_plan(
        graph, know=knowledge.of, address=lambda node: knowledge.code.code_of(node.step).address
    )


class _Knowledge:
    """Finds out what is known of steps: their fingerprints, and results kept earlier."""

    def __init__(self, graph: Graph, host: Host) -> None:
        self.code = Fingerprinter(host.project_root)
        for node in graph.nodes:
            self.code.code_of(node.step)
        self.cache = Cache(host.database, host.store, host.act.project_key)
        self._graph = graph
        self._host = host
        self._previous: dict[str, Fingerprint] | None = None

    def of(self, node: Node, arguments: Mapping[str, Argument]) -> Known:
        fingerprint = self.code.fingerprint(node.step, arguments)
        found = self.cache.look_up(fingerprint) if node.step.cache else Missed()
        if isinstance(found, Cached):
            return Known(fingerprint, found)
        return Known(fingerprint, found, self._last(node.name))

    def _last(self, step: str) -> Fingerprint | None:
        if self._previous is None:
            with self._host.database.read() as tx:
                self._previous = tables.read_previous(
                    tx, project=self._host.act.project_key, pipeline=self._graph.pipeline
                )
        return self._previous.get(step)


class _Execution:
    def __init__(self, graph: Graph, host: Host, on_event: OnEvent) -> None:
        self._graph = graph
        self._host = host
        self._on_event = on_event
        self._knowledge = _Knowledge(graph, host)
        self._answer = answer_with(host.door)
        self._steps = {node.name: StepState(node) for node in graph.nodes}
        self._made: dict[str, Made] = {}
        self._by_run: dict[str, StepState] = {}
        self._recording = Recording(graph, host, self._knowledge.cache)
        self._start_us = 0
        self._draining = False
        # What is to be written in the next transaction, and done once it is committed.
        self._changes: list[Callable[[Writer], None]] = []
        self._afterwards: list[Callable[[], None]] = []

    def run(self) -> PipelineRun:
        self._begin()
        try:
            while True:
                self._start_what_is_ready()
                self._write()
                if not self._by_run:
                    break
                self._take_messages()
        except BaseException as error:
            self._abandon(error)
            raise
        return self._end()

    def _begin(self) -> None:
        self._start_us = self._host.clock.now_us()
        self._recording.begin()
        self._tell("run_started", self._recording.run, text=self._graph.pipeline)

    def _start_what_is_ready(self) -> None:
        """Decide on every step whose inputs are there; a cached one may make others ready."""
        for step in self._steps.values():
            if step.state != "waiting":
                continue
            broken = [name for name in step.node.needs() if self._is_broken(name)]
            if broken or self._draining:
                why = f"needs {', '.join(broken)}" if broken else "the run was cancelled"
                self._skip(step, why)
            elif all(name in self._made for name in step.node.needs()):
                self._decide(step)

    def _is_broken(self, name: str) -> bool:
        return self._steps[name].state in {"failed", "skipped"}

    def _decide(self, step: StepState) -> None:
        step.arguments = bind_arguments(self._graph, step.node, self._made)
        step.known = self._knowledge.of(step.node, step.arguments)
        planned = decide(step.node, step.known)
        found = step.known.found
        step.start_us = self._host.clock.now_us()
        if planned.action == "reuse" and isinstance(found, Cached):
            step.state = "cached"
            self._keep_made(step, found.outputs)
            self._changes.append(
                lambda tx: self._recording.write_cached(tx, step, planned.why, found)
            )
            self._afterwards.append(lambda: self._tell("cached", step.run, step, why=planned.why))
            return
        step.state = "running"
        self._changes.append(lambda tx: self._recording.write_started(tx, step, planned.why))
        self._afterwards.append(lambda: self._submit(step, planned.why))

    def _keep_made(self, step: StepState, outputs: list[StepOutput]) -> None:
        address = self._knowledge.code.code_of(step.node.step).address
        self._made[step.node.name] = Made({output.name: output for output in outputs}, address)

    def _skip(self, step: StepState, why: str) -> None:
        step.state = "skipped"
        step.start_us = self._host.clock.now_us()
        self._changes.append(lambda tx: self._recording.write_skipped(tx, step, why))
        self._afterwards.append(lambda: self._close(step, "skipped", why=why))

    def _write(self) -> None:
        changes, self._changes = self._changes, []
        afterwards, self._afterwards = self._afterwards, []
        if changes:
            with self._host.database.write() as tx:
                for change in changes:
                    change(tx)
        for action in afterwards:
            action()

    def _submit(self, step: StepState, why: str) -> None:
        host = self._host
        assert step.known is not None
        code = self._knowledge.code.code_of(step.node.step)
        damaged = step.known.found.damaged if isinstance(step.known.found, Missed) else ()
        task = Task(
            id=step.run,
            step=step.node.name,
            address=code.address,
            arguments=dict(step.arguments),
            store=host.store_address,
            root=str(self._knowledge.code.root),
            search=self._knowledge.code.search,
            sources=dict(code.sources),
            codec=host.codec,
            damaged=list(damaged),
        )
        step.starts += 1
        self._by_run[step.run] = step
        if step.starts == 1:
            taken = (ref for value in step.node.arguments.values() for ref in refs_in(value))
            self._recording.log_inputs(step.run, {ref.output for ref in taken if not ref.step})
            self._tell("started", step.run, step, why=why)
        host.executor.submit(task, self._answer)

    def _take_messages(self) -> None:
        """Wait for a message, and take all that have come meanwhile, in one transaction."""
        message = self._wait()
        noted: dict[RunId, list[Noted]] = {}
        ended: list[Finished | Broke | Lost] = []
        while message is not None:
            step = self._by_run.get(message.task)
            # Without a step: a late word from one that has ended.
            if step is not None:
                if isinstance(message, Noted):
                    noted.setdefault(step.run, []).append(message)
                elif isinstance(message, Finished | Broke | Lost):
                    ended.append(message)
                else:
                    self._pass_on(step, message)
            message = self._host.executor.wait_any(0)
        for run, notes in noted.items():
            self._keep_notes(self._by_run[run], notes)
        for one in ended:
            self._take_end(self._by_run.pop(one.task), one)

    def _wait(self) -> Message | None:
        try:
            return self._host.executor.wait_any(None)
        except KeyboardInterrupt:
            if self._draining:
                for run in self._by_run:
                    self._host.executor.cancel(run)
            self._draining = True
            self._tell(
                "draining", self._recording.run, why=f"waiting for {len(self._by_run)} steps to end"
            )
            return None

    def _pass_on(self, step: StepState, message: Logged | Progressed) -> None:
        if isinstance(message, Logged):
            step.log.add(message.text)
            text = message.text.decode(errors="replace")
            self._tell("log", step.run, step, text=text)
        else:
            self._tell("progress", step.run, step, done=message.done, total=message.total)

    def _keep_notes(self, step: StepState, notes: list[Noted]) -> None:
        try:
            points = self._recording.write_notes(step.run, notes)
        except MillwrightError as error:
            # A parameter logged with two values, say: it is the step that is wrong.
            step.problem = problem_of(error)
            return
        if points:
            metrics: dict[str, float | Infinite | None] = {
                point.key: point.value for point in points
            }
            self._tell("metrics", step.run, step, metrics=metrics)

    def _take_end(self, step: StepState, message: Finished | Broke | Lost) -> None:
        if isinstance(message, Finished) and step.problem is None:
            step.state = "ran"
            self._keep_made(step, message.outputs)
            self._finish(step, message.outputs)
            return
        if isinstance(message, Lost):
            if message.cancelled or self._draining:
                step.problem = Problem(code=Failed.code, what="the step was cancelled")
            elif step.node.step.cache and step.starts < _MAX_STARTS:
                why = f"{message.why}; started again"
                step.log.add(f"\n[{why}]\n".encode())
                self._tell("restarted", step.run, step, why=why)
                self._submit(step, why)
                return
            else:
                step.problem = _lost(step, message.why)
        elif isinstance(message, Broke):
            step.problem = message.problem
        step.state = "failed"
        self._finish(step, [])

    def _finish(self, step: StepState, outputs: list[StepOutput]) -> None:
        log_digest = self._recording.keep_log(step)
        self._changes.append(
            lambda tx: self._recording.write_finished(tx, step, outputs, log_digest)
        )
        kind: StepEventKind = "finished" if step.state == "ran" else "failed"
        self._afterwards.append(lambda: self._close(step, kind))

    def _close(self, step: StepState, kind: StepEventKind, why: str = "") -> None:
        """Tell how a step ended, which has been written."""
        step.written = True
        self._tell(
            kind,
            step.run,
            step,
            why=why,
            text=step.log.last_lines(LOG_LINES) if kind == "failed" else "",
            problem=step.problem,
            seconds=(self._host.clock.now_us() - step.start_us) / US_PER_S,
        )

    def _end(self) -> PipelineRun:
        failed = [step for step in self._steps.values() if step.state == "failed"]
        status: RunStatus = "finished"
        problem = None
        if self._draining:
            status = "cancelled"
        elif failed:
            status, problem = "failed", _summary(failed, len(self._steps))
        ended = self._recording.end(status, problem)
        seconds = (self._host.clock.now_us() - self._start_us) / US_PER_S
        self._tell("run_finished", ended.run, text=status, problem=problem, seconds=seconds)
        return ended

    def _abandon(self, error: BaseException) -> None:
        for run in self._by_run:
            self._host.executor.cancel(run)
        self._recording.abandon(list(self._steps.values()), error)

    def _tell(
        self,
        kind: StepEventKind,
        run: RunId,
        step: StepState | None = None,
        *,
        why: str = "",
        text: str = "",
        done: float = 0.0,
        total: float | None = None,
        metrics: Mapping[str, float | Infinite | None] | None = None,
        seconds: float = 0.0,
        problem: Problem | None = None,
    ) -> None:
        name = "" if step is None else step.node.name
        self._on_event(
            StepEvent(
                kind=kind, run=run, step=name, why=why, text=text, done=done, total=total,
                metrics=metrics, seconds=seconds, problem=problem,
            )
        )  # fmt: skip


def _lost(step: StepState, why: str) -> Problem:
    if step.starts > 1:
        return Problem(
            code=Failed.code,
            what=f"step {step.node.name} was lost {step.starts} times",
            why=why,
            fix="if it was killed, it may need more memory than there is",
        )
    return Problem(
        code=Failed.code,
        what=f"step {step.node.name} was lost",
        why=f"{why}; it has effects outside its results, so it is not started again by itself",
        fix="see what it has done, then run the pipeline again",
    )


def _summary(failed: list[StepState], count: int) -> Problem:
    names = ", ".join(step.node.name for step in failed)
    first = failed[0].problem
    assert first is not None, "a failed step has a problem"
    return Problem(
        code=first.code,
        what=f"{len(failed)} of {count} steps failed: {names}",
        why=f"{failed[0].node.name}: {first.what}",
        fix=first.fix,
    )
