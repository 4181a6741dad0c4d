"""MLflow's routes of what runs read and made: datasets and logged models."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from millwright.records.access import Permission
from millwright.records.runs import LoggedDataset, ModelUse
from millwright.server.mlflow import checks
from millwright.server.mlflow.call import (
    MAX_LONG_BODY_BYTES,
    Call,
    Endpoint,
    found_model,
    need,
    of_run,
    run_of,
)
from millwright.server.mlflow.errors import invalid
from millwright.server.mlflow.experiments import Pair
from millwright.server.mlflow.spelling import CONTEXT, Json

RUNS = "/2.0/mlflow/runs"
MAX_DATASETS = 1000
MODEL_HISTORY = "mlflow.log-model.history"


class _Dataset(Struct, frozen=True):
    name: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class _DatasetInput(Struct, frozen=True):
    dataset: _Dataset | None = None
    tags: list[Pair] = []


class _ModelUse(Struct, frozen=True):
    model_id: str = ""
    step: int = 0


class _LogInputs(Struct, frozen=True):
    run_id: str = ""
    datasets: list[_DatasetInput] = []
    models: list[_ModelUse] = []


class _LogModel(Struct, frozen=True):
    run_id: str = ""
    model_json: str = ""


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of inputs and outputs."""
    write, long = Permission.RUN_WRITE, MAX_LONG_BODY_BYTES
    yield Endpoint("POST", f"{RUNS}/log-inputs", write, "write", log_inputs, long)
    yield Endpoint("POST", f"{RUNS}/outputs", write, "write", log_outputs)
    yield Endpoint("POST", f"{RUNS}/log-model", write, "write", log_model, long)


def log_inputs(call: Call) -> Json:
    """Record data and models that a run read."""
    given = call.read(_LogInputs)
    run = run_of(given.run_id)
    if len(given.datasets) > MAX_DATASETS:
        raise invalid(
            f"A batch logging request can contain at most {MAX_DATASETS} datasets. "
            f"Got {len(given.datasets)} datasets. Please split up datasets across multiple"
            " requests and try again."
        )
    datasets = [_dataset(one) for one in given.datasets]
    uses = [ModelUse(way="input", model=found_model(call, m.model_id)) for m in given.models]
    with of_run(given.run_id):
        # With no data, too: it is what says whether the run takes any.
        call.door.runs.log_datasets(run=run, datasets=datasets)
        if uses:
            call.door.logged_models.log_uses(run=run, uses=uses)
    return {}


def log_outputs(call: Call) -> Json:
    """Record models that a run made."""
    given = call.read(_LogInputs)
    run = run_of(given.run_id)
    if not given.models:
        raise invalid(checks.required("models"))
    uses = [
        ModelUse(way="output", model=found_model(call, one.model_id), step=one.step)
        for one in given.models
    ]
    with of_run(given.run_id):
        call.door.logged_models.log_uses(run=run, uses=uses)
    return {}


def log_model(call: Call) -> Json:
    """Record a model as clients before 3.0 do: in a tag of the run, one behind the other."""
    given = call.read(_LogModel)
    run = run_of(given.run_id)
    text = need(given.model_json, "model_json")
    try:
        model = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise invalid(f"Malformed model info. \n {text} \n is not valid JSON: {error}") from error
    lacking = {"artifact_path", "flavors", "utc_time_created", "run_id"} - model.keys()
    if lacking:
        raise invalid(f"Model json is missing mandatory fields: {', '.join(sorted(lacking))}")
    with of_run(given.run_id):
        tag = call.door.runs.show(ref=run).tags.get(MODEL_HISTORY, "[]")
        try:
            before = msgspec.json.decode(tag, type=list[object])
        except msgspec.DecodeError as error:
            raise invalid(f"The run's tag '{MODEL_HISTORY}' is not a list of models") from error
        value = msgspec.json.encode([*before, model]).decode()
        # Cut off, as other tags are, it could not be read again.
        checks.check_length(MODEL_HISTORY, checks.MAX_TAG_CHARS, value)
        call.door.runs.amend(run=run, tags={MODEL_HISTORY: value})
    return {}


def _dataset(given: _DatasetInput) -> LoggedDataset:
    one = given.dataset
    if one is None:
        raise invalid("Dataset input must have a dataset associated with it.")
    for noun, value, limit in (
        ("name", one.name, checks.MAX_DATASET_NAME_CHARS),
        ("digest", one.digest, checks.MAX_DATASET_DIGEST_CHARS),
        ("source_type", one.source_type, checks.MAX_DATASET_SOURCE_CHARS),
        ("source", one.source, checks.MAX_DATASET_SOURCE_CHARS),
    ):
        if not value:
            raise invalid(f"Dataset {noun} cannot be None")
        checks.check_length(noun, limit, value)
    checks.check_length("schema", checks.MAX_DATASET_SCHEMA_CHARS, one.schema or "")
    checks.check_length("profile", checks.MAX_DATASET_PROFILE_CHARS, one.profile or "")
    tags: dict[str, str] = {}
    for tag in given.tags:
        key = checks.check_length("key", checks.MAX_INPUT_TAG_KEY_CHARS, need(tag.key, "key"))
        tags[key] = checks.check_length("value", checks.MAX_INPUT_TAG_CHARS, tag.value or "")
    return LoggedDataset(
        name=one.name or "",
        digest=one.digest or "",
        source_type=one.source_type or "",
        source=one.source or "",
        schema=one.schema,
        profile=one.profile,
        context=tags.get(CONTEXT),
        tags=tags,
    )
