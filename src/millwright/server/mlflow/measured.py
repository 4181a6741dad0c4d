"""Metrics that a run measured of a logged model, on a dataset perhaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from millwright.core.ids import LoggedModelId, RunId
from millwright.records.runs import LoggedModelMetric, MetricPoint
from millwright.server.mlflow.call import Call, found_model

Measured: TypeAlias = "tuple[MetricPoint, str, str | None, str | None]"
"""The point, the model's id, name and digest of the dataset."""


def log_measured(call: Call, run: RunId, measured: Sequence[Measured]) -> None:
    """Record values of the models that they name."""
    by_model: dict[LoggedModelId, list[LoggedModelMetric]] = {}
    for point, model, name, digest in measured:
        by_model.setdefault(found_model(call, model), []).append(
            LoggedModelMetric(
                key=point.key,
                value=point.value,
                step=point.step,
                time_us=point.time_us,
                run=run,
                dataset_name=name or "",
                dataset_digest=digest or "",
            )
        )
    for model, metrics in by_model.items():
        call.door.logged_models.log_metrics(id=model, metrics=metrics)
