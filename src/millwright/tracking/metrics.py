"""The histories of metrics: whole, page by page, or thinned for a chart without losing a peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
                    stored = [
                        point
                        for point in tables.read_points(tx, run_pk=row.pk, key_pk=numbers[key])
                        if (first_step is None or point[3] >= first_step)
                        and (last_step is None or point[3] <= last_step)
                    ]
                    if stored:
                        kept = thin(sorted(stored, key=_by_step), limit)
                        points = _points(key, kept)
                        curves.append(
                            Curve(run=RunId(row.id), key=key, count=len(stored), points=points)
                        )
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


def thin(
    points: Sequence[tuple[float, int, int, int]], limit: int
) -> list[tuple[float, int, int, int]]:
    """Return at most `limit` of the points (value, nan, time, step), in their order.

    First and last stay, and of each stretch between its lowest and its highest; one of a stretch
    that is not a number stays where nothing else of it does. Of one point it is the last. O(n).
    """
    if len(points) <= limit:
        return list(points)
    if limit == 1:
        return [points[-1]]
    inner = points[1:-1]
    stretches = (limit - 2) // 2
    kept = [points[0]]
    for number in range(stretches):
        stretch = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        values = [at for at, point in enumerate(stretch) if not point[1]]
        if not values:
            kept += stretch[:1]
            continue
        low = min(values, key=lambda at: stretch[at][0])
        high = max(values, key=lambda at: stretch[at][0])
        kept += [stretch[at] for at in sorted({low, high})]
    return [*kept, points[-1]]


def _by_step(point: tuple[float, int, int, int]) -> tuple[int, int]:
    return point[3], point[2]


def _points(key: str, stored: Sequence[tuple[float, int, int, int]]) -> list[MetricPoint]:
    return [
        MetricPoint(key=key, value=tables.spelled(value, nan), step=step, time_us=time)
        for value, nan, time, step in stored
    ]
