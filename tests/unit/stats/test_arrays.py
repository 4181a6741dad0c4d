import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.stats.arrays import as_counts, as_floats, check_same_length


def test_a_table_is_not_a_column() -> None:
    with pytest.raises(Invalid, match=r"\(2, 2\)"):
        as_floats(np.zeros((2, 2)))


@pytest.mark.parametrize("counts", [[-1], [0.5], [np.nan], [np.inf]])
def test_a_count_is_whole_and_not_negative(counts: list[float]) -> None:
    with pytest.raises(Invalid):
        as_counts(counts)


def test_counts_become_integers() -> None:
    assert as_counts([1.0, 2.0]).tolist() == [1, 2]


def test_lengths_are_equal_and_above_nothing() -> None:
    with pytest.raises(Invalid, match="1 and 2"):
        check_same_length(np.zeros(1), np.zeros(2))
    with pytest.raises(Invalid, match="empty"):
        check_same_length(np.zeros(0), np.zeros(0))
