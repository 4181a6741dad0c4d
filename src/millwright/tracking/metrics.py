"""The histories of metrics: whole, page by page, or thinned for a chart without losing a peak."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from millwright.core.errors import Invalid
from millwright.core.ids import RunId
from millwright.metadata.database import Database, Reader
from millwright.metadata.paging import Cursor, foreign_token
from millwright.metadata.tables import telemetry as tables
from millwright.metadata.tables.telemetry import Keys
from millwright.records.runs import Curve, MetricPoint
from millwright.tracking.handles import find_run

MAX_HISTORY_PAGE = 50_000
MAX_CURVES = 1000
MAX_CURVE_POINTS = 10_000

Place = tuple[int, int, float, int]
"""Where a page ended: time, step, value, whether it is not a number."""
Point = tuple[float, int, int, int]
"""A point as it is stored: value, whether it is not a number, time, step."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Points in their order, and where to read on."""

    points: list[MetricPoint]
    next_place: Place | None


class Metrics:
    """Reads the metrics of the runs of all projects of a home."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def history(self, project_key: int, run: str, key: str) -> list[MetricPoint]:
        """Return every point of one metric, by time, step and value; none where it has none."""
        with self._database.read() as tx:
            row, key_pk = find_run(tx, project_key, run), self._key(tx, key)
            if key_pk is None:
                return []
            return _points(key, tables.read_points(tx, run_pk=row.pk, key_pk=key_pk))

    def page(
        self, project_key: int, run: str, key: str, *, limit: int, after: Place | None = None
    ) -> HistoryPage:
        """Return points behind the place where the page before ended."""
        if not 1 <= limit <= MAX_HISTORY_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_HISTORY_PAGE} points, not {limit}")
        with self._database.read() as tx:
            row, key_pk = find_run(tx, project_key, run), self._key(tx, key)
            if key_pk is None:
                return HistoryPage([], None)
            found = tables.read_points(
                tx, run_pk=row.pk, key_pk=key_pk, after=after, limit=limit + 1
            )
        place: Place | None = None
        if len(found) > limit:
            value, nan, time, step = found[limit - 1]
            place = (time, step, value, nan)
        return HistoryPage(_points(key, found[:limit]), place)

    def curves(
        self,
        project_key: int,
        runs: Sequence[str],
        keys: Sequence[str],
        *,
        limit: int = 1000,
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> list[Curve]:
        """Return each metric of each run as at most `limit` points, by step.

        A longer one is cut into stretches of equal count, and of each stay the lowest and the
        highest point, so that no peak is lost; first and last stay too. A metric that a run
        does not have is left out. Raises Invalid for more than 1,000 curves at once.
        """
        if not 1 <= limit <= MAX_CURVE_POINTS:
            raise Invalid(f"a curve has 1 to {MAX_CURVE_POINTS} points, not {limit}")
        if len(runs) * len(keys) > MAX_CURVES:
            raise Invalid(
                f"{len(runs)} runs with {len(keys)} metrics are more than {MAX_CURVES} curves",
                fix="ask for fewer at once",
            )
        curves: list[Curve] = []
        with self._database.read() as tx:
            numbers = self._keys.find(tx, keys)
            for ref in runs:
                row = find_run(tx, project_key, ref)
                for key in keys:
                    if key not in numbers:
                        continue
                    stretch = tables.Stretch(row.pk, numbers[key], first_step, last_step)
                    count = tables.count_points(tx, stretch)
                    if count:
                        kept = thin(tables.iterate_by_step(tx, stretch), limit, count=count)
                        points = _points(key, kept)
                        curves.append(Curve(run=RunId(row.id), key=key, count=count, points=points))
        return curves

    def _key(self, tx: Reader, key: str) -> int | None:
        return self._keys.find(tx, [key]).get(key)


def parse_place(cursor: Cursor) -> Place:
    """Return the place that a token names; raises FilterError for one of another search."""
    match cursor:
        case [int(time), int(step), float() | int() as value, int(nan)]:
            return time, step, float(value), nan
        case _:
            raise foreign_token()


def thin(points: Iterable[Point], limit: int, *, count: int) -> list[Point]:
    """Return at most `limit` of the `count` points, in their order.

    First and last stay, and of each stretch between its lowest and its highest; one of a stretch
    that is not a number stays where nothing else of it does. Of one point it is the last. O(n)
    time, and no more memory than for what is returned.
    """
    if count <= limit:
        return list(points)
    left = iter(points)
    kept = list(islice(left, 1 if limit > 1 else 0))
    inner, stretches = count - 2, (limit - 2) // 2
    for number in range(stretches):
        size = (number + 1) * inner // stretches - number * inner // stretches
        kept += _extremes(islice(left, size))
    return [*kept, *deque(left, maxlen=1)]


def _extremes(points: Iterable[Point]) -> list[Point]:
    """Return the lowest and the highest point in their order, or the first of no numbers."""
    first: Point | None = None
    low: tuple[int, Point] | None = None
    high: tuple[int, Point] | None = None
    for at, point in enumerate(points):
        if first is None:
            first = point
        if point[1]:
            continue
        if low is None or point[0] < low[1][0]:
            low = at, point
        if high is None or point[0] > high[1][0]:
            high = at, point
    if low is None or high is None:
        return [] if first is None else [first]
    return [low[1]] if low[0] == high[0] else [one for _, one in sorted([low, high])]


def _points(key: str, stored: Sequence[Point]) -> list[MetricPoint]:
    return [
        MetricPoint(key=key, value=tables.spelled(value, nan), step=step, time_us=time)
        for value, nan, time, step in stored
    ]
