"""The step that packages a fitted model and makes it a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from millwright.catalogue.ports import ArtifactsPort, ModelsPort, RunsPort
from millwright.catalogue.train import feature_names
from millwright.core.clock import SystemClock
from millwright.core.digest import Digest
from millwright.data.kinds import kind_of
from millwright.data.profile import profile_batches
from millwright.data.rows import encode_row_set, row_set
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step
from millwright.records.models import Risk
from millwright.records.runs import RunLink
from millwright.records.schema import Column, Signature, TableSchema
from millwright.registry.package import write_package
from millwright.registry.signature import columns_of, infer_signature
from millwright.stats.profile import reference_bins

TRAINING_ROWS = "training_rows"


@step
def register(
    model: Any,
    rows: pl.DataFrame,
    excluded: list[str],
    key: str,
    name: str,
    risk: Risk,
    ctx: StepContext,
) -> str:
    """Return the reference of the model version made of `model`, which was fitted on `rows`.

    With it are kept the profile of the rows, with which monitors compare, and the hashes of
    their keys, by which a gate sees that a row was not learnt from. The same fit is the same
    version.
    """
    frame = rows.select(feature_names(rows, excluded))
    artifacts = ctx.door(ArtifactsPort, "artifacts")

    folder = ctx.folder / "package"
    folder.mkdir()
    write_package(
        model,
        example=frame,
        folder=folder,
        now_us=SystemClock().now_us(),
        run=ctx.run,
        signature=_signature(model, frame),
    )
    # Not replayed: what was written was asked just now, by `write_package`.
    package = artifacts.put_folder(folder)
    profile = _store(artifacts, ctx.folder / "profile", profile_of(frame))
    known = _store(artifacts, ctx.folder / TRAINING_ROWS, encode_row_set(row_set(rows, [key])))

    models = ctx.door(ModelsPort, "models")
    models.create(name=name, risk=risk)
    version = models.register(
        name=name, package_digest=package, run=ctx.run, profile_digest=profile
    )
    links = [
        RunLink(way="output", name=TRAINING_ROWS, what="artifact", id=known, digest=known),
        RunLink(way="output", name="profile", what="artifact", id=profile, digest=profile),
        RunLink(
            way="output",
            name="model",
            what="model_version",
            id=version.id,
            digest=version.digest,
        ),
    ]
    ctx.door(RunsPort, "runs").log_links(run=ctx.run, links=links)
    ctx.set_tag("model_version", f"{version.name}@v{version.version}")
    return f"{version.name}@v{version.version}"


def profile_of(rows: pl.DataFrame) -> bytes:
    """Return the profile of `rows`, counted exactly in cells of its own quantiles and levels."""
    schema = TableSchema(
        columns=[
            Column(name=name, kind=kind_of(name, dtype), nullable=True)
            for name, dtype in rows.schema.items()
        ]
    )
    first = profile_batches([rows], schema)
    # A second pass, since a cell's edges are known only when all rows have been seen.
    return profile_batches([rows], schema, bins=reference_bins(first)).to_bytes()


def _signature(model: Any, frame: pl.DataFrame) -> Signature:
    columns = columns_of(frame)
    outputs = {"prediction": model.predict(frame), "probability": model.predict_proba(frame)}
    if outputs["probability"].shape[1] == 2:
        outputs["probability"] = outputs["probability"][:, 1]
    found = infer_signature(columns, outputs)
    # Numbers are imputed and unknown texts ignored, so that any input may be missing.
    nullable = [Column(name=one.name, kind=one.kind, nullable=True) for one in found.inputs]
    return Signature(inputs=nullable, outputs=found.outputs)


def _store(artifacts: ArtifactsPort, path: Path, data: bytes) -> Digest:
    path.write_bytes(data)
    return artifacts.put_file(path)
