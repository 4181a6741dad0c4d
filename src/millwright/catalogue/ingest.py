"""The step that reads a dataset version."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from millwright.data.batches import open_table
from millwright.pipelines.step import step


@step
def ingest(data: Path) -> pl.DataFrame:
    """Return the rows of a dataset version, in the kinds its schema says.

    Handed a dataset version, a pipeline depends on its content, not on its name.
    """
    return open_table(data).frame()
