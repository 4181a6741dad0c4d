"""What a pipeline runs on: the stores, the run log, the executor, and who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.ids import EventId, RunId
from millwright.metadata.database import Database, Writer
from millwright.pipelines.executor import Executor, StoreAddress
from millwright.records.events import Act, Detail, Subject
from millwright.records.runs import (
    Infinite,
    MetricPoint,
    Problem,
    RunKind,
    RunLink,
    RunSource,
    RunStatus,
)


class RunLog(Protocol):
    """Keeps runs; `tracking.runs.Runs` is the real one."""

    def start_in(
        self,
        tx: Writer,
        act: Act,
        *,
        name: str,
        source: RunSource,
        kind: RunKind,
        experiment: str,
        parent: RunId | None,
        pipeline: str | None,
    ) -> RunId:
        """Begin a run in the caller's transaction."""
        ...

    def finish_in(
        self,
        tx: Writer,
        act: Act,
        run: RunId,
        *,
        status: RunStatus,
        error: Problem | None,
        log_digest: Digest | None,
    ) -> None:
        """Close a run in the caller's transaction."""
        ...

    def log_params(self, act: Act, run: RunId, params: Mapping[str, str]) -> None:
        """Record parameters of a running run."""
        ...

    def log_metrics(self, act: Act, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Append points to metrics of a running run."""
        ...

    def set_tags(self, act: Act, run: RunId, tags: Mapping[str, str]) -> None:
        """Set tags of a running run."""
        ...

    def log_links(self, act: Act, run: RunId, links: Sequence[RunLink]) -> None:
        """Record what a running run read and made."""
        ...


class Recorder(Protocol):
    """Writes events to the journal; `journal.log.Journal` is the real one."""

    def append(self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject]) -> EventId:
        """Record an event in the caller's transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Everything a pipeline needs from those who run it; only the workspace makes one."""

    database: Database
    store: ArtifactStore
    store_address: StoreAddress
    """How a worker opens the same store."""
    runs: RunLog
    recorder: Recorder
    executor: Executor
    clock: Clock
    act: Act
    source: RunSource
    """What the runs are made from; kept with each of them."""
    project_root: Path
    """Modules below it are the project's: their code decides what must run again."""
    experiment: str = "Default"
    door: object = None
    """What `StepContext.door` reaches: its attributes are the nouns."""
    codec: str = ""
    """`module:attribute` of the ModelCodec by which steps keep models."""


StepEventKind: TypeAlias = Literal[
    "run_started", "started", "log", "progress", "metrics", "cached", "finished", "failed",
    "skipped", "restarted", "draining", "run_finished",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """Something that happened while a pipeline runs, for whoever shows it."""

    kind: StepEventKind
    run: RunId
    """The step's run; with `run_started`, `run_finished` and `draining` the pipeline's."""
    step: str = ""
    why: str = ""
    text: str = ""
    """With `log`: what was printed."""
    done: float = 0.0
    total: float | None = None
    metrics: Mapping[str, float | Infinite | None] | None = None
    seconds: float = 0.0
    """With what ends a step or run: how long it took."""
    problem: Problem | None = None


OnEvent: TypeAlias = Callable[[StepEvent], None]


def ignore(event: StepEvent) -> None:
    """Take an event and do nothing with it."""
    del event
