"""The SQL of what is logged to runs: parameters, tags and the points of metrics.

A metric's points are a set: one that says the same as another (key, time, step, value) is that
point, so whoever is not sure that a batch arrived sends it again. Its newest point is the one
with the highest step, then time, then value, in whatever order they arrive.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.records.runs import Infinite, MetricPoint

MAX_KNOWN_KEYS = 50_000
PAGE_ROWS = 10_000

Stored: TypeAlias = "tuple[str, float, int, int, int]"
"""A point as it lies in the table: key, value, whether it is not a number, time, step."""


class Keys:
    """The numbers under which names of parameters, metrics and tags are stored.

    They never change, so those that were read or committed once are kept in memory.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._lock = threading.Lock()

    def ensure(self, tx: Writer, names: Iterable[str]) -> Mapping[str, int]:
        """Return the number of each name, making those that are new."""
        wanted = set(names)
        known = self._known
        missing = sorted(name for name in wanted if name not in known)
        if not missing:
            return known
        tx.run_many(
            "INSERT INTO telemetry_key (name) VALUES (:name) ON CONFLICT (name) DO NOTHING",
            [{"name": name} for name in missing],
        )
        made = _find(tx, missing)
        # Before the commit others must not see them: it may be undone.
        tx.after_commit(f"keys of {id(made)}", lambda: self._keep(made))
        return {name: known[name] if name in known else made[name] for name in wanted}

    def find(self, tx: Reader, names: Iterable[str]) -> dict[str, int]:
        """Return the number of each name that has one."""
        wanted = set(names)
        known = self._known
        missing = sorted(name for name in wanted if name not in known)
        read: dict[str, int] = _find(tx, missing) if missing else {}
        return {name: known[name] for name in wanted if name in known} | read

    def _keep(self, made: Mapping[str, int]) -> None:
        with self._lock:
            if len(self._known) + len(made) > MAX_KNOWN_KEYS:
                self._known = {}
            self._known = {**self._known, **made}


def insert_params(
    tx: Writer, keys: Keys, *, run_pk: int, params: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Insert parameters; return name and stored value of those that had another one already."""
    if not params:
        return []
    number = keys.ensure(tx, params)
    wanted = [{"run": run_pk, "key": number[k], "value": v} for k, v in params.items()]
    tx.run_many(
        "INSERT INTO run_param (run_pk, key_pk, value) VALUES (:run, :key, :value) "
        "ON CONFLICT (run_pk, key_pk) DO NOTHING",
        wanted,
    )
    fragment, given = in_list("key", [number[name] for name in params])
    stored = dict(
        tx.rows(
            tuple[int, str],
            f"SELECT key_pk, value FROM run_param WHERE run_pk = :run AND key_pk IN {fragment}",
            run=run_pk,
            **given,
        )
    )
    return [
        (name, stored[number[name]])
        for name, value in params.items()
        if stored[number[name]] != value
    ]


def upsert_tags(tx: Writer, keys: Keys, *, run_pk: int, tags: Mapping[str, str]) -> None:
    """Set tags, replacing earlier values."""
    if not tags:
        return
    number = keys.ensure(tx, tags)
    tx.run_many(
        "INSERT INTO run_tag (run_pk, key_pk, value) VALUES (:run, :key, :value) "
        "ON CONFLICT (run_pk, key_pk) DO UPDATE SET value = excluded.value",
        [{"run": run_pk, "key": number[name], "value": value} for name, value in tags.items()],
    )


def delete_tag(tx: Writer, *, run_pk: int, name: str) -> bool:
    """Remove a tag; False when there was none."""
    removed = tx.run(
        "DELETE FROM run_tag WHERE run_pk = :run AND key_pk = "
        "(SELECT pk FROM telemetry_key WHERE name = :name)",
        run=run_pk,
        name=name,
    )
    return removed == 1


def append_points(
    tx: Writer, keys: Keys, *, run_pk: int, experiment_pk: int, points: Iterable[MetricPoint]
) -> None:
    """Add points, each once, and bring the newest and the extremes of each metric up to date."""
    points = list(points)
    if not points:
        return
    number = keys.ensure(tx, {point.key for point in points})
    rows = [
        (number[point.key], point.time_us, point.step, *_stored(point.value)) for point in points
    ]
    tx.run_placed(
        f"INSERT INTO metric_point (run_pk, key_pk, time_us, step, value, nan) "
        f"VALUES ({run_pk:d}, :key, :time, :step, :value, :nan) ON CONFLICT DO NOTHING",
        rows,
    )
    by_key: dict[int, list[tuple[int, int, float, int]]] = {}
    for key, time, step, value, nan in rows:
        by_key.setdefault(key, []).append((step, time, value, nan))
    tx.run_placed(
        f"""
        INSERT INTO metric_latest (run_pk, key_pk, experiment_pk, time_us, step, value, nan,
            min_value, max_value)
        VALUES ({run_pk:d}, :key, {experiment_pk:d}, :time, :step, :value, :nan, :low, :high)
        ON CONFLICT (run_pk, key_pk) DO UPDATE SET
            time_us = CASE WHEN {_IS_NEWER} THEN excluded.time_us ELSE metric_latest.time_us END,
            step = CASE WHEN {_IS_NEWER} THEN excluded.step ELSE metric_latest.step END,
            value = CASE WHEN {_IS_NEWER} THEN excluded.value ELSE metric_latest.value END,
            nan = CASE WHEN {_IS_NEWER} THEN excluded.nan ELSE metric_latest.nan END,
            min_value = CASE WHEN metric_latest.min_value <= excluded.min_value
                OR excluded.min_value IS NULL
                THEN metric_latest.min_value ELSE excluded.min_value END,
            max_value = CASE WHEN metric_latest.max_value >= excluded.max_value
                OR excluded.max_value IS NULL
                THEN metric_latest.max_value ELSE excluded.max_value END
        """,
        [(key, *_summed_up(stored)) for key, stored in by_key.items()],
    )


def _summed_up(
    stored: list[tuple[int, int, float, int]],
) -> tuple[int, int, float, int, float | None, float | None]:
    """Return time, step, value and nan of the newest point, and the extremes of all."""
    step, time, value, nan = max(stored)
    values = [value for _, _, value, nan in stored if not nan]
    return time, step, value, nan, min(values, default=None), max(values, default=None)


_IS_NEWER = (
    "(excluded.step, excluded.time_us, excluded.value, excluded.nan) > "
    "(metric_latest.step, metric_latest.time_us, metric_latest.value, metric_latest.nan)"
)


def read_params(tx: Reader, *, run_pks: list[int]) -> dict[int, dict[str, str]]:
    """Return the parameters of each run."""
    return _texts(tx, "run_param", run_pks)


def read_tags(tx: Reader, *, run_pks: list[int]) -> dict[int, dict[str, str]]:
    """Return the tags of each run."""
    return _texts(tx, "run_tag", run_pks)


def read_latest(tx: Reader, *, run_pks: list[int]) -> dict[int, list[MetricPoint]]:
    """Return the newest point of each metric of each run, by key."""
    found: dict[int, list[MetricPoint]] = {}
    for run_pk, key, value, nan, time, step in _by_run(
        tx,
        "SELECT m.run_pk, k.name, m.value, m.nan, m.time_us, m.step FROM metric_latest m "
        "JOIN telemetry_key k ON k.pk = m.key_pk WHERE m.run_pk IN {runs} ORDER BY k.name",
        run_pks,
    ):
        point = _point(cast("Stored", (key, value, nan, time, step)))
        found.setdefault(cast("int", run_pk), []).append(point)
    return found


def read_points(
    tx: Reader,
    *,
    run_pk: int,
    key_pk: int,
    after: tuple[int, int, float, int] | None = None,
    limit: int | None = None,
) -> list[tuple[float, int, int, int]]:
    """Return points of one metric as (value, nan, time, step), by time, step and value.

    `after` is the (time, step, value, nan) of the last point of the page before.
    """
    given: dict[str, int | float] = {"run": run_pk, "key": key_pk}
    clause = ""
    if after is not None:
        clause = " AND (time_us, step, value, nan) > (:time, :step, :value, :nan)"
        given |= dict(zip(("time", "step", "value", "nan"), after, strict=True))
    if limit is not None:
        given["limit"] = limit
    found = tx.raw(
        "SELECT value, nan, time_us, step FROM metric_point "
        f"WHERE run_pk = :run AND key_pk = :key{clause} ORDER BY time_us, step, value, nan"
        + ("" if limit is None else " LIMIT :limit"),
        **given,
    )
    return cast("list[tuple[float, int, int, int]]", found)


def iterate_points(tx: Reader, *, run_pk: int) -> Iterator[MetricPoint]:
    """Iterate over all points of a run, metric by metric, holding one page of them at a time."""
    names = tx.rows(
        tuple[str, int],
        "SELECT k.name, m.key_pk FROM metric_latest m JOIN telemetry_key k ON k.pk = m.key_pk "
        "WHERE m.run_pk = :run ORDER BY k.name",
        run=run_pk,
    )
    for name, key_pk in names:
        after: tuple[int, int, float, int] | None = None
        while page := read_points(tx, run_pk=run_pk, key_pk=key_pk, after=after, limit=PAGE_ROWS):
            for value, nan, time, step in page:
                yield _point((name, value, nan, time, step))
            if len(page) < PAGE_ROWS:
                break
            value, nan, time, step = page[-1]
            after = (time, step, value, nan)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The points of one metric of a run, perhaps only those of some steps."""

    run_pk: int
    key_pk: int
    first_step: int | None = None
    last_step: int | None = None

    def asked(self) -> tuple[str, dict[str, int]]:
        """Return the condition of these points, and its parameters."""
        condition = "run_pk = :run AND key_pk = :key"
        given = {"run": self.run_pk, "key": self.key_pk}
        if self.first_step is not None:
            condition += " AND step >= :first"
            given["first"] = self.first_step
        if self.last_step is not None:
            condition += " AND step <= :last"
            given["last"] = self.last_step
        return condition, given


def count_points(tx: Reader, stretch: Stretch) -> int:
    """Return how many points there are."""
    condition, given = stretch.asked()
    return tx.value(int, f"SELECT count(*) FROM metric_point WHERE {condition}", **given) or 0


def iterate_by_step(tx: Reader, stretch: Stretch) -> Iterator[tuple[float, int, int, int]]:
    """Iterate over points as (value, nan, time, step), by step, time and value, to the end."""
    condition, given = stretch.asked()
    found = tx.iterate(
        f"SELECT value, nan, time_us, step FROM metric_point WHERE {condition} "
        "ORDER BY step, time_us, value, nan",
        **given,
    )
    return cast("Iterator[tuple[float, int, int, int]]", found)


def _find(tx: Reader, names: list[str]) -> dict[str, int]:
    fragment, params = in_list("name", names)
    return dict(
        tx.rows(
            tuple[str, int],
            f"SELECT name, pk FROM telemetry_key WHERE name IN {fragment}",
            **params,
        )
    )


def _stored(value: float | str | None) -> tuple[float, int]:
    number = math.nan if value is None else float(value)
    return (0.0, 1) if math.isnan(number) else (number, 0)


def _point(stored: Stored) -> MetricPoint:
    key, value, nan, time, step = stored
    return MetricPoint(key=key, value=spelled(value, nan), step=step, time_us=time)


def spelled(value: float, nan: int) -> float | Infinite | None:
    """Return a stored value as records carry it: None for not-a-number, infinite ones as words."""
    if nan:
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _texts(tx: Reader, table: str, run_pks: list[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for run_pk, name, value in _by_run(
        tx,
        f"SELECT t.run_pk, k.name, t.value FROM {table} t JOIN telemetry_key k ON k.pk = t.key_pk "
        "WHERE t.run_pk IN {runs} ORDER BY k.name",
        run_pks,
    ):
        found.setdefault(cast("int", run_pk), {})[cast("str", name)] = cast("str", value)
    return found


def _by_run(tx: Reader, sql: str, run_pks: list[int]) -> list[tuple[object, ...]]:
    """Return the answers to `sql`, whose `{runs}` are `run_pks`."""
    fragment, params = in_list("run", run_pks)
    return tx.raw(sql.format(runs=fragment), **params)
