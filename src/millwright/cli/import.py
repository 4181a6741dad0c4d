"""`mill import`: runs and models from TensorBoard, W&B and MLflow."""

# The module of a noun is called as the noun; nobody imports it by a statement.
# ruff: noqa: N999

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.session import Session, session
from millwright.cli.verbs import DryRun, noun
from millwright.core.errors import Failed, Invalid, Refused

if TYPE_CHECKING:
    from millwright.sdk.importing import ImportCounts, ImportReport, Progress
    from millwright.tracking.sources.found import Source

app = noun("Runs and models from other tools. Stopped half way, the same command goes on.")

SHOWN_PROBLEMS = 20
_TOLD_EVERY_S = 2.0
# As `tracking.sources` say it of artifacts that are not where the store says.
_NO_FOLDER = "no such folder of artifacts"

Experiment = Annotated[
    str | None,
    typer.Option("--experiment", metavar="NAME", help="Where the runs go, in place of its own."),
]
FollowLinks = Annotated[
    bool,
    typer.Option("--follow-links", help="Also read files outside of the folder, through links."),
]


@app.command()
def tensorboard(
    logdir: Annotated[Path, typer.Argument(metavar="LOGDIR", help="As for tensorboard --logdir.")],
    experiment: Experiment = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on while it is written to, until Ctrl-C.")
    ] = False,
    every_s: Annotated[
        float,
        typer.Option("--every", min=0.1, metavar="SECONDS", help="With --follow: look so often."),
    ] = 5.0,
    follow_links: FollowLinks = False,
    dry_run: DryRun = False,
) -> None:
    """Import a TensorBoard logdir. Each folder with event files in it is a run."""
    from millwright.tracking.sources.tensorboard import TensorBoard

    source = TensorBoard(
        logdir, experiment=experiment, follow_links=follow_links, is_growing=follow
    )
    if not follow or dry_run:
        _import(source, dry_run=dry_run)
        return
    from millwright.sdk.importing import follow_logdir

    here = session()
    here.tell(f"Following {source.place}; stop with Ctrl-C.")
    with here.door() as door, _until_stopped() as stopped:
        report = follow_logdir(
            door, source, wait=lambda: stopped.wait(every_s), progress=_progress(here)
        )
    _answer(report)


@app.command()
def wandb(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The wandb folder, or one run's in it.")
    ],
    experiment: Experiment = None,
    follow_links: FollowLinks = False,
    dry_run: DryRun = False,
) -> None:
    """Import offline runs of Weights & Biases."""
    from millwright.tracking.sources.wandb import Wandb

    _import(Wandb(folder, experiment=experiment, follow_links=follow_links), dry_run=dry_run)


@app.command()
def mlflow(
    address: Annotated[
        str,
        typer.Option("--from", metavar="URI", help="sqlite:///PATH, mlruns/ or http://HOST:PORT"),
    ],
    artifacts: Annotated[
        list[Path] | None,
        typer.Option(
            "--artifacts", metavar="DIR", help="Where artifacts lie beside those of the store."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Import an MLflow store. Experiments, runs with their history and artifacts, registry."""
    from millwright.tracking.sources.mlflow_store import open_mlflow

    for folder in artifacts or ():
        if not folder.is_dir():
            raise Invalid(f"--artifacts {folder}: there is no such folder")
    given = session().environment
    source = open_mlflow(
        address,
        artifacts=artifacts or (),
        user=given.get("MLFLOW_TRACKING_USERNAME"),
        password=given.get("MLFLOW_TRACKING_PASSWORD", ""),
        token=given.get("MLFLOW_TRACKING_TOKEN"),
    )
    _import(source, dry_run=dry_run)


def report_lines(report: ImportReport) -> list[str]:
    """Return what became of an import: counts, what differs, and what was left out."""
    found, kept = _amounts(report.found), _amounts(report.kept)
    rows = [(name, found[name], kept[name]) for name in found if found[name] or kept[name]]
    lines = text.table(["", "found", "kept"], rows) if rows else ["nothing new was found"]
    if report.unchanged:
        lines.append(f"{text.counted(report.unchanged, 'run')} taken before, and unchanged")
    if report.differences:
        lines += ["", "what is kept differs from what was found"]
        lines += text.indented(report.differences[:SHOWN_PROBLEMS])
    if report.problems:
        lines += ["", f"left out: {report.n_problems}"]
        shown = report.problems[:SHOWN_PROBLEMS]
        lines += text.indented(f"{one.where}: {one.why}" for one in shown)
        if report.n_problems > len(shown):
            lines.append(f"  and {report.n_problems - len(shown)} more; see --json")
    return lines


def _import(source: Source, *, dry_run: bool) -> None:
    here = session()
    with closing(source):
        if dry_run:
            here.would("import", found=_look(source), source=source.kind, place=source.place)
            return
        from millwright.sdk.importing import import_all

        with here.door() as door:
            report = import_all(door, source, progress=_progress(here))
    _answer(report)


def _answer(report: ImportReport) -> None:
    here = session()
    here.answer(report, lambda: report_lines(report))
    if report.differences:
        raise typer.Exit(Refused.exit_code)
    here.say("Look at them: mill runs list")
    if any(_NO_FOLDER in one.why for one in report.problems):
        here.tell("Files were missing. Name where they lie: mill import mlflow … --artifacts DIR")
        raise typer.Exit(Failed.exit_code)


def _look(source: Source) -> list[str]:
    """Return what there is to import, and what cannot be read."""
    from millwright.tracking.sources.found import Unread

    experiments = len(list(source.experiments()))
    runs = list(source.runs())
    models = list(source.models())
    unread = [one for one in (*runs, *models) if isinstance(one, Unread)]
    n_runs = sum(not isinstance(one, Unread) for one in runs)
    n_models = sum(not isinstance(one, Unread) for one in models)
    counted = {"experiment": experiments, "run": n_runs, "model": n_models}
    line = ", ".join(text.counted(count, noun) for noun, count in counted.items())
    return [line] + [f"left out: {one.where}: {one.why}" for one in unread[:SHOWN_PROBLEMS]]


def _progress(here: Session) -> Progress:
    """Return a function that tells now and then how far the import is."""
    told_s = time.monotonic()

    def tell(counts: ImportCounts, where: str) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= _TOLD_EVERY_S:
            told_s = now_s
            so_far = f"{text.counted(counts.runs, 'run')}, {text.counted(counts.points, 'point')}"
            here.tell(f"{so_far}; now {where}")

    return tell


@contextmanager
def _until_stopped() -> Generator[threading.Event]:
    """Have Ctrl-C and SIGTERM say that it is enough, in place of ending the process."""
    stopped = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {one: signal.signal(one, stop) for one in signals}
    try:
        yield stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _amounts(counts: ImportCounts) -> dict[str, int]:
    import msgspec

    return {name.replace("_", " "): count for name, count in msgspec.structs.asdict(counts).items()}
