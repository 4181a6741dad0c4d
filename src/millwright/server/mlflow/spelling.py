"""Records of ours as MLflow's entities: the JSON that its clients read into their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from millwright.core.ids import RunId, to_hex
from millwright.records.models import ModelVersion
from millwright.records.runs import (
    Experiment,
    Infinite,
    LoggedDataset,
    LoggedModel,
    MetricPoint,
    Run,
)
from millwright.tracking.files import folder_of_run, model_folder, model_name

Json: TypeAlias = "dict[str, object]"

SCHEME = "mlflow-artifacts:/"
RUN_NAME = "mlflow.runName"
USER = "mlflow.user"
PARENT = "mlflow.parentRunId"
CONTEXT = "mlflow.data.context"

MODEL_STATUS: Mapping[str, str] = {
    "pending": "LOGGED_MODEL_PENDING",
    "ready": "LOGGED_MODEL_READY",
    "failed": "LOGGED_MODEL_UPLOAD_FAILED",
}


def pairs(texts: Mapping[str, str]) -> list[Json]:
    """Return texts by key as MLflow's lists of key and value."""
    return [{"key": key, "value": value} for key, value in texts.items()]


def experiment_json(experiment: Experiment) -> Json:
    """Return an experiment."""
    found: Json = {
        "experiment_id": str(experiment.number),
        "name": experiment.name,
        "artifact_location": experiment.location or f"{SCHEME}{experiment.number}",
        "lifecycle_stage": "active" if experiment.deleted_us is None else "deleted",
        "last_update_time": experiment.changed_us // 1000,
        "creation_time": experiment.created_us // 1000,
    }
    if experiment.tags:
        found["tags"] = pairs(experiment.tags)
    return found


def run_json(run: Run) -> Json:
    """Return a run with what was logged to it."""
    data: Json = {}
    if run.points:
        data["metrics"] = [point_json(point) for point in run.points]
    if run.params:
        data["params"] = pairs(run.params)
    tags = run.tags if run.tags.get(RUN_NAME) else {**run.tags, RUN_NAME: run.name}
    data["tags"] = pairs(tags)
    found: Json = {"info": info_json(run), "data": data}
    inputs: Json = {}
    if run.datasets:
        inputs["dataset_inputs"] = [dataset_json(one) for one in run.datasets]
    read = [{"model_id": model_name(use.model)} for use in run.models if use.way == "input"]
    if read:
        inputs["model_inputs"] = read
    found["inputs"] = inputs
    made = [
        {"model_id": model_name(use.model), "step": use.step}
        for use in run.models
        if use.way == "output"
    ]
    found["outputs"] = {"model_outputs": made} if made else {}
    return found


def info_json(run: Run) -> Json:
    """Return what identifies a run."""
    digits = to_hex(run.id)
    info: Json = {
        "run_uuid": digits,
        "experiment_id": str(run.experiment_number),
        "run_name": run.name,
        "user_id": run.user,
        "status": status_of(run),
        "start_time": run.start_us // 1000,
        "artifact_uri": run_address(run.experiment_number, run.id),
        "lifecycle_stage": "active" if run.deleted_us is None else "deleted",
        "run_id": digits,
    }
    if run.end_us is not None:
        info["end_time"] = run.end_us // 1000
    return info


def run_address(experiment: int, run: RunId) -> str:
    """Return where a run's artifacts lie, as a client is told."""
    return f"{SCHEME}{folder_of_run(experiment, run)}"


def status_of(run: Run) -> str:
    """Return a run's state in MLflow's word."""
    match run.status:
        case "running":
            return "SCHEDULED" if run.scheduled else "RUNNING"
        case "finished":
            return "FINISHED"
        case "failed":
            return "FAILED"
        case "cancelled":
            return "KILLED"


class Point(Struct, frozen=True, gc=False, omit_defaults=True):
    """One point of a metric; lighter than a dict, since a history has a hundred thousand."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str = ""
    """Where points of several runs are told together."""


def point_json(point: MetricPoint, run_id: str = "") -> Point:
    """Return one point of a metric."""
    return Point(point.key, number(point.value), point.time_us // 1000, point.step, run_id)


def number(value: float | Infinite | None) -> float | str:
    """Return a value as MLflow's JSON spells it."""
    return "NaN" if value is None else value


def dataset_json(dataset: LoggedDataset) -> Json:
    """Return data that a run read."""
    tags = dict(dataset.tags)
    described: Json = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    if dataset.schema is not None:
        described["schema"] = dataset.schema
    if dataset.profile is not None:
        described["profile"] = dataset.profile
    return {"tags": pairs(tags), "dataset": described}


def model_json(model: LoggedModel) -> Json:
    """Return a logged model."""
    info: Json = {
        "model_id": model_name(model.id),
        "experiment_id": str(model.experiment),
        "name": model.name,
        "creation_timestamp_ms": model.created_us // 1000,
        "last_updated_timestamp_ms": model.changed_us // 1000,
        "artifact_uri": f"{SCHEME}{model_folder(model)}",
        "status": MODEL_STATUS[model.status],
        "model_type": model.type,
        "tags": pairs(model.tags),
    }
    if model.run is not None:
        info["source_run_id"] = to_hex(model.run)
    data: Json = {"params": pairs(model.params)}
    if model.metrics:
        data["metrics"] = [
            {
                "key": one.key,
                "value": number(one.value),
                "timestamp": one.time_us // 1000,
                "step": one.step,
                "model_id": model_name(model.id),
                "run_id": to_hex(one.run),
                "dataset_name": one.dataset_name,
                "dataset_digest": one.dataset_digest,
            }
            for one in model.metrics
        ]
    return {"info": info, "data": data}


def model_version_json(version: ModelVersion) -> Json:
    """Return a version of a registered model."""
    answer: Json = {
        "name": version.name,
        "version": str(version.version),
        "creation_timestamp": version.created_us // 1000,
        "last_updated_timestamp": version.changed_us // 1000,
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source,
        "status": "READY",
        "run_link": version.run_link,
        "run_id": "" if version.run is None else to_hex(version.run),
    }
    if version.logged_model is not None:
        answer["model_id"] = model_name(version.logged_model)
    if version.tags:
        answer["tags"] = pairs(version.tags)
    if version.aliases:
        answer["aliases"] = version.aliases
    return answer
