"""`mill runs`: what was executed, from what, with what result."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import run_changes, run_search, run_views, text
from millwright.cli.lineage import run_lineage
from millwright.cli.located import located
from millwright.cli.run_compare import compare
from millwright.cli.run_export import export
from millwright.cli.run_search import Ref, RunList, named, took
from millwright.cli.run_sync import sync
from millwright.cli.session import session
from millwright.cli.verbs import Limit, noun
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import RunId, in_our_spelling
from millwright.records.pipelines import PipelineRun, StepRun
from millwright.records.runs import Run
from millwright.tracking.columns import check_columns, fields_of

app = noun("What was executed, from what, with what result.")
app.add_typer(run_views.app, name="views")


@app.command("list")
def list_all(
    filter: run_search.Filter = "",
    order: run_search.Orders = None,
    experiment: run_search.Experiments = None,
    pipeline: run_search.Pipeline = None,
    kind: run_search.Kind = None,
    deleted: run_search.Deleted = False,
    columns: run_search.Columns = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="RUN", help="Older than this run.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TOKEN", help="Read on from there.")
    ] = None,
    view: Annotated[
        str | None, typer.Option("--view", metavar="NAME", help="What a saved view asks for.")
    ] = None,
    save_view: Annotated[
        str | None, typer.Option("--save-view", metavar="NAME", help="Save this search, too.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Say only how many there are.")] = False,
    limit: Limit = 20,
) -> None:
    """List runs, newest first. Without --kind the steps of pipelines are left out."""
    here = session()
    search = run_search.search_of(
        filter_=filter,
        order=order,
        experiments=experiment,
        pipeline=pipeline,
        kind=kind,
        deleted=deleted,
    )
    chosen = check_columns(run_search.chosen_columns(columns or ()), run_search.ATTRIBUTES)
    if view is not None and not search.is_plain:
        raise Invalid("--view says which runs are meant, and takes no filter beside it")
    if before is not None and not (search.is_by_time and view is None):
        raise Invalid(
            "--before goes by nothing but time", fix="read on in what a filter finds by --token"
        )
    with here.door() as door:
        if view is not None:
            saved = door.views.show(name=view)
            search = run_views.search_of_view(saved)
            chosen = chosen or saved.spec.columns
        if save_view is not None:
            spec = run_views.spec_of(search, chosen)
            with located(search.filter, search.order, run_search.vocabulary):
                door.views.put(name=save_view, spec=spec)
            here.tell(f"Saved; see it again: mill runs list --view '{save_view}'")
        if count:
            number = run_search.count(door, search)
            here.answer(number, lambda: [str(number)])
            return
        if before is not None or (search.is_by_time and token is None):
            page = run_search.newest_runs(
                door,
                search.kinds,
                experiment=next(iter(search.experiments), None),
                pipeline=pipeline,
                before=None if before is None else RunId(in_our_spelling(before, "run")),
                limit=limit,
            )
            found = RunList(runs=page.runs, next_before=page.next_before)
        else:
            fields = fields_of(chosen) if chosen else None
            found = run_search.find(door, search, fields=fields, limit=limit, token=token)
    if here.given.json:
        here.print_json(found)
        return
    shown = chosen or list(run_search.DEFAULT_COLUMNS)
    here.answer(
        found.runs,
        lambda: text.table(
            shown, [[run_search.cell(one, name) for name in shown] for one in found.runs]
        ),
        empty="There are no runs yet. Make one: mill run FILE.py"
        if search.is_plain and view is None and not (before or token)
        else "Nothing fits.",
    )
    if found.next_before is not None:
        here.say(f"There are more; add: --before {found.next_before}")
    if found.next_token is not None:
        here.say(f"There are more; add: --token {found.next_token}")


@app.command()
def show(ref: Ref) -> None:
    """Show all of a run. Parameters, metrics, code, environment, what it read and made."""
    here = session()
    with here.door() as door:
        run = door.runs.show(ref=named(door, ref))
        names = here.names(door)
    here.answer(run, lambda: run_lines(run, names))
    if run.kind == "pipeline":
        here.say(f"Its steps: mill runs steps {run.id}")


@app.command()
def steps(ref: Ref) -> None:
    """Show the steps of a pipeline's run. What ran, what was cached, and why."""
    here = session()
    with here.door() as door:
        found = door.runs.steps(ref=named(door, ref))
    here.answer(found, lambda: step_lines(found))


@app.command()
def logs(ref: Ref) -> None:
    """Print what a run printed. Of a pipeline's run, what each step printed."""
    here = session()
    with here.door() as door, tempfile.TemporaryDirectory(prefix="millwright-") as folder:
        run = door.runs.show(ref=named(door, ref))
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


def run_lines(run: Run, names: Mapping[str, str]) -> list[str]:
    """Return what a person wants to know of a run; `names` are those of actors, by id."""
    lines = text.facts(
        {
            "run": run.id,
            "name": run.name,
            "kind": run.kind,
            "status": run.status,
            "experiment": run.experiment,
            "pipeline": run.pipeline,
            "parent": run.parent,
            "actor": names.get(run.actor, run.actor),
            "started": text.when(run.start_us),
            "took": took(run),
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
    metrics = {name: run_search.metric(value) for name, value in run.metrics.items()}
    for title, block in (("params", run.params), ("metrics", metrics), ("tags", run.tags)):
        if block:
            lines += ["", title, *text.indented(text.facts(dict(sorted(block.items()))))]
    if run.links:
        rows = [(one.way, one.name, one.what, one.id, one.digest) for one in run.links]
        lines += ["", *text.table(["way", "name", "what", "id", "digest"], rows)]
    return lines


def step_lines(found: PipelineRun) -> list[str]:
    """Return a pipeline's steps as a table, and how many went which way."""
    here = session()
    rows = [(one.step, one.outcome, _step_took(one), one.why, one.run) for one in found.steps]
    lines = text.table(["step", "outcome", "took", "why", "run"], rows)
    counts = ", ".join(f"{count} {word}" for word, count in _counts(found.steps).items())
    summary = f"{found.pipeline} {found.status}: {counts}"
    return [*lines, here.paint(summary, "good" if found.status == "finished" else "bad")]


def _counts(steps: list[StepRun]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in steps:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return counts


def _rest(run: Run) -> list[tuple[str, str]]:
    assert run.error is not None
    return [(name, words) for name in ("why", "fix") if (words := getattr(run.error, name))]


def _step_took(one: StepRun) -> str:
    return text.duration(None if one.end_us is None else one.end_us - one.start_us)


# Behind the verbs of every day, so that help begins with those.
app.command()(compare)
app.command("lineage")(run_lineage)
app.command()(export)
app.command()(sync)
for _verb in run_changes.VERBS:
    app.command()(_verb)
