"""`mill runs`: what was executed, from what, with what result."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import Limit, noun
from millwright.core.errors import NotFound
from millwright.core.ids import RunId
from millwright.core.refs import LATEST
from millwright.doors.door import Door
from millwright.doors.runs import RunPage
from millwright.records.pipelines import PipelineRun, StepRun
from millwright.records.runs import Run, RunKind

app = noun("What was executed, from what, with what result.")

KINDS: tuple[RunKind, ...] = ("script", "pipeline", "step")

Ref = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, a unique beginning of one, or `latest`.")
]


@app.command("list")
def list_all(
    experiment: Annotated[str | None, typer.Option("--experiment", metavar="NAME")] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", metavar="NAME")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help=", ".join(KINDS))
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="RUN", help="Older than this run.")
    ] = None,
    limit: Limit = 20,
) -> None:
    """List runs, newest first; without --kind the steps of pipelines are left out."""
    here = session()
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}")
    with here.door() as door:
        page = _page(
            door,
            KINDS[:2] if kind is None else (kind,),
            experiment=experiment,
            pipeline=pipeline,
            before=None if before is None else RunId(before),
            limit=limit,
        )
    if here.given.json:
        here.print_json(page)
        return
    here.answer(
        page.runs,
        lambda: text.table(
            ["id", "name", "kind", "status", "started", "took", "metrics"],
            [
                (
                    one.id,
                    one.name,
                    one.kind,
                    one.status,
                    text.when(one.start_us),
                    _took(one.start_us, one.end_us),
                    _metrics(one.metrics),
                )
                for one in page.runs
            ],
        ),
        empty="There are no such runs. Make one: mill run FILE.py",
    )
    if page.next_before is not None:
        here.say(f"There are more: mill runs list --before {page.next_before}")


@app.command()
def show(ref: Ref) -> None:
    """Show a run: parameters, metrics, code, environment, what it read and made."""
    here = session()
    with here.door() as door:
        run = door.runs.show(ref=_named(door, ref))
    here.answer(run, lambda: run_lines(run))
    if run.kind == "pipeline":
        here.say(f"Its steps: mill runs steps {run.id}")


@app.command()
def steps(ref: Ref) -> None:
    """Show the steps of a pipeline's run: what ran, what was cached, and why."""
    here = session()
    with here.door() as door:
        found = door.runs.steps(ref=_named(door, ref))
    here.answer(found, lambda: step_lines(found))


@app.command()
def logs(ref: Ref) -> None:
    """Print what a run printed; of a pipeline's run, what each step printed."""
    here = session()
    with here.door() as door, tempfile.TemporaryDirectory(prefix="millwright-") as folder:
        run = door.runs.show(ref=_named(door, ref))
        if run.kind == "pipeline":
            kept = [(one.step, one.log_digest) for one in door.runs.steps(ref=run.id).steps]
        else:
            kept = [(run.name, run.log_digest)]
        printed: dict[str, str] = {}
        for name, digest in kept:
            if digest is not None:
                path = Path(folder, f"{len(printed)}.log")
                door.artifacts.fetch(digest, path)
                printed[name] = path.read_text(encoding="utf-8", errors="replace")
    if not printed:
        raise NotFound(f"{run.id} has no log", why="nothing was printed, or it is still running")
    single = len(printed) == 1
    here.answer(
        printed,
        lambda: [
            line
            for name, content in printed.items()
            for line in ([] if single else [here.paint(f"== {name}", "strong")])
            + content.splitlines()
        ],
    )


def run_lines(run: Run) -> list[str]:
    """Return what a person wants to know of a run."""
    lines = text.facts(
        {
            "run": run.id,
            "name": run.name,
            "kind": run.kind,
            "status": run.status,
            "experiment": run.experiment,
            "pipeline": run.pipeline,
            "parent": run.parent,
            "actor": run.actor,
            "started": text.when(run.start_us),
            "took": _took(run.start_us, run.end_us),
            "command": " ".join(run.source.command),
            "python": run.source.python,
            "platform": run.source.platform,
            "git commit": run.source.git_commit,
            "uncommitted": run.source.git_diff_digest,
            "code": run.source.code_digest,
            "environment": run.source.environment_digest,
            "log": run.log_digest,
            "telemetry": run.telemetry_digest,
        }
    )
    if run.error is not None:
        lines += ["", f"error: {run.error.what}"]
        lines += [f"{name}: {words}" for name, words in _rest(run)]
    for title, block in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
        if block:
            lines += ["", title, *text.indented(text.facts(dict(sorted(block.items()))))]
    if run.links:
        rows = [(one.way, one.name, one.what, one.id, one.digest) for one in run.links]
        lines += ["", *text.table(["way", "name", "what", "id", "digest"], rows)]
    return lines


def step_lines(found: PipelineRun) -> list[str]:
    """Return a pipeline's steps as a table, and how many went which way."""
    here = session()
    rows = [
        (one.step, one.outcome, _took(one.start_us, one.end_us), one.why, one.run)
        for one in found.steps
    ]
    lines = text.table(["step", "outcome", "took", "why", "run"], rows)
    counts = ", ".join(f"{count} {word}" for word, count in _counts(found.steps).items())
    summary = f"{found.pipeline} {found.status}: {counts}"
    return [*lines, here.paint(summary, "good" if found.status == "finished" else "bad")]


def _page(
    door: Door,
    kinds: Sequence[RunKind],
    *,
    experiment: str | None = None,
    pipeline: str | None = None,
    before: RunId | None = None,
    limit: int,
) -> RunPage:
    """Return the newest runs of several kinds; ids are in the order of time."""
    pages = [
        door.runs.page(
            experiment=experiment, pipeline=pipeline, kind=kind, before=before, limit=limit
        )
        for kind in kinds
    ]
    found = sorted((run for page in pages for run in page.runs), key=lambda run: run.id)
    runs = found[::-1][:limit]
    more = len(found) > limit or any(page.next_before is not None for page in pages)
    return RunPage(runs=runs, next_before=runs[-1].id if runs and more else None)


def _named(door: Door, ref: str) -> str:
    """Return the id of the newest run that is no step, for `latest`; else `ref` itself."""
    if ref != LATEST:
        return ref
    newest = _page(door, KINDS[:2], limit=1).runs
    return newest[0].id if newest else ref


def _counts(steps: list[StepRun]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in steps:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return counts


def _rest(run: Run) -> list[tuple[str, str]]:
    assert run.error is not None
    return [(name, words) for name in ("why", "fix") if (words := getattr(run.error, name))]


def _took(start_us: int, end_us: int | None) -> str:
    return text.duration(None if end_us is None else end_us - start_us)


def _metrics(metrics: Mapping[str, float | None]) -> str:
    shown = sorted(metrics.items())[:4]
    return ", ".join(f"{name} {text.number(value)}" for name, value in shown)
