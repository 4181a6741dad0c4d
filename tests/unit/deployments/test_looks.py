from __future__ import annotations

import pytest

from millwright.deployments.looks import ROWS_PER_LOOK, SEGMENTS_PER_LOOK, within_bounds


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ([], 0),
        ([5, 5], 2),
        # One that is too large alone is read all the same.
        ([ROWS_PER_LOOK * 2, 1], 1),
        ([ROWS_PER_LOOK - 1, 1, 1], 2),
        ([1] * (SEGMENTS_PER_LOOK + 1), SEGMENTS_PER_LOOK),
    ],
)
def test_a_look_reads_whole_segments_up_to_a_bound(rows: list[int], taken: int) -> None:
    assert within_bounds(rows) == taken
