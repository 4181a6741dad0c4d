"""The step that repairs rows, and says how many it changed."""

from __future__ import annotations

import polars as pl

from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step


@step
def clean(rows: pl.DataFrame, target: str, ctx: StepContext) -> pl.DataFrame:
    """Return the rows that can be learnt from.

    Text is trimmed, rows without a target are left out, and of rows that are equal in every
    column, the key among them, only the first stays.
    """
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    trimmed = rows.with_columns(pl.col(name).str.strip_chars() for name in texts)
    labelled = trimmed.filter(pl.col(target).is_not_null())
    kept = labelled.unique(keep="first", maintain_order=True)
    ctx.log_metrics(
        {
            "rows_before": rows.height,
            "rows_without_target": trimmed.height - labelled.height,
            "rows_repeated": labelled.height - kept.height,
            "rows_after": kept.height,
        }
    )
    return kept
