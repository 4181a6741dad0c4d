from __future__ import annotations

import pytest

from millwright.deployments.history import way_here


@pytest.mark.parametrize(
    ("promoted", "now", "path"),
    [
        ([], 1, [1]),
        ([(1, 2), (2, 3)], 3, [1, 2, 3]),
        # Rolled back once, then twice.
        ([(1, 2), (2, 3)], 2, [1, 2]),
        ([(1, 2), (2, 3)], 1, [1]),
        # Rolled back to 2, and then on to 4; rolled back again.
        ([(1, 2), (2, 3), (2, 4)], 4, [1, 2, 4]),
        ([(1, 2), (2, 3), (2, 4)], 2, [1, 2]),
        # Rolled back to 1, and 2 tried once more.
        ([(1, 2), (1, 2)], 2, [1, 2]),
        # Rolled out once more, which takes back what came between.
        ([(1, 2), (2, 1)], 1, [1]),
    ],
)
def test_the_way_here(promoted: list[tuple[int, int]], now: int, path: list[int]) -> None:
    assert way_here(promoted, now=now) == path
