"""MLflow's routes of logged models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from millwright.core.errors import NotFound
from millwright.doors.logged_models import DatasetRef, MeasuredOrder
from millwright.records.access import Permission
from millwright.records.runs import LoggedModel, LoggedModelStatus
from millwright.server.mlflow import checks
from millwright.server.mlflow.artifacts import entries_json
from millwright.server.mlflow.call import Call, Endpoint, model_of, need, no_model, of_run, run_of
from millwright.server.mlflow.errors import invalid, missing
from millwright.server.mlflow.experiments import Pair, active_experiment
from millwright.server.mlflow.spelling import Json, model_json
from millwright.server.mlflow.transfer import safe_path
from millwright.tracking.files import model_folder
from millwright.tracking.telemetry import ParamChanged

BASE = "/2.0/mlflow/logged-models"
STATUSES: Mapping[str, LoggedModelStatus] = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
    "1": "pending",
    "2": "ready",
    "3": "failed",
}
MAX_PAGE = 100


class _Create(Struct, frozen=True):
    experiment_id: str = ""
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[Pair] = []
    tags: list[Pair] = []


class _Finalize(Struct, frozen=True):
    status: str | int = ""


class _Tags(Struct, frozen=True):
    tags: list[Pair] = []


class _Params(Struct, frozen=True):
    params: list[Pair] = []


class _Shown(Struct, frozen=True):
    allow_deleted: bool = False


class _Folder(Struct, frozen=True):
    artifact_directory_path: str | None = None


class _DatasetName(Struct, frozen=True):
    dataset_name: str = ""
    dataset_digest: str | None = None


class _OrderBy(Struct, frozen=True):
    field_name: str = ""
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None


class _Search(Struct, frozen=True):
    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[_DatasetName] = []
    max_results: int = MAX_PAGE
    order_by: list[_OrderBy] = []
    page_token: str | None = None


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of logged models."""
    read, write = Permission.RUN_READ, Permission.RUN_WRITE
    yield Endpoint("POST", BASE, write, "write", create)
    yield Endpoint("POST", f"{BASE}/search", read, "read", search)
    one = f"{BASE}/{{model}}"
    yield Endpoint("GET", one, read, "read", get)
    yield Endpoint("PATCH", one, write, "write", finalize)
    yield Endpoint("DELETE", one, write, "write", delete)
    yield Endpoint("PATCH", f"{one}/tags", write, "write", set_tags)
    yield Endpoint("DELETE", f"{one}/tags/{{*key}}", write, "write", delete_tag)
    yield Endpoint("POST", f"{one}/params", write, "write", log_params)
    yield Endpoint("GET", f"{one}/artifacts/directories", read, "read", list_folder)


def create(call: Call) -> Json:
    """Make a model that is yet to be filled."""
    given = call.read(_Create)
    experiment = active_experiment(call, need(given.experiment_id, "experiment_id"))
    name = _check_name(given.name) or "model"
    run = run_of(given.source_run_id) if given.source_run_id else None
    params = dict(checks.check_param(one.key, one.value or "") for one in given.params)
    tags = dict(checks.check_tag(one.key, one.value or "") for one in given.tags)
    with of_run(given.source_run_id or ""):
        made = call.door.logged_models.create(
            experiment=f"#{experiment.number}",
            name=name,
            run=run,
            type=given.model_type or "",
            params=params,
            tags=tags,
        )
    return {"model": model_json(made)}


def get(call: Call) -> Json:
    """Return a model."""
    return {"model": model_json(_shown(call, deleted=call.read(_Shown).allow_deleted))}


def finalize(call: Call) -> Json:
    """Say that a model is ready, or that it failed."""
    status = STATUSES.get(str(call.read(_Finalize).status))
    if status is None:
        raise invalid(f"Invalid model status: {call.read(_Finalize).status!r}")
    shown = _shown(call)
    return {"model": model_json(call.door.logged_models.finish(id=shown.id, status=status))}


def delete(call: Call) -> Json:
    """Put a model away."""
    call.door.logged_models.delete(id=_shown(call).id)
    return {}


def set_tags(call: Call) -> Json:
    """Set tags."""
    tags = dict(checks.check_tag(one.key, one.value or "") for one in call.read(_Tags).tags)
    shown = _shown(call)
    return {"model": model_json(call.door.logged_models.set_tags(id=shown.id, tags=tags))}


def delete_tag(call: Call) -> Json:
    """Remove a tag."""
    shown, key = _shown(call), call.part("key")
    try:
        call.door.logged_models.delete_tag(id=shown.id, key=key)
    except NotFound as error:
        raise missing(
            f"No tag with key {key!r} found for model with ID {call.part('model')!r}."
        ) from error
    return {}


def log_params(call: Call) -> Json:
    """Record parameters; what is recorded once stays, as of a run."""
    params = dict(checks.check_param(one.key, one.value or "") for one in call.read(_Params).params)
    try:
        call.door.logged_models.log_params(id=_shown(call).id, params=params)
    except ParamChanged as error:
        key, stored, new = error.changes[0]
        raise invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already"
            f" logged with value='{stored}' for model ID='{call.part('model')}'. Attempted"
            f" logging new value '{new}'."
        ) from error
    return {}


def list_folder(call: Call) -> Json:
    """Return what lies in a folder of a model's files."""
    shown = _shown(call)
    path = (call.read(_Folder).artifact_directory_path or "").rstrip("/")
    root = model_folder(shown)
    found = call.door.files.list_folder(folder=f"{root}/{safe_path(path)}" if path else root)
    return {
        "root_uri": model_json(shown)["info"]["artifact_uri"],  # pyright: ignore[reportIndexIssue]
        "files": entries_json(found, root),
    }


def search(call: Call) -> Json:
    """Return models that fit a filter."""
    given = call.read(_Search)
    if any(not one.dataset_name for one in given.datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    if not given.experiment_ids:
        return {"models": []}
    experiments = [f"#{checks.parse_experiment_id(number)}" for number in given.experiment_ids]
    known = [ref for ref in experiments if _is_there(call, ref)]
    if not known:
        return {"models": []}
    found = call.door.logged_models.search(
        experiments=known,
        filter=given.filter,
        order=[_ordered(one) for one in given.order_by],
        datasets=[
            DatasetRef(name=one.dataset_name, digest=one.dataset_digest) for one in given.datasets
        ],
        limit=min(given.max_results, 1000) if given.max_results > 0 else MAX_PAGE,
        token=given.page_token or None,
    )
    answer: Json = {"models": [model_json(one) for one in found.models]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def _ordered(given: _OrderBy) -> str | MeasuredOrder:
    term = f"{given.field_name} {'ASC' if given.ascending else 'DESC'}"
    if not given.dataset_name:
        return term
    return MeasuredOrder(
        by=term, dataset=DatasetRef(name=given.dataset_name, digest=given.dataset_digest or None)
    )


def _shown(call: Call, *, deleted: bool = False) -> LoggedModel:
    name = call.part("model")
    try:
        return call.door.logged_models.show(id=model_of(name), deleted=deleted)
    except NotFound as error:
        raise no_model(name) from error


def _check_name(name: str | None) -> str | None:
    if not name:
        return None
    bad = ("/", ":", ".", "%", '"', "'")
    if any(one in name for one in bad):
        raise invalid(
            f"Invalid model name ({name!r}) provided. Model name must be a non-empty string "
            f"and cannot contain the following characters: {bad}"
        )
    return name


def _is_there(call: Call, ref: str) -> bool:
    try:
        call.door.experiments.show(ref=ref)
    except NotFound:
        return False
    return True
