"""Runs found from the command line: which are meant, what is shown of them, where a filter errs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from msgspec import Struct

from millwright.cli import text
from millwright.cli.located import located
from millwright.core.ids import RunId, in_our_spelling
from millwright.core.refs import LATEST
from millwright.doors.door import Door
from millwright.doors.runs import RunPage
from millwright.records.runs import Lifecycle, Run, RunKind

if TYPE_CHECKING:
    from millwright.metadata.filters import Vocabulary

KINDS: tuple[RunKind, ...] = ("script", "pipeline", "step")
PAGE = 1000

Ref = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, a unique beginning of one, or `latest`.")
]
Refs = Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids, or beginnings of them.")]
Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="As \"metrics.auc > 0.9 and params.depth = '3'\".",
    ),
]
Orders = Annotated[
    list[str] | None,
    typer.Option("--order", metavar="FIELD", help='As "metrics.auc desc"; may be repeated.'),
]
Experiments = Annotated[
    list[str] | None,
    typer.Option("--experiment", metavar="NAME", help="Only of this one; may be repeated."),
]
Pipeline = Annotated[
    str | None, typer.Option("--pipeline", metavar="NAME", help="Only runs of this one.")
]
Kind = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help=f"{', '.join(KINDS)}; else all but steps."),
]
Deleted = Annotated[bool, typer.Option("--deleted", help="Those that are deleted.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="NAMES", help="What to show, as metrics.auc,params.depth,status."
    ),
]

Value: TypeAlias = "str | int | float | None"


class RunList(Struct, frozen=True, kw_only=True):
    """Runs that were found, and where to read on."""

    runs: list[Run]
    next_before: RunId | None = None
    """For `--before`, where nothing but time orders them."""
    next_token: str | None = None
    """For `--token`, with the same filter and order."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which runs are meant, as the command line says it."""

    filter: str = ""
    order: Sequence[str] = ()
    experiments: Sequence[str] = ()
    kinds: Sequence[RunKind] = KINDS[:2]
    deleted: bool = False
    pipeline: str | None = None
    is_saved: bool = False
    """Whether it is a saved view, which goes by its own order from page to page."""

    @property
    def is_by_time(self) -> bool:
        """Whether only one experiment, pipeline or kind chooses, and only time orders."""
        names = [one for one in self.experiments if not one.startswith("#")]
        plain = len(self.experiments) < 2 and len(names) == len(self.experiments)
        return plain and not (self.filter or self.order or self.deleted or self.is_saved)

    @property
    def is_plain(self) -> bool:
        """Whether nothing was asked for but what is asked for anyway."""
        return self == Search()

    @property
    def text(self) -> str:
        """The filter with the pipeline as one more comparison of it."""
        if self.pipeline is None:
            return self.filter
        quoted = self.pipeline.replace("'", "''")
        named = f"attributes.pipeline = '{quoted}'"
        return f"{self.filter} and {named}" if self.filter.strip() else named

    @property
    def lifecycle(self) -> Lifecycle:
        """Whether what is in use is meant, or what was deleted."""
        return "deleted" if self.deleted else "active"


def search_of(
    *,
    filter_: str = "",
    order: Sequence[str] | None = None,
    experiments: Sequence[str] | None = None,
    pipeline: str | None = None,
    kind: str | None = None,
    deleted: bool = False,
) -> Search:
    """Return the search that these options ask for."""
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}")
    return Search(
        filter=filter_,
        order=tuple(order or ()),
        experiments=tuple(experiments or ()),
        kinds=KINDS[:2] if kind is None else [one for one in KINDS if one == kind],
        deleted=deleted,
        pipeline=pipeline,
    )


def find(
    door: Door,
    search: Search,
    *,
    fields: Sequence[str] | None = None,
    limit: int,
    token: str | None = None,
) -> RunList:
    """Return a page of runs; raises NotFound for an unknown experiment, and where a filter errs."""
    for name in search.experiments:
        door.experiments.show(ref=name)
    with located(search.filter, search.order, vocabulary):
        found = door.runs.search(
            filter=search.text,
            order=list(search.order),
            experiments=list(search.experiments),
            lifecycle=search.lifecycle,
            kinds=list(search.kinds),
            fields=None if fields is None else list(fields),
            limit=limit,
            token=token,
        )
    return RunList(runs=found.runs, next_token=found.next_token)


def pages(
    door: Door, search: Search, *, fields: Sequence[str] | None = None
) -> Iterator[list[Run]]:
    """Iterate over all runs that a search finds, page by page."""
    token: str | None = None
    while True:
        found = find(door, search, fields=fields, limit=PAGE, token=token)
        yield found.runs
        token = found.next_token
        if token is None:
            return


def count(door: Door, search: Search) -> int:
    """Return how many runs a search finds."""
    for name in search.experiments:
        door.experiments.show(ref=name)
    with located(search.filter, search.order, vocabulary):
        return door.runs.count(
            filter=search.text,
            experiments=list(search.experiments),
            lifecycle=search.lifecycle,
            kinds=list(search.kinds),
        )


def named(door: Door, ref: str) -> str:
    """Return the id of the newest run that is no step, for `latest`; else `ref` in our spelling."""
    if ref != LATEST:
        return in_our_spelling(ref, "run")
    newest = newest_runs(door, KINDS[:2], limit=1).runs
    return newest[0].id if newest else ref


def newest_runs(
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


def chosen_columns(given: Sequence[str]) -> list[str]:
    """Return the names in `--columns a,b`."""
    return [name.strip() for one in given for name in one.split(",") if name.strip()]


def cell(run: Run, column: str) -> Value:
    """Return what stands in a column for a run; None for nothing."""
    if column in ATTRIBUTES:
        return ATTRIBUTES[column](run)
    group, _, key = column.partition(".")
    if group == "metrics":
        return metric(run.metrics[key]) if key in run.metrics else None
    return (run.params if group == "params" else run.tags).get(key)


def metrics_in_short(metrics: Mapping[str, Value]) -> str:
    """Return the first metrics of a run, by name."""
    shown = sorted(metrics.items())[:4]
    return ", ".join(f"{name} {text.number(metric(value))}" for name, value in shown)


def metric(value: Value) -> float | str:
    """Return the value of a metric as it is shown; None stands for what is not a number."""
    return text.NAN if value is None else value


def took(run: Run) -> str:
    """Return how long a run took."""
    return text.duration(None if run.end_us is None else run.end_us - run.start_us)


def vocabulary() -> Vocabulary:
    """Return what runs can be found by."""
    from millwright.tracking.vocabulary import RUNS

    return RUNS


ATTRIBUTES: Mapping[str, Callable[[Run], Value]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "kind": lambda run: run.kind,
    "status": lambda run: run.status,
    "started": lambda run: text.when(run.start_us),
    "ended": lambda run: text.when(run.end_us),
    "took": took,
    "metrics": lambda run: metrics_in_short(run.metrics),
    "experiment": lambda run: run.experiment,
    "pipeline": lambda run: run.pipeline,
    "parent": lambda run: run.parent,
    "user": lambda run: run.user,
    "actor": lambda run: run.actor,
    "commit": lambda run: run.source.git_commit,
    "deleted": lambda run: text.when(run.deleted_us),
}
"""Columns that every run has."""
DEFAULT_COLUMNS = ("id", "name", "kind", "status", "started", "took", "metrics")
