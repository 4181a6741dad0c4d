"""Runs read whole: a few statements for a page of them, and only for what is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from millwright.metadata.database import Reader
from millwright.metadata.tables import inputs as input_tables
from millwright.metadata.tables import runs as tables
from millwright.metadata.tables import telemetry as telemetry_tables
from millwright.records.runs import MetricPoint, Run

WHOLE = frozenset({"params", "tags", "metrics", "links", "datasets", "models"})


def complete(
    tx: Reader,
    rows: Sequence[tables.RunRow],
    *,
    fields: frozenset[str] | None = None,
    with_points: bool = False,
) -> list[Run]:
    """Return the runs of these rows, in their order.

    `fields` names what is read of each: whole groups (`params`, `metrics`, `tags`, `links`,
    `datasets`, `models`) or single ones (`metrics.auc`); None stands for everything.
    """
    wanted = WHOLE if fields is None else fields
    pks = [row.pk for row in rows]
    groups = {name.partition(".")[0] for name in wanted}
    params = telemetry_tables.read_params(tx, run_pks=pks) if "params" in groups else {}
    tags = telemetry_tables.read_tags(tx, run_pks=pks) if "tags" in groups else {}
    latest = telemetry_tables.read_latest(tx, run_pks=pks) if "metrics" in groups else {}
    links = tables.read_links(tx, run_pks=pks) if "links" in groups else {}
    datasets = input_tables.read_datasets(tx, run_pks=pks) if "datasets" in groups else {}
    models = input_tables.read_uses(tx, run_pks=pks) if "models" in groups else {}
    return [
        tables.to_run(
            row,
            params=_chosen("params", params.get(row.pk, {}), wanted),
            tags=_chosen("tags", tags.get(row.pk, {}), wanted),
            points=_chosen_points(latest.get(row.pk, []), wanted),
            links=links.get(row.pk, []),
            datasets=datasets.get(row.pk, []),
            models=models.get(row.pk, []),
            with_points=with_points,
        )
        for row in rows
    ]


def _chosen(group: str, texts: dict[str, str], wanted: frozenset[str]) -> dict[str, str]:
    if group in wanted:
        return texts
    return {key: value for key, value in texts.items() if f"{group}.{key}" in wanted}


def _chosen_points(points: list[MetricPoint], wanted: frozenset[str]) -> list[MetricPoint]:
    if "metrics" in wanted:
        return points
    return [point for point in points if f"metrics.{point.key}" in wanted]
