"""`mill run`: run a pipeline of this project, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.runs import step_lines
from millwright.cli.session import INTERRUPTED, Session, session
from millwright.cli.verbs import DryRun, Reason, single
from millwright.core.errors import Failed

if TYPE_CHECKING:
    from millwright.pipelines.host import StepEvent
    from millwright.records.pipelines import PlannedStep

app = single()

_US_PER_S = 1_000_000


@app.command()
def run(
    target: Annotated[
        str, typer.Argument(metavar="FILE[:PIPELINE]", help="A Python file with a @pipeline.")
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--param",
            metavar="NAME=VALUE",
            help="A parameter; JSON, or text. For a Path: a dataset version, as loans@latest.",
        ),
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="Who runs the steps.")
    ] = "local",
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Steps at once.")
    ] = 2,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Run what must be run of a pipeline; Ctrl-C lets running steps end. Exit 1 when one failed."""
    from millwright.workspace import pipelines

    here = session()
    config = here.config()
    params = pipelines.parse_params(param or [])
    file, _, name = target.partition(":")
    # As it is seen from here, which may be a folder below the project's.
    named = f"{Path(file).absolute()}:{name}" if name else str(Path(file).absolute())
    with here.workspace(config) as workspace:
        act = workspace.session.act(reason)
        if dry_run:
            planned = pipelines.plan(workspace, named, params, root=config.root, act=act)
            here.answer(planned, lambda: plan_lines(planned))
            return
        ended = pipelines.run(
            workspace,
            named,
            params,
            root=config.root,
            act=act,
            executor=executor,
            workers=workers,
            on_event=Progress(here).show,
        )
    here.answer(ended, lambda: step_lines(ended))
    here.say(f"More on it: mill runs show {ended.run}")
    if ended.status == "cancelled":
        raise typer.Exit(INTERRUPTED)
    if ended.status != "finished":
        raise typer.Exit(Failed.exit_code)


class Progress:
    """Tells on stderr what happens, a line each."""

    def __init__(self, here: Session) -> None:
        self._here = here

    def show(self, event: StepEvent) -> None:
        """Tell of one event."""
        took = text.duration(round(event.seconds * _US_PER_S))
        match event.kind:
            case "run_started":
                self._here.tell(f"{event.text}: run {event.run}")
            case "started":
                self._tell("start", event.step, event.why)
            case "cached":
                self._tell("cached", event.step, event.why)
            case "finished":
                self._tell("done", event.step, took)
            case "skipped":
                self._tell("skipped", event.step, event.why)
            case "restarted":
                self._tell("again", event.step, event.why)
            case "progress":
                total = "" if event.total is None else f" of {event.total:g}"
                self._tell("…", event.step, f"{event.done:g}{total}")
            case "metrics":
                figures = (event.metrics or {}).items()
                words = ", ".join(f"{name} {text.number(value)}" for name, value in figures)
                self._tell("…", event.step, words)
            case "log":
                for line in event.text.splitlines():
                    self._tell("|", event.step, line)
            case "failed":
                self._fail(event, took)
            case "draining":
                self._here.tell(f"{event.why}; Ctrl-C again ends them at once")
            case "run_finished":
                pass  # The result says it.

    def _fail(self, event: StepEvent, took: str) -> None:
        self._tell(self._here.paint("FAILED", "bad", on_stderr=True), event.step, took)
        if event.problem is not None:
            problem = event.problem
            words = [problem.what, problem.why, problem.fix]
            self._here.tell(*text.indented(line for part in words for line in part.splitlines()))

    def _tell(self, word: str, step: str, words: str) -> None:
        self._here.tell(f"{word.ljust(7)}  {step}  {words}".rstrip())


def plan_lines(planned: list[PlannedStep]) -> list[str]:
    """Return what would happen to each step, and why."""
    rows = [(one.step, one.action, one.why) for one in planned]
    must = sum(one.action == "run" for one in planned)
    maybe = sum(one.action == "unknown" for one in planned)
    summary = f"{must} of {text.counted(len(planned), 'step')} must run"
    return [
        *text.table(["step", "action", "why"], rows),
        summary + (f", {maybe} may have to" if maybe else ""),
    ]
