"""The step that measures a model on rows it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from millwright.catalogue.train import feature_names
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step
from millwright.stats.intervals import wilson
from millwright.stats.metrics import auc


@step
def evaluate(
    model: Any, rows: pl.DataFrame, target: str, excluded: list[str], ctx: StepContext
) -> dict[str, float]:
    """Return accuracy with its 95 % interval and, for two classes, the area under the ROC curve."""
    frame = rows.select(feature_names(rows, excluded))
    label = rows.get_column(target).to_numpy()
    right = int((np.asarray(model.predict(frame)) == label).sum())
    interval = wilson(right, rows.height)
    metrics = {
        "accuracy": interval.estimate,
        "accuracy_low": interval.lower,
        "accuracy_high": interval.upper,
        "rows": float(rows.height),
    }
    classes = np.asarray(model.classes_)
    positive = (label == classes[-1]).astype(np.float64)
    if len(classes) == 2 and 0.0 < positive.mean() < 1.0:
        metrics["auc"] = auc(np.asarray(model.predict_proba(frame))[:, 1], positive)
    ctx.log_metrics(metrics)
    return metrics
