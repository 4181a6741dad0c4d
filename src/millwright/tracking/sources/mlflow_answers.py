"""The shapes of an MLflow server's answers, as far as they are read."""

from __future__ import annotations

from msgspec import Struct


class Pair(Struct, frozen=True, kw_only=True):
    """A key and its value."""

    key: str
    value: str = ""


class MetricRecord(Struct, frozen=True, kw_only=True):
    """A point; a value that is no number comes as text."""

    key: str
    value: float | str
    timestamp: int = 0
    step: int = 0


class RunInfo(Struct, frozen=True, kw_only=True):
    """What is known of a run before its data."""

    run_id: str
    run_name: str = ""
    user_id: str = ""
    status: str = "RUNNING"
    start_time: int | None = None
    end_time: int | None = None
    artifact_uri: str = ""


class RunData(Struct, frozen=True, kw_only=True):
    """What was logged to a run, the latest point of each metric."""

    metrics: list[MetricRecord] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class DatasetRecord(Struct, frozen=True, kw_only=True):
    """A dataset by its description."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Struct, frozen=True, kw_only=True):
    """That a run read a dataset."""

    dataset: DatasetRecord
    tags: list[Pair] = []


class RunInputs(Struct, frozen=True, kw_only=True):
    """What a run read."""

    dataset_inputs: list[DatasetInput] = []


class ModelOutput(Struct, frozen=True, kw_only=True):
    """That a run made a model."""

    model_id: str
    step: int = 0


class RunOutputs(Struct, frozen=True, kw_only=True):
    """What a run made."""

    model_outputs: list[ModelOutput] = []


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run."""

    info: RunInfo
    data: RunData = RunData()
    inputs: RunInputs = RunInputs()
    outputs: RunOutputs = RunOutputs()


class RunAnswer(Struct, frozen=True, kw_only=True):
    """One run."""

    run: RunRecord


class Page(Struct, frozen=True, kw_only=True):
    """A page of an answer, and what to ask the next one with."""

    next_page_token: str = ""


class RunsAnswer(Page, frozen=True, kw_only=True):
    """Runs."""

    runs: list[RunRecord] = []


class ExperimentRecord(Struct, frozen=True, kw_only=True):
    """An experiment."""

    experiment_id: str
    name: str
    tags: list[Pair] = []


class ExperimentsAnswer(Page, frozen=True, kw_only=True):
    """Experiments."""

    experiments: list[ExperimentRecord] = []


class HistoryAnswer(Page, frozen=True, kw_only=True):
    """Points of one metric."""

    metrics: list[MetricRecord] = []


class ArtifactRecord(Struct, frozen=True, kw_only=True):
    """A file or a folder."""

    path: str
    is_dir: bool = False
    file_size: int | None = None


class ArtifactAnswer(Page, frozen=True, kw_only=True):
    """What a folder holds."""

    files: list[ArtifactRecord] = []
    root_uri: str = ""
    """All that there is of an empty folder."""


class AliasRecord(Struct, frozen=True, kw_only=True):
    """An alias of a registered model."""

    alias: str
    version: str


class ModelRecord(Struct, frozen=True, kw_only=True):
    """A registered model."""

    name: str
    description: str = ""
    tags: list[Pair] = []
    aliases: list[AliasRecord] = []


class ModelsAnswer(Page, frozen=True, kw_only=True):
    """Registered models."""

    registered_models: list[ModelRecord] = []


class VersionRecord(Struct, frozen=True, kw_only=True):
    """A version of a registered model."""

    name: str
    version: str
    creation_timestamp: int | None = None
    description: str = ""
    current_stage: str = "None"
    source: str = ""
    run_id: str = ""
    tags: list[Pair] = []


class VersionsAnswer(Page, frozen=True, kw_only=True):
    """Versions."""

    model_versions: list[VersionRecord] = []


class UriAnswer(Struct, frozen=True, kw_only=True):
    """Where the artifacts of a version lie."""

    artifact_uri: str


class LoggedModelInfo(Struct, frozen=True, kw_only=True):
    """A logged model."""

    name: str = ""
    artifact_uri: str = ""
    status: str = ""
    model_type: str = ""
    creation_timestamp_ms: int | None = None
    tags: list[Pair] = []


class MeasureRecord(MetricRecord, frozen=True, kw_only=True):
    """A value that a run measured of a model."""

    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModelData(Struct, frozen=True, kw_only=True):
    """What was logged to a logged model."""

    params: list[Pair] = []
    metrics: list[MeasureRecord] = []


class LoggedModelRecord(Struct, frozen=True, kw_only=True):
    """A logged model with what was logged to it."""

    info: LoggedModelInfo
    data: LoggedModelData = LoggedModelData()


class LoggedModelAnswer(Struct, frozen=True, kw_only=True):
    """One logged model."""

    model: LoggedModelRecord
