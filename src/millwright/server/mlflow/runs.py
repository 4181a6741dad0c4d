"""MLflow's routes of runs: made, logged to, searched, put away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from millwright.core.errors import MillwrightError
from millwright.core.ids import RunId, from_hex
from millwright.records.access import Permission
from millwright.records.runs import MetricPoint, Run, RunSource, RunStatus
from millwright.server.mlflow import checks
from millwright.server.mlflow.call import Call, Endpoint, need, of_run, run_of
from millwright.server.mlflow.errors import MlflowError, invalid
from millwright.server.mlflow.experiments import Pair, active_experiment, lifecycle_of
from millwright.server.mlflow.measured import log_measured
from millwright.server.mlflow.names import new_name
from millwright.server.mlflow.spelling import PARENT, RUN_NAME, USER, Json, info_json, run_json
from millwright.tracking.handles import NotActive
from millwright.tracking.telemetry import ParamChanged

BASE = "/2.0/mlflow/runs"
# What a run is read with for MLflow's clients: everything of theirs, and nothing of ours.
FIELDS = ["params", "tags", "metrics", "datasets", "models"]
MAX_RUNS = 50_000

ENDED: Mapping[str, RunStatus] = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
STATUS_NUMBERS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


class _Create(Struct, frozen=True):
    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Pair] = []


class _Update(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    status: str | int | None = None
    end_time: int | None = None
    run_name: str | None = None


class _Run(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""


class Metric(Struct, frozen=True):
    """A point of a metric, as clients send it."""

    key: str | None = None
    value: float | str | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    run_id: str | None = None


class _LogMetric(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    key: str | None = None
    value: float | str | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class _KeyValue(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    key: str | None = None
    value: str | None = None


class _Batch(Struct, frozen=True):
    run_id: str = ""
    metrics: list[Metric] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class _Search(Struct, frozen=True):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str | int | None = None
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str | None = None


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of runs."""
    read, write = Permission.RUN_READ, Permission.RUN_WRITE
    yield Endpoint("POST", f"{BASE}/create", write, "write", create)
    yield Endpoint("POST", f"{BASE}/update", write, "write", update)
    yield Endpoint("GET", f"{BASE}/get", read, "read", get)
    yield Endpoint("POST", f"{BASE}/log-metric", write, "log", log_metric)
    yield Endpoint("POST", f"{BASE}/log-parameter", write, "log", log_param)
    yield Endpoint("POST", f"{BASE}/set-tag", write, "log", set_tag)
    yield Endpoint("POST", f"{BASE}/delete-tag", write, "write", delete_tag)
    yield Endpoint("POST", f"{BASE}/log-batch", write, "log", log_batch)
    yield Endpoint("POST", f"{BASE}/search", read, "read", search)
    yield Endpoint("POST", f"{BASE}/delete", write, "write", delete)
    yield Endpoint("POST", f"{BASE}/restore", write, "write", restore)


def create(call: Call) -> Json:
    """Begin a run."""
    given = call.read(_Create)
    experiment = active_experiment(call, given.experiment_id or "0")
    tags = dict(checks.check_tag(one.key, one.value or "") for one in given.tags)
    named = tags.get(RUN_NAME)
    if given.run_name and named and given.run_name != named:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
            f"different values (run_name='{given.run_name}', mlflow.runName='{named}')."
        )
    name = given.run_name or named or new_name()
    start_us = None if given.start_time is None else given.start_time * 1000
    run = call.door.runs.start(
        name=_printable(name),
        source=_source(tags),
        experiment=experiment.name,
        parent=_parent(call, tags),
        start_us=start_us,
        user=given.user_id or tags.get(USER, ""),
        tags={**tags, RUN_NAME: name},
    )
    return {"run": run_json(run)}


def update(call: Call) -> Json:
    """Change state, end or name of a run."""
    given = call.read(_Update)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    status = None if given.status is None else _status(given.status)
    with of_run(digits):
        if given.run_name:
            call.door.runs.rename(run=run, name=_printable(given.run_name))
            call.door.runs.amend(run=run, tags={RUN_NAME: given.run_name})
        return {"run_info": info_json(_move(call, run, status, given.end_time))}


def get(call: Call) -> Json:
    """Return a run, also a deleted one."""
    given = call.read(_Run)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    with of_run(digits):
        return {"run": run_json(call.door.runs.show(ref=run))}


def log_metric(call: Call) -> Json:
    """Add one point to a metric."""
    given = call.read(_LogMetric)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    need(given.key, "key")
    if given.value is None or given.timestamp is None:
        raise invalid(checks.required("value" if given.value is None else "timestamp"))
    value = checks.check_metric(given.key, given.value, given.timestamp, given.step, "")
    point = MetricPoint(
        key=given.key or "", value=value, step=given.step, time_us=_micro(given.timestamp)
    )
    with of_run(digits):
        call.door.runs.amend(run=run, points=[point])
    if given.model_id:
        log_measured(call, run, [(point, given.model_id, given.dataset_name, given.dataset_digest)])
    return {}


def log_param(call: Call) -> Json:
    """Record a parameter."""
    given = call.read(_KeyValue)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    key, value = checks.check_param(need(given.key, "key"), given.value or "")
    with of_run(digits):
        try:
            call.door.runs.amend(run=run, params={key: value})
        except ParamChanged as error:
            _, stored, new = error.changes[0]
            raise invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already"
                f" logged with value='{stored}' for run ID='{digits}'. Attempted logging new"
                f" value '{new}'."
            ) from error
    return {}


def set_tag(call: Call) -> Json:
    """Set a tag; that of the name renames the run."""
    given = call.read(_KeyValue)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    key, value = checks.check_tag(need(given.key, "key"), given.value or "")
    with of_run(digits):
        call.door.runs.amend(run=run, tags={key: value})
        if key == RUN_NAME and value.strip():
            call.door.runs.rename(run=run, name=_printable(value))
    return {}


def delete_tag(call: Call) -> Json:
    """Remove a tag."""
    given = call.read(_KeyValue)
    digits = given.run_id or given.run_uuid
    run, key = run_of(digits), need(given.key, "key")
    with of_run(digits):
        shown = call.door.runs.show(ref=run)
        if shown.deleted_us is not None:
            raise NotActive(run)
        if key not in shown.tags:
            raise MlflowError(
                "RESOURCE_DOES_NOT_EXIST", f"No tag with name: {key} in run with id {digits}"
            )
        call.door.runs.delete_tag(run=run, key=key)
    return {}


def log_batch(call: Call) -> Json:
    """Log points, parameters and tags together, all or none."""
    checks.check_batch_bytes(len(call.body))
    given = call.read(_Batch)
    run = run_of(given.run_id)
    checks.check_batch(len(given.metrics), len(given.params), len(given.tags))
    points: list[MetricPoint] = []
    measured: list[tuple[MetricPoint, str, str | None, str | None]] = []
    for number, one in enumerate(given.metrics):
        at = f"metrics[{number}]"
        value = checks.check_metric(one.key, one.value, one.timestamp, one.step, at)
        point = MetricPoint(
            key=one.key or "", value=value, step=one.step, time_us=_micro(one.timestamp or 0)
        )
        points.append(point)
        if one.model_id:
            measured.append((point, one.model_id, one.dataset_name, one.dataset_digest))
    params = [
        checks.check_param(one.key, one.value or "", f"params[{number}]")
        for number, one in enumerate(given.params)
    ]
    twice = _repeated([key for key, _ in params])
    if twice:
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure "
            "the request contains only one param value per param key."
        )
    tags = [
        checks.check_tag(one.key, one.value or "", f"tags[{number}]")
        for number, one in enumerate(given.tags)
    ]
    with of_run(given.run_id):
        try:
            call.door.runs.amend(run=run, points=points, params=dict(params), tags=dict(tags))
        except ParamChanged as error:
            changes = [
                {"key": key, "old_value": stored, "new_value": new}
                for key, stored, new in error.changes
            ]
            raise invalid(
                "Changing param values is not allowed. Params were already"
                f" logged='{changes}' for run ID='{given.run_id}'."
            ) from error
    if measured:
        log_measured(call, run, measured)
    return {}


def search(call: Call) -> Json:
    """Return runs that fit a filter, page by page."""
    given = call.read(_Search)
    if not 0 < given.max_results <= MAX_RUNS:
        raise invalid(
            checks.bad_value("max_results", given.max_results)
            + f" It must be a positive integer not above {MAX_RUNS}."
        )
    numbers = [checks.parse_experiment_id(one) for one in given.experiment_ids]
    if not numbers:
        return {"runs": []}
    found = call.door.runs.search(
        filter=given.filter,
        order=given.order_by,
        experiments=[f"#{number}" for number in numbers],
        lifecycle=lifecycle_of(given.run_view_type),
        fields=FIELDS,
        with_points=True,
        limit=given.max_results,
        token=given.page_token or None,
        vocabulary="mlflow",
    )
    answer: Json = {"runs": [run_json(run) for run in found.runs]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def delete(call: Call) -> Json:
    """Put a run away."""
    digits = need(call.read(_Run).run_id, "run_id")
    with of_run(digits):
        call.door.runs.delete(run=run_of(digits))
    return {}


def restore(call: Call) -> Json:
    """Take a run back."""
    digits = need(call.read(_Run).run_id, "run_id")
    with of_run(digits):
        call.door.runs.restore(run=run_of(digits))
    return {}


def _move(call: Call, run: RunId, status: str | None, end_time: int | None) -> Run:
    """Return the run once it is in that state, and has ended then; None leaves either as it is."""
    shown = call.door.runs.show(ref=run)
    if status is None and end_time is None:
        return shown
    if shown.deleted_us is not None:
        raise NotActive(run)
    if status in {"RUNNING", "SCHEDULED"}:
        shown = call.door.runs.resume(run=run)
        if status == "SCHEDULED":
            call.door.runs.schedule(run=run)
            shown = call.door.runs.show(ref=run)
        return shown
    wanted = shown.status if status is None else ENDED[status]
    end_us = shown.end_us if end_time is None else end_time * 1000
    if wanted == "running" or (shown.status == wanted and shown.end_us == end_us):
        return shown
    if shown.status != "running":
        call.door.runs.resume(run=run)
    return call.door.runs.finish(run=run, status=wanted, end_us=end_us)


def _status(given: str | int) -> str:
    name = STATUS_NUMBERS.get(str(given), str(given))
    if name not in ENDED and name not in {"RUNNING", "SCHEDULED"}:
        raise invalid(
            checks.bad_value("status", given, " Hint: Value was of type 'str'.")
            + " See the API docs for more information about request parameters."
        )
    return name


def _source(tags: Mapping[str, str]) -> RunSource:
    name = tags.get("mlflow.source.name", "")
    return RunSource(
        command=[name] if name else [],
        python="",
        platform="",
        git_commit=tags.get("mlflow.source.git.commit"),
    )


def _parent(call: Call, tags: Mapping[str, str]) -> RunId | None:
    digits = tags.get(PARENT)
    if digits is None:
        return None
    try:
        run: Run = call.door.runs.show(ref=from_hex(digits, "run"))
    except MillwrightError:
        return None  # A client may name a parent that lies elsewhere; it stays a tag.
    return run.id


def _printable(name: str) -> str:
    kept = "".join(char if char.isprintable() else " " for char in name).strip()[:500]
    return kept or "run"


def _micro(timestamp_ms: int) -> int:
    # 0 would be taken for the present.
    return timestamp_ms * 1000 or 1


def _repeated(names: list[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]
