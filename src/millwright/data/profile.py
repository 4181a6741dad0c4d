"""A table's profile, made in one pass: the sketches that monitoring later compares with.

Numbers, booleans (0 and 1) and timestamps (microseconds since 1970) are profiled as numbers,
texts as texts.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from millwright.records.schema import TableSchema
from millwright.stats.profile import Bins, TableProfile, start_profile


def profile_batches(
    batches: Iterable[pl.DataFrame], schema: TableSchema, *, bins: Bins | None = None
) -> TableProfile:
    """Return the profile of all rows in `batches`, whose columns are those of `schema`.

    With `bins` (column -> edges or levels, from a reference profile) the rows are also counted
    in these. The same rows in the same batches give the same bytes.
    """
    profile = start_profile(
        numeric=[column.name for column in schema.columns if column.kind != "text"],
        text=[column.name for column in schema.columns if column.kind == "text"],
        bins=bins,
    )
    for batch in batches:
        for column in schema.columns:
            values = batch.get_column(column.name)
            if column.kind == "text":
                _update_text(profile, values)
            else:
                numbers = values.to_physical().cast(pl.Float64)
                # A missing value turns into NaN, which is how the sketches know it.
                profile.update_numeric(column.name, numbers.to_numpy())
    return profile


def _update_text(profile: TableProfile, values: pl.Series) -> None:
    # Sorted, since Polars counts in no fixed order and the sketch depends on it.
    counted = values.drop_nulls().alias("text").value_counts(name="times").sort("text")
    texts: list[str] = counted.get_column("text").to_list()
    times = counted.get_column("times").to_numpy()
    profile.update_text(values.name, texts, times, missing=values.null_count())
