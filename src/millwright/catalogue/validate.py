"""The step that lets only rows through that are as expected."""

from __future__ import annotations

import polars as pl

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.data import validate as validation
from millwright.data.expectations import parse
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step


@step
def validate(
    rows: pl.DataFrame, expectations: list[dict[str, object]], target: str, ctx: StepContext
) -> pl.DataFrame:
    """Return the rows when they meet every expectation.

    Raises Refused with row counts and examples when they do not, and Invalid when there is no
    column `target` or it has a single value.
    """
    if target not in rows.columns:
        raise Invalid(
            f"there is no column {target!r} to predict",
            why=f"the columns are: {', '.join(rows.columns[:20])}",
            fix=did_you_mean(target, rows.columns),
        )
    if rows.get_column(target).drop_nulls().n_unique() < 2:
        raise Invalid(
            f"the column {target!r} has fewer than two values", why="there is nothing to tell apart"
        )
    report = validation.validate(rows, parse(expectations))
    ctx.log_metrics(
        {
            "expectations": len(report.results),
            "expectations_failed": sum(not result.passed for result in report.results),
            "rows": report.row_count,
        }
    )
    validation.require(report)
    return rows
