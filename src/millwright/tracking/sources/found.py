"""What a reader finds in a foreign store, in words that no store owns.

A `Source` names experiments, runs and models. Of each run it gives a stream of items in the
order in which the store holds them: points, parameters, files, and what could not be read.
Nothing here knows where it goes; whoever takes it in writes it down piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from millwright.records.runs import MetricPoint, Problem, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundExperiment:
    """A named set of runs."""

    name: str
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run by what is known of it before its content is read."""

    id: str
    """By which the store knows it, and knows it again another time."""
    name: str
    experiment: str
    start_us: int
    parent: str | None = None
    """The `id` of the run it stands under."""
    mark: str
    """Changes when the store holds more of the run, or something else."""
    uuid: str | None = None
    """The 32 hexadecimal digits by which the run is known, where the store has such."""
    command: tuple[str, ...] = ()
    python: str = ""
    platform: str = ""
    git_commit: str | None = None
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundParams:
    """Parameters, as text."""

    params: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTags:
    """Tags, as text; a later value counts."""

    tags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """One observation that is no number: a text, a histogram, what a step left behind."""

    table: str
    """The name of the series, below which it is kept as a file of lines."""
    row: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBytes:
    """A small artifact whose bytes were read."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """An artifact that lies somewhere, to be fetched when it is wanted."""

    path: str
    size_bytes: int | None
    changed_ns: int | None = None
    """When it was written, where the store tells."""
    fetch: Callable[[Path], Path]
    """Returns a file with its bytes: its own, or the given path to which they were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLog:
    """A piece of what the run printed."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEnd:
    """How and when the run ended; the last that is given counts."""

    status: RunStatus
    end_us: int | None
    """None where the store does not tell."""
    error: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Something that is there and was not taken: a damaged record, a kind nobody knows."""

    where: str
    why: str


Files: TypeAlias = Callable[[], Iterator[FoundFile | Unread]]
"""Gives the files of a folder of artifacts, as often as it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDataset:
    """Data that a run read, as the store describes it."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    context: str | None = None
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMeasure:
    """A value that a run measured of a model."""

    key: str
    value: float | None
    step: int
    time_us: int
    run: str
    """The `id` of the run."""
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLoggedModel:
    """A model that a run made, whether or not it was ever registered."""

    uuid: str
    """32 hexadecimal digits."""
    name: str
    type: str
    status: Literal["pending", "ready", "failed"]
    created_us: int
    step: int
    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    measures: tuple[FoundMeasure, ...] = ()
    files: Files


Item: TypeAlias = (
    MetricPoint
    | FoundParams
    | FoundTags
    | FoundRow
    | FoundBytes
    | FoundFile
    | FoundLog
    | FoundEnd
    | FoundDataset
    | FoundLoggedModel
    | Unread
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVersion:
    """A version of a registered model."""

    version: int
    run: str | None
    """The `id` of the run that made it."""
    created_us: int
    description: str = ""
    stage: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    source: str = ""
    """Where the store says that its files lie."""
    logged_model: str | None = None
    """The `uuid` of the logged model that it is."""
    files: Files


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A registered model with its versions, oldest first."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    aliases: dict[str, int] = field(default_factory=dict[str, int])
    versions: tuple[FoundVersion, ...] = ()


class Source(Protocol):
    """A foreign store that can be read, as often as one likes, and is never written to."""

    @property
    def kind(self) -> str:
        """`tensorboard`, `wandb` or `mlflow`."""
        ...

    @property
    def place(self) -> str:
        """Where it lies, without a password."""
        ...

    @property
    def scope(self) -> str:
        """Within which the ids of runs are unique; empty where they are so in the world."""
        ...

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the experiments."""
        ...

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs, a parent before its children."""
        ...

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over what the store holds of a run."""
        ...

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over the registered models."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...
