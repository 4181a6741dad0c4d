"""Metrics of a binary classifier, with row weights so that a bootstrap can reweigh rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, as_floats, check_same_length

_LOG_LOSS_FLOOR = 1e-15


def auc(score: npt.ArrayLike, label: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Return the area under the ROC curve: how often a positive outscores a negative.

    `score`, `label` (0 or 1) and `weight` (1 when left out) have shape (n,); ties count half.

    Raises Invalid when a class has no weight. O(n log n).

    >>> auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    scores, labels = _pair(score, label)
    weights = _weights(weight, len(labels))
    area = ScoreOrder(scores, labels).auc(weights[None, :])[0]
    if np.isnan(area):
        raise Invalid("the area under the curve needs rows of both classes")
    return float(area)


class ScoreOrder:
    """Scores sorted once, for the AUC of the same rows under many weights."""

    def __init__(self, score: Floats, label: Floats) -> None:
        self._order = np.argsort(score, kind="stable")
        ranked = score[self._order]
        self._positive: Floats = label[self._order]
        self._ties = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))

    def auc(self, weights: Floats) -> Floats:
        """Return the AUC (b,) under `weights` (b, n); NaN where a class has no weight."""
        sorted_weights = weights[:, self._order]
        positive = np.add.reduceat(sorted_weights * self._positive, self._ties, axis=1)
        negative = np.add.reduceat(sorted_weights * (1.0 - self._positive), self._ties, axis=1)
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        area = (positive * below).sum(axis=1)
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.where(pairs > 0, area / np.where(pairs > 0, pairs, 1.0), np.nan)


def hits(predicted: npt.ArrayLike, label: npt.ArrayLike) -> Floats:
    """Return for each row 1.0 where the predicted class is the label, else 0.0."""
    first, second = as_floats(predicted), as_floats(label)
    check_same_length(first, second)
    return (first == second).astype(np.float64)


def log_losses(score: npt.ArrayLike, label: npt.ArrayLike) -> Floats:
    """Return for each row minus the log of the probability given to its label, in nats.

    A probability below 1e-15 counts as that. Raises Invalid when a score leaves 0 to 1.
    """
    scores, labels = _probabilities(score, label)
    given = np.where(labels == 1.0, scores, 1.0 - scores)
    return -np.log(np.maximum(given, _LOG_LOSS_FLOOR))


def squared_errors(score: npt.ArrayLike, label: npt.ArrayLike) -> Floats:
    """Return for each row the squared distance of its probability from its label."""
    scores, labels = _probabilities(score, label)
    return np.square(scores - labels)


def accuracy(
    predicted: npt.ArrayLike, label: npt.ArrayLike, weight: npt.ArrayLike | None = None
) -> float:
    """Return the share of rows whose predicted class is the label."""
    return _mean(hits(predicted, label), weight)


def log_loss(
    score: npt.ArrayLike, label: npt.ArrayLike, weight: npt.ArrayLike | None = None
) -> float:
    """Return the mean of `log_losses`; lower is better."""
    return _mean(log_losses(score, label), weight)


def brier(score: npt.ArrayLike, label: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Return the mean of `squared_errors`; lower is better. Source: Brier 1950."""
    return _mean(squared_errors(score, label), weight)


def _mean(rows: Floats, weight: npt.ArrayLike | None) -> float:
    weights = _weights(weight, len(rows))
    if weights.sum() <= 0:
        raise Invalid("the weights add up to nothing")
    return float(np.dot(rows, weights) / weights.sum())


def _weights(weight: npt.ArrayLike | None, rows: int) -> Floats:
    if weight is None:
        return np.ones(rows)
    weights = as_floats(weight)
    if len(weights) != rows:
        raise Invalid(f"{rows} rows came with {len(weights)} weights")
    if not np.all(weights >= 0):
        raise Invalid("a weight is below 0 or missing")
    return weights


def _pair(score: npt.ArrayLike, label: npt.ArrayLike) -> tuple[Floats, Floats]:
    scores, labels = as_floats(score), as_floats(label)
    check_same_length(scores, labels)
    if not np.all((labels == 0) | (labels == 1)):
        raise Invalid("a label is neither 0 nor 1")
    if np.any(np.isnan(scores)):
        raise Invalid("a score is missing")
    return scores, labels


def _probabilities(score: npt.ArrayLike, label: npt.ArrayLike) -> tuple[Floats, Floats]:
    scores, labels = _pair(score, label)
    if not np.all((scores >= 0) & (scores <= 1)):
        raise Invalid("a score is not a probability in 0 to 1")
    return scores, labels
