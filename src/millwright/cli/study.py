"""`mill experiment study`: searches for good hyperparameters, and how they stand."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import asdict

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import noun
from millwright.doors.studies import StudyReport
from millwright.records.runs import Infinite
from millwright.records.studies import Choice, Dimension, IntRange, Study, Trial

app = noun("Searches for good hyperparameters, and how they stand.")


@app.command("list")
def list_all() -> None:
    """List the project's studies, newest first."""
    here = session()
    with here.door() as door:
        found = door.studies.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "experiment", "status", "trials", "goal", "best", "run"],
            [
                (
                    one.name,
                    one.experiment,
                    one.status,
                    sum(asdict(one.trials).values()),
                    f"{one.direction} {one.metric}",
                    None if one.best is None else _value(one.best.value),
                    one.run,
                )
                for one in found
            ],
        ),
        empty="There are no studies yet. Begin one from Python: "
        "with mw.Workspace.open(mw.find_config()) as door: door.studies.create(…)",
    )


@app.command()
def show(
    ref: Annotated[str, typer.Argument(metavar="STUDY", help="Its name, or the id of its run.")],
) -> None:
    """Show a study: its space, its best trial so far, and all trials."""
    here = session()
    with here.door() as door:
        found = door.studies.show(ref=ref)
    here.answer(found, lambda: study_lines(found))
    if found.study.best is not None:
        here.say(f"The best trial's run: mill runs show {found.study.best.run}")


def study_lines(found: StudyReport) -> list[str]:
    """Return a study as facts, its space and its trials as tables."""
    study = found.study
    tried = list(study.space)
    others = sorted({name for one in found.trials for name in one.params} - set(tried))
    head = ["trial", "state", study.metric, "best so far", *tried, *others, "took", "run"]
    rows = [
        (
            one.number,
            one.state,
            _value(one.value),
            _value(one.best_so_far),
            *(one.params.get(name) for name in (*tried, *others)),
            text.duration(None if one.end_us is None else one.end_us - one.start_us),
            one.run,
        )
        for one in found.trials
    ]
    return [
        *text.facts(
            {
                "study": study.name,
                "run": study.run,
                "experiment": study.experiment,
                "status": study.status,
                "goal": f"{study.direction} {study.metric}",
                "trials": _counts(study),
                "best": None if study.best is None else _best(study.best),
            }
        ),
        "",
        *text.table(
            ["parameter", "tried"],
            [(name, tried_words(dimension)) for name, dimension in study.space.items()],
        ),
        *(["", *text.table(head, rows)] if rows else []),
    ]


def tried_words(dimension: Dimension) -> str:
    """Return what is tried of a parameter, in words."""
    if isinstance(dimension, Choice):
        return " | ".join(dimension.values)
    whole = isinstance(dimension, IntRange)
    steps = "" if dimension.step in {None, 1} else f", in steps of {dimension.step:g}"
    log = ", by its logarithm" if dimension.log else ""
    kind = "whole numbers, " if whole else ""
    return f"{kind}{dimension.low:g} to {dimension.high:g}{steps}{log}"


def _best(best: Trial) -> str:
    params = ", ".join(f"{name} {value}" for name, value in sorted(best.params.items()))
    return f"trial {best.number}: {_value(best.value)}" + (f" with {params}" if params else "")


def _counts(study: Study) -> str:
    counts = asdict(study.trials)
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"


def _value(value: float | Infinite | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return text.number(value)
