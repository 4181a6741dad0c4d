"""Runs: what was executed, from which code and environment, with what result."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import ActorId, ExperimentId, LoggedModelId, RunId

RunKind: TypeAlias = Literal["script", "pipeline", "step"]
RunStatus: TypeAlias = Literal["running", "finished", "failed", "cancelled"]
Lifecycle: TypeAlias = Literal["active", "deleted", "all"]
SearchVocabulary: TypeAlias = Literal["millwright", "mlflow"]
Infinite: TypeAlias = Literal["Infinity", "-Infinity"]
LoggedModelStatus: TypeAlias = Literal["pending", "ready", "failed"]


class Experiment(Struct, frozen=True, kw_only=True):
    """A named set of runs; `number` is its id on MLflow's routes."""

    id: ExperimentId
    number: int
    name: str
    created_us: int
    changed_us: int = 0
    deleted_us: int | None = None
    location: str | None = None
    """Where a client asked for its artifacts to lie; None for the artifact store here."""
    tags: dict[str, str] = {}


class RunSource(Struct, frozen=True, kw_only=True):
    """What a run was made from, enough to make it again."""

    command: list[str]
    python: str
    platform: str
    environment_digest: Digest | None = None
    """The installed distributions and their versions, as an artifact."""
    code_digest: Digest | None = None
    """The project's source files, as an artifact tree."""
    git_commit: str | None = None
    git_diff_digest: Digest | None = None
    """What was changed and not committed, as a patch; None when nothing was."""
    process: str | None = None
    """Machine, boot, process and its start, by which one sees that it is gone."""


class RunLink(Struct, frozen=True, kw_only=True):
    """One thing a run read or made."""

    way: Literal["input", "output"]
    name: str
    what: str
    """`dataset_version`, `model_version` or `artifact`."""
    id: str
    digest: Digest


class MetricPoint(Struct, frozen=True, kw_only=True, gc=False):
    """One value of a metric, known by all that it says: logged again it is the same point.

    `value` None stands for not-a-number. JSON has no infinite numbers: on their way they are
    spelled, as `Infinity` and `-Infinity`.
    """

    key: str
    value: float | Infinite | None
    step: int = 0
    time_us: int = 0


class Curve(Struct, frozen=True, kw_only=True):
    """One metric of one run by step, thinned for a chart."""

    run: RunId
    key: str
    count: int
    """How many points there are of it."""
    points: list[MetricPoint]


class ArtifactFile(Struct, frozen=True, kw_only=True):
    """A name for stored bytes, among the artifacts of a run or a model."""

    path: str
    """Relative, with `/` between its parts."""
    digest: Digest
    size_bytes: int


class ArtifactEntry(Struct, frozen=True, kw_only=True):
    """What a folder of artifacts holds: a file, or (digest None) a folder."""

    path: str
    digest: Digest | None = None
    size_bytes: int | None = None


class LoggedDataset(Struct, frozen=True, kw_only=True):
    """Data that a run read, as its client describes it."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    context: str | None = None
    """What it was used for, as `training`."""
    tags: dict[str, str] = {}


class LoggedModelMetric(Struct, frozen=True, kw_only=True):
    """A value that a run measured of a model, on a dataset where one is named."""

    key: str
    value: float | Infinite | None
    step: int
    time_us: int
    run: RunId
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(Struct, frozen=True, kw_only=True):
    """A model that a run made, whether or not it was given a name in the registry."""

    id: LoggedModelId
    experiment: int
    """The experiment's number."""
    run: RunId | None
    name: str
    type: str
    status: LoggedModelStatus
    actor: ActorId
    created_us: int
    changed_us: int
    deleted_us: int | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[LoggedModelMetric] = []


class ModelUse(Struct, frozen=True, kw_only=True):
    """That a run read or made a logged model."""

    way: Literal["input", "output"]
    model: LoggedModelId
    step: int = 0


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong, in the three parts of an error."""

    code: str
    what: str
    why: str = ""
    fix: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """A run with everything that was logged to it, the newest value of each metric."""

    id: RunId
    experiment: str
    parent: RunId | None
    pipeline: str | None
    kind: RunKind
    name: str
    status: RunStatus
    actor: ActorId
    start_us: int
    end_us: int | None
    source: RunSource
    error: Problem | None
    log_digest: Digest | None
    telemetry_digest: Digest | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float | Infinite | None]
    links: list[RunLink]
    experiment_number: int = 0
    deleted_us: int | None = None
    user: str = ""
    """As whom its client said that it works; `actor` is who it was."""
    scheduled: bool = False
    """Whether it waits to be started elsewhere."""
    points: list[MetricPoint] = []
    """The newest point of each metric, with its step and time, where these were asked for."""
    datasets: list[LoggedDataset] = []
    """Data it read, as its client described it."""
    models: list[ModelUse] = []
    """Logged models that it read or made."""
