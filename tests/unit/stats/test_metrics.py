import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.stats.metrics import accuracy, auc, brier, log_loss

ROWS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 1), st.integers(0, 3)),
    min_size=2,
    max_size=25,
)


@settings(max_examples=60)
@given(ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, int, int]]) -> None:
    pairs = won = 0.0
    for score, label, weight in rows:
        for other, other_label, other_weight in rows:
            if label == 1 and other_label == 0:
                pairs += weight * other_weight
                won += weight * other_weight * (0.5 * (score == other) + (score > other))
    score, label, weight = zip(*rows, strict=True)
    if pairs == 0:
        with pytest.raises(Invalid, match="both classes"):
            auc(score, label, weight)
    else:
        assert auc(score, label, weight) == pytest.approx(won / pairs)


def test_plain_definitions() -> None:
    score, label = [0.9, 0.2, 0.6], [1, 0, 0]
    assert log_loss(score, label) == pytest.approx(-math.log(0.9 * 0.8 * 0.4) / 3)
    assert brier(score, label) == pytest.approx((0.01 + 0.04 + 0.36) / 3)
    assert accuracy([1, 0, 1], label) == pytest.approx(2 / 3)
    assert accuracy([1, 0, 1], label, [1, 1, 2]) == pytest.approx(0.5)
    assert math.isfinite(log_loss([0.0, 1.0], [1, 0]))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="neither 0 nor 1"):
        auc([0.1, 0.2], [0, 2])
    with pytest.raises(Invalid, match="missing"):
        auc([np.nan, 0.2], [0, 1])
    with pytest.raises(Invalid, match="probability"):
        brier([1.2], [1])
    with pytest.raises(Invalid, match="weights"):
        accuracy([1.0], [1.0], [1.0, 2.0])
    with pytest.raises(Invalid, match="add up to nothing"):
        accuracy([1.0], [1.0], [0.0])
    with pytest.raises(Invalid, match="below 0"):
        accuracy([1.0], [1.0], [-1.0])
