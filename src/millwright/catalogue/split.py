"""The step that keeps rows aside to judge by."""

from __future__ import annotations

import polars as pl

from millwright.core.errors import Invalid
from millwright.data.splits import split_by_key
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step


@step(outputs=("train", "holdout"))
def split(
    rows: pl.DataFrame, key: str, share: float, seed: int, ctx: StepContext
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to learn from and those kept aside, `share` of the keys, disjoint by key.

    The side of a key depends on the key and the seed alone, so that later rows move none.
    Raises Invalid when a side would be empty.
    """
    sides = split_by_key(rows, shares={"train": 1.0 - share, "holdout": share}, seed=seed, key=key)
    train, holdout = sides["train"], sides["holdout"]
    ctx.log_metrics({"train_rows": train.height, "holdout_rows": holdout.height})
    if not train.height or not holdout.height:
        raise Invalid(
            f"of {rows.height} rows, {train.height} would be learnt from and "
            f"{holdout.height} kept aside",
            why="each side needs rows",
            fix="give more rows, or another share",
        )
    return train, holdout
