"""What a library's scores become: one prediction a row, and probabilities where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Unsupported
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Label


def one_a_row(values: Any) -> npt.NDArray[np.float64]:
    """Return one number a row; raises Unsupported when there are more."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] != 1:
        raise Unsupported(
            f"the model answers with {array.shape[1]} values a row; one is supported",
            fix="use the library's classifier for several classes, and a model for each target",
        )
    return array.reshape(-1).astype(np.float64)


def labelled(scores: npt.NDArray[np.float64], classes: Sequence[Label]) -> dict[str, Array]:
    """Return labels and probabilities from (n,) scores of the second of two classes, or (n, k).

    Between two classes of one half each the first is chosen, as the libraries do.
    """
    labels = np.asarray(classes)
    if scores.ndim == 1 or scores.shape[1] == 1:
        scores = scores.reshape(-1)
        return {PREDICTION: labels[(scores > 0.5).astype(np.int64)], PROBABILITY: scores}
    likeliest = labels[np.argmax(scores, axis=1)]
    if scores.shape[1] == 2:
        return {PREDICTION: likeliest, PROBABILITY: np.ascontiguousarray(scores[:, 1])}
    return {PREDICTION: likeliest, PROBABILITY: scores}


def softmax(margins: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (n, k) probabilities from margins, in their own precision."""
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
