from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.tracked import Tracked, tracked_in
from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import RunId
from millwright.metadata.database import Database
from millwright.metadata.filters import FilterError
from millwright.metadata.transactions import ROWS_AT_ONCE
from millwright.records.runs import MetricPoint
from millwright.tracking.metrics import parse_place, thin


@pytest.fixture
def tracked(database: Database) -> Tracked:
    return tracked_in(database)


@pytest.fixture
def run(tracked: Tracked) -> RunId:
    return tracked.start()


def point(value: float | None, *, step: int = 0, time: int = 1, key: str = "m") -> MetricPoint:
    return MetricPoint(key=key, value=value, step=step, time_us=time)


class TestPoints:
    def test_the_same_point_again_is_that_point(self, tracked: Tracked, run: RunId) -> None:
        batch = [point(0.5), point(None, step=1), point(math.inf, step=2), point(0.5, time=2)]
        for _ in range(3):
            tracked.runs.log_metrics(tracked.act, run, [*batch, batch[0]])
        kept = tracked.runs.metrics.history(tracked.key, run, "m")
        assert [(one.value, one.step, one.time_us) for one in kept] == [
            (0.5, 0, 1),
            (None, 1, 1),
            ("Infinity", 2, 1),
            (0.5, 0, 2),
        ]

    def test_the_newest_is_the_one_with_the_highest_step_whenever_it_comes(
        self, tracked: Tracked, run: RunId
    ) -> None:
        for one in (point(3.0, step=9), point(1.0, step=2, time=99), point(2.0, step=9, time=5)):
            tracked.runs.log_metrics(tracked.act, run, [one])
        [newest] = tracked.runs.get(tracked.key, run, with_points=True).points
        assert newest == point(2.0, step=9, time=5)
        assert tracked.runs.get(tracked.key, run).metrics == {"m": 2.0}

    def test_pages_are_read_on_from_the_last_point(self, tracked: Tracked, run: RunId) -> None:
        logged = [point(float(at % 3), step=at // 2, time=at // 4 + 1) for at in range(50)]
        tracked.runs.log_metrics(tracked.act, run, logged)
        whole = tracked.runs.metrics.history(tracked.key, run, "m")
        read: list[MetricPoint] = []
        place = None
        while True:
            page = tracked.runs.metrics.page(tracked.key, run, "m", limit=7, after=place)
            read += page.points
            place = page.next_place
            if place is None:
                break
        assert read == whole
        assert tracked.runs.metrics.page(tracked.key, run, "none", limit=7).points == []

    def test_a_place_of_something_else_is_refused(self) -> None:
        cursors: list[list[str | int | float]] = [[], ["x", 1, 2.0, 0], [1, 2, 3.0]]
        for cursor in cursors:
            with pytest.raises(FilterError, match="another search"):
                parse_place(cursor)

    def test_what_no_database_holds_is_refused(self, tracked: Tracked, run: RunId) -> None:
        with pytest.raises(Invalid, match="out of range"):
            tracked.runs.log_metrics(tracked.act, run, [point(1.0, step=2**63)])

    def test_what_comes_after_the_end_is_refused_or_journaled(
        self, tracked: Tracked, run: RunId
    ) -> None:
        tracked.runs.finish(tracked.act, run)
        with pytest.raises(Conflict, match="nothing can be logged"):
            tracked.runs.logs.log_batch(tracked.act, run, points=[point(1.0)])
        tracked.runs.logs.amend(tracked.act, run, points=[point(1.0)])
        event = tracked.journal.events()[-1]
        assert (event.kind, event.subjects[0].id) == ("RunAmended", run)
        assert event.subjects[0].digest is not None


class TestCurves:
    def test_a_curve_is_by_step_and_tells_how_many_points_there_are(
        self, tracked: Tracked, run: RunId
    ) -> None:
        tracked.runs.log_metrics(
            tracked.act, run, [point(float(at), step=at, time=1000 - at) for at in range(100)]
        )
        [curve] = tracked.runs.metrics.curves(tracked.key, [run], ["m", "none"], limit=10)
        steps = [one.step for one in curve.points]
        assert (curve.count, len(steps) <= 10, steps[0], steps[-1]) == (100, True, 0, 99)
        assert steps == sorted(steps)
        [part] = tracked.runs.metrics.curves(
            tracked.key, [run], ["m"], limit=10, first_step=20, last_step=25
        )
        assert [one.step for one in part.points] == list(range(20, 26))

    def test_a_history_longer_than_what_is_read_at_once_is_thinned_whole(
        self, tracked: Tracked, run: RunId
    ) -> None:
        count = ROWS_AT_ONCE * 2 + 7
        logged = [point(float(at), step=-at, time=at) for at in range(count)]
        logged[ROWS_AT_ONCE + 3] = point(1e9, step=-ROWS_AT_ONCE - 3, time=1)
        tracked.runs.log_metrics(tracked.act, run, [*logged, point(2.0, key="n")])
        asked = tracked.runs.metrics.curves(tracked.key, [run], ["m", "n"], limit=10)
        assert [(one.key, one.count) for one in asked] == [("m", count), ("n", 1)]
        steps = [one.step for one in asked[0].points]
        assert (steps[0], steps[-1], steps) == (1 - count, 0, sorted(steps))
        assert 1e9 in [one.value for one in asked[0].points]
        [part] = tracked.runs.metrics.curves(tracked.key, [run], ["m"], last_step=-count // 2)
        assert (part.count, part.points[-1].step) == (count // 2, -count // 2)

    def test_points_of_one_step_are_by_time_and_value(self, tracked: Tracked, run: RunId) -> None:
        logged = [point(2.0, time=5), point(1.0, time=5), point(9.0, time=3), point(None, time=5)]
        tracked.runs.log_metrics(tracked.act, run, logged)
        [curve] = tracked.runs.metrics.curves(tracked.key, [run], ["m"])
        assert [one.value for one in curve.points] == [9.0, None, 1.0, 2.0]

    def test_too_much_at_once_is_refused(self, tracked: Tracked, run: RunId) -> None:
        with pytest.raises(Invalid, match="more than 1000 curves"):
            tracked.runs.metrics.curves(tracked.key, [run] * 40, ["m"] * 40)
        with pytest.raises(Invalid, match="a curve has 1 to"):
            tracked.runs.metrics.curves(tracked.key, [run], ["m"], limit=0)


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=300
    ),
    st.integers(1, 40),
)
def test_a_thinned_curve_keeps_ends_and_extremes_in_order(
    values: list[tuple[float, int]], limit: int
) -> None:
    points = [(value, nan, at, at) for at, (value, nan) in enumerate(values)]
    kept = thin(iter(points), limit, count=len(points))
    assert len(kept) <= limit
    assert kept == [one for one in points if one in kept]
    assert kept[-1] == points[-1]
    if limit > 1:
        assert kept[0] == points[0]
    numbers = [value for value, nan, _, _ in points if not nan]
    if numbers and limit >= 4:
        shown = [value for value, nan, _, _ in kept if not nan]
        assert (min(shown), max(shown)) == (min(numbers), max(numbers))
