"""The verb `mill runs compare`: what differs between runs, and many of them as one chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from millwright.cli import run_search, text
from millwright.cli.run_search import named
from millwright.cli.session import Session, session
from millwright.core.errors import Invalid
from millwright.doors.door import Door
from millwright.records.comparisons import (
    Axis,
    CodeDifference,
    ComparedValue,
    ParallelChart,
    RunComparison,
)

MAX_CELL_CHARS = 40


def compare(
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN…", help="Ids, or beginnings of them.")
    ] = None,
    all_values: Annotated[
        bool, typer.Option("--all", help="Show what is the same in all of them, too.")
    ] = False,
    parallel: Annotated[
        bool, typer.Option("--parallel", help="Give axes and lines of a chart instead.")
    ] = False,
    axes: Annotated[
        list[str] | None,
        typer.Option("--axis", metavar="NAME", help="As params.depth; may be repeated."),
    ] = None,
    filter: run_search.Filter = "",
    order: run_search.Orders = None,
    experiment: run_search.Experiments = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=5000, metavar="N", help="At most so many found.")
    ] = 200,
) -> None:
    """Show what differs between runs. Parameters, metrics, code, data and environment."""
    here = session()
    if bool(refs) == bool(filter or order or experiment):
        raise Invalid("compare takes runs, or --filter, --order or --experiment to find them")
    with here.door() as door:
        search = run_search.search_of(filter_=filter, order=order, experiments=experiment)
        ids = _named(door, refs) if refs else _found(door, search, limit)
        if parallel:
            chart = door.runs.parallel(runs=ids, axes=axes)
            here.answer(chart, lambda: chart_lines(chart))
            return
        found = door.runs.compare(runs=ids, differing=not all_values)
    here.answer(found, lambda: list(comparison_lines(found, here)))


def comparison_lines(found: RunComparison, here: Session) -> Iterator[str]:
    """Iterate over the lines of a comparison: a table for each kind of thing, then the diffs."""
    heads = [f"run {at}" for at in range(1, len(found.runs) + 1)]
    rows = zip(heads, found.names, found.runs, strict=True)
    yield from text.table(["", "name", "id"], rows)
    empty = True
    for title, values in (
        ("params", found.params),
        ("metrics", found.metrics),
        ("tags", found.tags),
        ("source", found.source),
        ("data", found.data),
        ("environment", found.environment),
    ):
        if values:
            empty = False
            yield ""
            yield from text.table([title, *heads], [_row(one) for one in values])
    for one in found.code:
        if not (one.files or one.note):
            continue
        empty = False
        yield ""
        yield from _code_lines(one, heads[found.runs.index(one.run)], here)
    if empty:
        yield ""
        yield "They do not differ in anything that was logged."


def chart_lines(chart: ParallelChart) -> list[str]:
    """Return a chart's axes, and its lines as rows of a table."""
    axes = [
        (axis.key, axis.kind, axis.low, axis.high, ", ".join(axis.categories))
        for axis in chart.axes
    ]
    head = ["run", *(axis.key for axis in chart.axes)]
    rows = [[line.name, *map(_place, chart.axes, line.values)] for line in chart.lines]
    return [
        *text.table(["axis", "kind", "low", "high", "categories"], axes),
        "",
        *text.table(head, rows),
    ]


def _named(door: Door, refs: list[str]) -> list[str]:
    return [named(door, ref) for ref in refs]


def _found(door: Door, search: run_search.Search, limit: int) -> list[str]:
    return [run.id for run in run_search.find(door, search, fields=[], limit=limit).runs]


def _row(one: ComparedValue) -> list[text.Cell]:
    return [one.key, *(_short(value) for value in one.values)]


def _short(value: str | float | None) -> text.Cell:
    if isinstance(value, str) and len(value) > MAX_CELL_CHARS:
        return f"{value[: MAX_CELL_CHARS - 1]}…"
    return value


def _place(axis: Axis, value: float | None) -> text.Cell:
    return axis.categories[int(value)] if value is not None and axis.categories else value


def _code_lines(one: CodeDifference, head: str, here: Session) -> Iterator[str]:
    yield here.paint(f"code of {head} against run 1", "strong")
    if one.note:
        yield one.note
    for file in one.files:
        if not file.diff:
            yield f"{file.change} {file.path}"
        for line in file.diff.splitlines():
            style: text.Style | None = None
            if line.startswith(("+", "-")):
                style = "good" if line.startswith("+") else "bad"
            plain = "".join(char if char.isprintable() or char == "\t" else " " for char in line)
            yield plain if style is None else here.paint(plain, style)
    if not one.is_whole:
        yield "The rest of the differences is too long to be shown."
