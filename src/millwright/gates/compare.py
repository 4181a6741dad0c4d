"""Metrics by name, alone with an interval and paired with those of another model.

Every metric is turned so that up is better. A metric is either a mean over rows (then any
paired difference is a mean, too) or the area under the ROC curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.stats.intervals import Interval, Sample, mean_interval, wilson
from millwright.stats.metrics import auc, log_losses, squared_errors
from millwright.stats.significance import PairedDifference, bootstrap_auc, bootstrap_mean, delong

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model said of the rows that are judged."""

    prediction: npt.NDArray[np.generic]
    """(n,) labels, or numbers for a regression."""
    score: Floats | None
    """(n,) probability of the positive class; None where the model gives none."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of the rows that are judged."""

    label: npt.NDArray[np.generic]
    """(n,) labels, or numbers for a regression."""
    positive: npt.NDArray[np.float64] | None
    """(n,) 1.0 where the label is the positive class; None unless there are two classes."""


def _hit(answers: Answers, truth: Truth) -> Floats:
    return (answers.prediction == truth.label).astype(np.float64)


def _minus_log_loss(answers: Answers, truth: Truth) -> Floats:
    score, positive = _scored(answers, truth, "log_loss")
    return -log_losses(score, positive)


def _minus_brier(answers: Answers, truth: Truth) -> Floats:
    score, positive = _scored(answers, truth, "brier")
    return -squared_errors(score, positive)


def _minus_absolute_error(answers: Answers, truth: Truth) -> Floats:
    return -np.abs(answers.prediction.astype(np.float64) - truth.label.astype(np.float64))


ROW_METRICS: dict[str, Callable[[Answers, Truth], Floats]] = {
    "accuracy": _hit,
    "log_loss": _minus_log_loss,
    "brier": _minus_brier,
    "absolute_error": _minus_absolute_error,
}
"""Metrics that are means over rows; losses are turned, so that up is better."""

METRICS = (*ROW_METRICS, "auc")


def check_metric(name: str) -> str:
    """Return `name` when there is such a metric; raises Invalid naming the nearest."""
    if name not in METRICS:
        raise Invalid(
            f"no metric called {name!r}",
            why=f"there are: {', '.join(METRICS)}",
            fix=did_you_mean(name, METRICS),
        )
    return name


def metric_interval(name: str, answers: Answers, truth: Truth, *, alpha: float) -> Interval:
    """Return a metric with its 1 - alpha interval: Wilson's, DeLong's, or of a mean.

    Raises Invalid when the model gives no scores but the metric needs them.
    """
    if check_metric(name) == "auc":
        score, positive = _scored(answers, truth, name)
        # Against a constant score, whose area is 1/2 whatever the rows.
        flat = delong(np.zeros_like(score), score, positive, alpha=alpha)
        area = auc(score, positive)
        return Interval(
            area,
            max(0.0, area - flat.estimate + flat.lower),
            min(1.0, area - flat.estimate + flat.upper),
        )
    values = ROW_METRICS[name](answers, truth)
    if name == "accuracy":
        return wilson(int(values.sum()), len(values), alpha=alpha)
    variance = float(values.var(ddof=1)) if len(values) > 1 else math.inf
    return mean_interval(Sample(len(values), float(values.mean()), variance), alpha=alpha)


def metric_difference(
    name: str, candidate: Answers, baseline: Answers, truth: Truth, *, seed: int, alpha: float
) -> PairedDifference:
    """Return candidate less baseline on the same rows, by a paired bootstrap (1,000 draws)."""
    if check_metric(name) == "auc":
        score, positive = _scored(candidate, truth, name)
        before, _ = _scored(baseline, truth, name)
        return bootstrap_auc(before, score, positive, seed=seed, alpha=alpha)
    per_row = ROW_METRICS[name]
    return bootstrap_mean(
        per_row(baseline, truth), per_row(candidate, truth), seed=seed, alpha=alpha
    )


def _scored(answers: Answers, truth: Truth, metric: str) -> tuple[Floats, Floats]:
    if answers.score is None or truth.positive is None:
        raise Invalid(
            f"{metric} needs probabilities of two classes",
            why="the model gives none, or the labels are not of two classes",
            fix="use accuracy or absolute_error",
        )
    return answers.score, truth.positive
