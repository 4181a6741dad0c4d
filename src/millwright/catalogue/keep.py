"""The step that makes rows a dataset version of their own."""

from __future__ import annotations

import polars as pl

from millwright.catalogue.ports import ArtifactsPort, DataPort
from millwright.data.frames import arrow_bytes
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step


@step
def keep(rows: pl.DataFrame, name: str, ctx: StepContext) -> str:
    """Return the reference of the version of dataset `name` that holds these rows."""
    path = ctx.folder / "rows.arrow"
    path.write_bytes(arrow_bytes(rows.lazy()))
    digest = ctx.door(ArtifactsPort, "artifacts").put_file(path)
    version = ctx.door(DataPort, "data").add(
        name=name, digest=digest, format="arrow", source=f"step {ctx.step} of run {ctx.run}"
    )
    ctx.set_tag("dataset", f"{version.name}@v{version.version}")
    return f"{version.name}@v{version.version}"
