"""The door to runs: what was executed, and everything logged to it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.pipelines import PipelineRun
from millwright.records.runs import (
    Experiment,
    MetricPoint,
    Problem,
    Run,
    RunKind,
    RunLink,
    RunSource,
    RunStatus,
)


class RunPage(Struct, frozen=True, kw_only=True):
    """Runs, newest first, and what to pass as `before` to read on."""

    runs: list[Run]
    next_before: RunId | None


class Runs(Protocol):
    """Runs and experiments. A `ref` is a run's id, a unique beginning of it, or `latest`."""

    @operation("POST", "/runs", needs=Permission.RUN_WRITE)
    def start(
        self,
        *,
        name: str,
        source: RunSource,
        kind: RunKind = "script",
        experiment: str = "Default",
        parent: RunId | None = None,
        reason: str = "",
    ) -> Run:
        """Begin a run."""
        ...

    @operation("POST", "/runs/{run}/params", needs=Permission.RUN_WRITE)
    def log_params(self, *, run: RunId, params: dict[str, str]) -> None:
        """Record parameters; each is written once."""
        ...

    @operation("POST", "/runs/{run}/metrics", needs=Permission.RUN_WRITE)
    def log_metrics(self, *, run: RunId, points: list[MetricPoint]) -> None:
        """Append points to the histories of their metrics."""
        ...

    @operation("POST", "/runs/{run}/tags", needs=Permission.RUN_WRITE)
    def set_tags(self, *, run: RunId, tags: dict[str, str]) -> None:
        """Set tags, replacing earlier values."""
        ...

    @operation("POST", "/runs/{run}/links", needs=Permission.RUN_WRITE)
    def log_links(self, *, run: RunId, links: list[RunLink]) -> None:
        """Record what the run read and made."""
        ...

    @operation("POST", "/runs/{run}/end", needs=Permission.RUN_WRITE)
    def finish(
        self,
        *,
        run: RunId,
        status: RunStatus = "finished",
        error: Problem | None = None,
        log_digest: Digest | None = None,
    ) -> Run:
        """Close a run."""
        ...

    @operation("GET", "/runs/{ref}", needs=Permission.RUN_READ)
    def show(self, *, ref: str) -> Run:
        """Return a run with everything logged to it."""
        ...

    @operation("GET", "/runs", needs=Permission.RUN_READ)
    def page(
        self,
        *,
        experiment: str | None = None,
        pipeline: str | None = None,
        kind: RunKind | None = None,
        parent: RunId | None = None,
        before: RunId | None = None,
        limit: int = 100,
    ) -> RunPage:
        """Return runs, newest first."""
        ...

    @operation("GET", "/runs/{ref}/metrics/{key}", needs=Permission.RUN_READ)
    def history(self, *, ref: str, key: str) -> list[MetricPoint]:
        """Return every point of one metric."""
        ...

    @operation("GET", "/runs/{ref}/steps", needs=Permission.RUN_READ)
    def steps(self, *, ref: str) -> PipelineRun:
        """Return the steps of a pipeline's run: what ran, what was cached, and why."""
        ...

    @operation("GET", "/experiments", needs=Permission.RUN_READ)
    def experiments(self) -> list[Experiment]:
        """Return the project's experiments."""
        ...
