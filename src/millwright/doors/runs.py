"""The door to runs: what was executed, and everything logged to it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.comparisons import ParallelChart, RunComparison
from millwright.records.pipelines import PipelineRun
from millwright.records.purges import Purged
from millwright.records.runs import (
    ArtifactEntry,
    ArtifactFile,
    Curve,
    Lifecycle,
    LoggedDataset,
    MetricPoint,
    Problem,
    Run,
    RunKind,
    RunLink,
    RunSource,
    RunStatus,
    SearchVocabulary,
)


class RunPage(Struct, frozen=True, kw_only=True):
    """Runs, newest first, and what to pass as `before` to read on."""

    runs: list[Run]
    next_before: RunId | None


class FoundRuns(Struct, frozen=True, kw_only=True):
    """One page of a search, and the token by which to read on."""

    runs: list[Run]
    next_token: str | None


class HistoryPage(Struct, frozen=True, kw_only=True):
    """Points of a metric in their order, and the token by which to read on."""

    points: list[MetricPoint]
    next_token: str | None


class Runs(Protocol):
    """Runs. A `ref` is a run's id, a unique beginning of it, or `latest`."""

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
        id: RunId | None = None,
        start_us: int | None = None,
        user: str = "",
        tags: dict[str, str] | None = None,
    ) -> Run:
        """Begin a run; with an `id` of the caller's the call may be made again."""
        ...

    @operation("POST", "/runs/{run}/batch", needs=Permission.RUN_WRITE)
    def log_batch(
        self,
        *,
        run: RunId,
        points: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Log points, parameters and tags, all or none; the same again changes nothing."""
        ...

    @operation("POST", "/runs/{run}/amendments", needs=Permission.RUN_WRITE)
    def amend(
        self,
        *,
        run: RunId,
        points: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Log as `log_batch` does, also to a run that has ended; that is journaled."""
        ...

    @operation("POST", "/runs/{run}/datasets", needs=Permission.RUN_WRITE)
    def log_datasets(self, *, run: RunId, datasets: list[LoggedDataset]) -> None:
        """Record data that a run read, as its client describes it."""
        ...

    @operation("POST", "/runs/{run}/files", needs=Permission.RUN_WRITE)
    def log_artifacts(self, *, run: RunId, files: list[ArtifactFile]) -> None:
        """Give stored bytes their paths among the artifacts of a run."""
        ...

    @operation("GET", "/runs/{ref}/files", needs=Permission.RUN_READ)
    def artifacts(self, *, ref: str, folder: str = "") -> list[ArtifactEntry]:
        """Return what lies in a folder of a run's artifacts."""
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
        end_us: int | None = None,
    ) -> Run:
        """Close a run."""
        ...

    @operation("POST", "/runs/{run}/resumption", needs=Permission.RUN_WRITE)
    def resume(self, *, run: RunId) -> Run:
        """Have a run that ended take logs again."""
        ...

    @operation("POST", "/runs/{run}/schedule", needs=Permission.RUN_WRITE)
    def schedule(self, *, run: RunId) -> None:
        """Say that a run waits to be started elsewhere."""
        ...

    @operation("POST", "/runs/{run}/name", needs=Permission.RUN_WRITE)
    def rename(self, *, run: RunId, name: str) -> None:
        """Give a run another name."""
        ...

    @operation("POST", "/runs/{run}/deletion", needs=Permission.RUN_WRITE)
    def delete(self, *, run: RunId, reason: str = "") -> None:
        """Put a run away; it can be restored until it is purged."""
        ...

    @operation("POST", "/runs/{run}/restoration", needs=Permission.RUN_WRITE)
    def restore(self, *, run: RunId, reason: str = "") -> None:
        """Take a deleted run back."""
        ...

    @operation("POST", "/runs/purge", needs=Permission.PROJECT_WRITE)
    def purge(
        self, *, older_than_days: float | None = None, dry_run: bool = False, reason: str = ""
    ) -> Purged:
        """Remove runs, experiments and logged models deleted that long ago, for good."""
        ...

    @operation("DELETE", "/runs/{run}/tags/{key}", needs=Permission.RUN_WRITE)
    def delete_tag(self, *, run: RunId, key: str) -> None:
        """Remove a tag."""
        ...

    @operation("POST", "/runs/search", needs=Permission.RUN_READ)
    def search(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        experiments: list[str] | None = None,
        lifecycle: Lifecycle = "active",
        parent: RunId | None = None,
        kinds: list[RunKind] | None = None,
        fields: list[str] | None = None,
        with_points: bool = False,
        limit: int = 100,
        token: str | None = None,
        vocabulary: SearchVocabulary = "millwright",
    ) -> FoundRuns:
        """Return the runs that fit a filter, in an order, with the fields asked for."""
        ...

    @operation("POST", "/runs/count", needs=Permission.RUN_READ)
    def count(
        self,
        *,
        filter: str = "",
        experiments: list[str] | None = None,
        lifecycle: Lifecycle = "active",
        kinds: list[RunKind] | None = None,
    ) -> int:
        """Return how many runs fit a filter."""
        ...

    @operation("POST", "/runs/curves", needs=Permission.RUN_READ)
    def curves(
        self,
        *,
        runs: list[str],
        keys: list[str],
        limit: int = 1000,
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> list[Curve]:
        """Return metrics of runs by step, thinned for a chart without losing a peak."""
        ...

    @operation("POST", "/runs/compare", needs=Permission.RUN_READ)
    def compare(self, *, runs: list[str], differing: bool = False) -> RunComparison:
        """Return runs side by side, their code against that of the first; `differing`: no more."""
        ...

    @operation("POST", "/runs/parallel", needs=Permission.RUN_READ)
    def parallel(self, *, runs: list[str], axes: list[str] | None = None) -> ParallelChart:
        """Return what a parallel-coordinates chart of runs is drawn from."""
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

    @operation("GET", "/runs/{ref}/metrics/{key}/pages", needs=Permission.RUN_READ)
    def history_page(
        self, *, ref: str, key: str, limit: int = 10_000, token: str | None = None
    ) -> HistoryPage:
        """Return points of one metric behind those of the page before."""
        ...

    @operation("GET", "/runs/{ref}/steps", needs=Permission.RUN_READ)
    def steps(self, *, ref: str) -> PipelineRun:
        """Return the steps of a pipeline's run: what ran, what was cached, and why."""
        ...
