"""The verb `mill runs export`: runs as a table in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import run_search, text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun
from millwright.core.errors import Invalid
from millwright.tracking.columns import check_columns, fields_of


def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv, .parquet or .jsonl.")],
    filter: run_search.Filter = "",
    order: run_search.Orders = None,
    experiment: run_search.Experiments = None,
    pipeline: run_search.Pipeline = None,
    kind: run_search.Kind = None,
    deleted: run_search.Deleted = False,
    columns: run_search.Columns = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="In place of a file that is there.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Write runs to a file, a row each. Page by page, however many there are."""
    from millwright.tracking.export import ATTRIBUTES, export_runs, format_of

    here = session()
    format_of(path)
    search = run_search.search_of(
        filter_=filter,
        order=order,
        experiments=experiment,
        pipeline=pipeline,
        kind=kind,
        deleted=deleted,
    )
    given = run_search.chosen_columns(columns or ())
    if columns is not None and not given:
        raise Invalid("--columns names none")
    chosen = check_columns(given, ATTRIBUTES) if given else None
    # JSON lines are the records themselves, with all that was logged.
    fields = None if path.suffix.lower() == ".jsonl" and chosen is None else fields_of(chosen)
    with here.door() as door:
        if dry_run:
            runs = text.counted(run_search.count(door, search), "run")
            here.would("export", found=[runs], file=str(path), filter=search.text)
            return
        count = export_runs(
            run_search.pages(door, search, fields=fields),
            path,
            columns=chosen,
            overwrite=overwrite,
        )
    size_bytes = path.stat().st_size
    record = {"file": str(path), "runs": count, "size_bytes": size_bytes}
    facts = {"file": str(path), "runs": count, "size": text.size(size_bytes)}
    here.answer(record, lambda: text.facts(facts))
