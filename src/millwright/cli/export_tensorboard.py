"""The verb `mill experiment export-tensorboard`: runs as event files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.run_search import named
from millwright.cli.session import session
from millwright.cli.verbs import DryRun


def export_tensorboard(
    experiment: Annotated[str, typer.Argument(metavar="NAME", help="The experiment.")],
    logdir: Annotated[
        Path, typer.Argument(metavar="LOGDIR", help="Where the runs are written, a folder each.")
    ],
    runs: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="Only these runs.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write an experiment's runs so that `tensorboard --logdir` shows them."""
    from millwright.sdk.exporting import check_logdir, runs_of_experiment
    from millwright.sdk.exporting import export_tensorboard as export

    here = session()
    check_logdir(logdir)
    with here.door() as door:
        door.experiments.show(ref=experiment)
        chosen = [named(door, one) for one in runs or ()]
        refs = chosen or list(runs_of_experiment(door, experiment))
        if dry_run:
            here.would(
                "export",
                found=[text.counted(len(refs), "run")],
                experiment=experiment,
                logdir=str(logdir),
            )
            return
        report = export(door, refs, logdir)
    counts = {"runs": report.runs, "points": report.points, "texts": report.texts}
    here.answer(report, lambda: text.facts(counts | {"images": report.images}))
    here.say(f"Look at them: tensorboard --logdir {logdir}")
