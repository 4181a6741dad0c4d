"""MLflow's routes of metric histories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from millwright.core.errors import NotFound
from millwright.records.access import Permission
from millwright.records.runs import MetricPoint
from millwright.server.mlflow.call import Call, Endpoint, need, no_run, run_of
from millwright.server.mlflow.checks import bad_value
from millwright.server.mlflow.errors import invalid
from millwright.server.mlflow.spelling import Json, Point, point_json

BASE = "/2.0/mlflow/metrics"
MAX_BULK_RUNS = 100
MAX_BULK_POINTS = 25_000
MAX_INTERVAL_POINTS = 2500
DEFAULT_INTERVAL_POINTS = 320
WHOLE_PAGE = 50_000
PIECE_POINTS = 10_000

_ENCODER = msgspec.json.Encoder()


class _History(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    metric_key: str = ""
    max_results: int | None = None
    page_token: str | None = None


class _Bulk(Struct, frozen=True):
    run_id: list[str] = []
    metric_key: str | None = None
    max_results: int = MAX_BULK_POINTS


class _Interval(Struct, frozen=True):
    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = DEFAULT_INTERVAL_POINTS


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of histories."""
    read = Permission.RUN_READ
    yield Endpoint("GET", f"{BASE}/get-history", read, "read", history)
    yield Endpoint("GET", f"{BASE}/get-history-bulk", read, "read", bulk)
    yield Endpoint("GET", f"{BASE}/get-history-bulk-interval", read, "read", interval)


def history(call: Call) -> Json:
    """Return the points of one metric of a run, all or a page of them."""
    given = call.read(_History)
    digits = given.run_id or given.run_uuid
    run, key = run_of(digits), need(given.metric_key, "metric_key")
    limit = given.max_results
    if limit is not None and limit <= 0:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. "
            "It must be a positive integer."
        )
    try:
        if limit is None:
            return {"metrics": _spelled(call.door.runs.history(ref=run, key=key))}
        found = call.door.runs.history_page(
            ref=run, key=key, limit=min(limit, WHOLE_PAGE), token=given.page_token or None
        )
    except NotFound as error:
        raise no_run(digits) from error
    answer: Json = {"metrics": _spelled(found.points)}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def bulk(call: Call) -> Json:
    """Return the points of one metric of several runs."""
    given = call.read(_Bulk)
    if not given.run_id:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(given.run_id) > MAX_BULK_RUNS:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MAX_BULK_RUNS} run_ids. "
            f"Received {len(given.run_id)} run_ids."
        )
    if given.metric_key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    limit = min(given.max_results, MAX_BULK_POINTS)
    metrics: list[Point] = []
    for digits in sorted(given.run_id):
        if len(metrics) >= limit:
            break
        try:
            found = call.door.runs.history_page(
                ref=run_of(digits), key=given.metric_key, limit=limit - len(metrics)
            )
        except NotFound as error:
            raise no_run(digits) from error
        metrics += [point_json(point, digits) for point in found.points]
    return {"metrics": metrics}


def interval(call: Call) -> Json:
    """Return the points of one metric of several runs between two steps, thinned to a number."""
    given = call.read(_Interval)
    key = need(given.metric_key, "metric_key")
    if not given.run_ids:
        raise invalid(bad_value("run_ids", []))
    if len(given.run_ids) > MAX_BULK_RUNS:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_BULK_RUNS} run_ids. "
            f"Received {len(given.run_ids)} run_ids."
        )
    if not 1 <= given.max_results <= MAX_INTERVAL_POINTS:
        raise invalid(
            f"max_results must be between 1 and {MAX_INTERVAL_POINTS}. "
            f"Received {given.max_results}."
        )
    if (given.start_step is None) != (given.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    start, end = given.start_step, given.end_step
    if start is not None and end is not None and start > end:
        raise invalid(f"end_step must be greater than start_step. Found {start=} and {end=}.")
    metrics: list[Point] = []
    for digits in given.run_ids:
        try:
            curves = call.door.runs.curves(
                runs=[run_of(digits)],
                keys=[key],
                limit=given.max_results,
                first_step=start,
                last_step=end,
            )
        except NotFound as error:
            raise no_run(digits) from error
        metrics += [point_json(point, digits) for curve in curves for point in curve.points]
    return {"metrics": metrics}


def _spelled(points: Sequence[MetricPoint]) -> msgspec.Raw:
    """Return points as JSON, made piece by piece: one call for millions holds up every thread."""
    pieces = [
        _ENCODER.encode([point_json(point) for point in points[at : at + PIECE_POINTS]])[1:-1]
        for at in range(0, len(points), PIECE_POINTS)
    ]
    return msgspec.Raw(b"[" + b",".join(pieces) + b"]")
