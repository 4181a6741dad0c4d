"""The embedded door's services of tracking: experiments, runs, their artifacts and models."""

from __future__ import annotations

from millwright.core.digest import Digest
from millwright.core.errors import NotFound
from millwright.core.ids import RunId
from millwright.doors.experiments import FoundExperiments
from millwright.doors.runs import FoundRuns, HistoryPage, RunPage
from millwright.metadata.paging import read_token, scope_of, write_token
from millwright.metadata.tables import pipelines as tables
from millwright.records.comparisons import ParallelChart, RunComparison
from millwright.records.pipelines import PipelineRun
from millwright.records.purges import Purged
from millwright.records.runs import (
    ArtifactEntry,
    ArtifactFile,
    Curve,
    Experiment,
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
from millwright.tracking.files import run_folder
from millwright.tracking.metrics import parse_place
from millwright.tracking.search import Wanted
from millwright.workspace.services import Service


class Runs(Service):
    """Fills `doors.runs.Runs`."""

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
        run = self.home.runs.start(
            self.session.act(reason),
            name=name,
            source=source,
            kind=kind,
            experiment=experiment,
            parent=parent,
            id=id,
            start_us=start_us,
            user=user,
            tags=tags,
        )
        return self.home.runs.get(self.session.key, run, with_points=True)

    def log_batch(
        self,
        *,
        run: RunId,
        points: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        self.home.runs.logs.log_batch(
            self.session.act(), run, points=points or (), params=params, tags=tags
        )

    def amend(
        self,
        *,
        run: RunId,
        points: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        self.home.runs.logs.amend(
            self.session.act(), run, points=points or (), params=params, tags=tags
        )

    def log_params(self, *, run: RunId, params: dict[str, str]) -> None:
        self.home.runs.log_params(self.session.act(), run, params)

    def log_metrics(self, *, run: RunId, points: list[MetricPoint]) -> None:
        self.home.runs.log_metrics(self.session.act(), run, points)

    def set_tags(self, *, run: RunId, tags: dict[str, str]) -> None:
        self.home.runs.set_tags(self.session.act(), run, tags)

    def delete_tag(self, *, run: RunId, key: str) -> None:
        self.home.runs.logs.delete_tag(self.session.act(), run, key)

    def log_links(self, *, run: RunId, links: list[RunLink]) -> None:
        self.home.runs.log_links(self.session.act(), run, links)

    def log_datasets(self, *, run: RunId, datasets: list[LoggedDataset]) -> None:
        self.home.runs.logs.log_datasets(self.session.act(), run, datasets)

    def log_artifacts(self, *, run: RunId, files: list[ArtifactFile]) -> None:
        folder = run_folder(self.home.runs.get(self.session.key, run))
        self.home.files.put_below(self.session.act(), folder, files)

    def artifacts(self, *, ref: str, folder: str = "") -> list[ArtifactEntry]:
        root = run_folder(self.home.runs.get(self.session.key, ref))
        return self.home.files.list_below(self.session.key, root, folder)

    def finish(
        self,
        *,
        run: RunId,
        status: RunStatus = "finished",
        error: Problem | None = None,
        log_digest: Digest | None = None,
        end_us: int | None = None,
    ) -> Run:
        self.home.runs.finish(
            self.session.act(),
            run,
            status=status,
            error=error,
            log_digest=log_digest,
            end_us=end_us,
        )
        return self.home.runs.get(self.session.key, run, with_points=True)

    def resume(self, *, run: RunId) -> Run:
        self.home.runs.resume(self.session.act(), run)
        return self.home.runs.get(self.session.key, run, with_points=True)

    def schedule(self, *, run: RunId) -> None:
        self.home.runs.schedule(self.session.act(), run)

    def rename(self, *, run: RunId, name: str) -> None:
        self.home.runs.rename(self.session.act(), run, name)

    def delete(self, *, run: RunId, reason: str = "") -> None:
        self.home.runs.delete(self.session.act(reason), run)

    def restore(self, *, run: RunId, reason: str = "") -> None:
        self.home.runs.restore(self.session.act(reason), run)

    def purge(
        self, *, older_than_days: float | None = None, dry_run: bool = False, reason: str = ""
    ) -> Purged:
        return self.home.purges.purge(
            self.session.act(reason), older_than_days=older_than_days, dry_run=dry_run
        )

    def show(self, *, ref: str) -> Run:
        return self.home.runs.get(self.session.key, ref, with_points=True)

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
        found = self.home.runs.list_page(
            self.session.key,
            experiment=experiment,
            pipeline=pipeline,
            kind=kind,
            parent=parent,
            before=before,
            limit=limit,
        )
        return RunPage(runs=found.runs, next_before=found.next_before)

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
        wanted = Wanted(
            experiments=experiments or (),
            filter=filter,
            order=order or (),
            lifecycle=lifecycle,
            parent=parent,
            kinds=kinds or (),
            fields=fields,
            with_points=with_points,
        )
        searches = {"millwright": self.home.searches, "mlflow": self.home.mlflow_searches}
        found = searches[vocabulary].find(self.session.key, wanted, limit=limit, token=token)
        return FoundRuns(runs=found.runs, next_token=found.next_token)

    def count(
        self,
        *,
        filter: str = "",
        experiments: list[str] | None = None,
        lifecycle: Lifecycle = "active",
        kinds: list[RunKind] | None = None,
    ) -> int:
        wanted = Wanted(
            experiments=experiments or (),
            filter=filter,
            lifecycle=lifecycle,
            kinds=kinds or (),
        )
        return self.home.searches.count(self.session.key, wanted)

    def history(self, *, ref: str, key: str) -> list[MetricPoint]:
        return self.home.runs.metrics.history(self.session.key, ref, key)

    def history_page(
        self, *, ref: str, key: str, limit: int = 10_000, token: str | None = None
    ) -> HistoryPage:
        pages = scope_of("history", self.session.key, ref, key)
        found = self.home.runs.metrics.page(
            self.session.key,
            ref,
            key,
            limit=limit,
            after=None if token is None else parse_place(read_token(token, pages)),
        )
        place = found.next_place
        token = None if place is None else write_token(list(place), pages)
        return HistoryPage(points=found.points, next_token=token)

    def curves(
        self,
        *,
        runs: list[str],
        keys: list[str],
        limit: int = 1000,
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> list[Curve]:
        return self.home.runs.metrics.curves(
            self.session.key,
            runs,
            keys,
            limit=limit,
            first_step=first_step,
            last_step=last_step,
        )

    def compare(self, *, runs: list[str], differing: bool = False) -> RunComparison:
        return self.home.comparisons.compare(self.session.key, runs, differing=differing)

    def parallel(self, *, runs: list[str], axes: list[str] | None = None) -> ParallelChart:
        return self.home.comparisons.parallel(self.session.key, runs, axes)

    def steps(self, *, ref: str) -> PipelineRun:
        run = self.home.runs.get(self.session.key, ref).id
        with self.home.database.read() as tx:
            found = tables.read_pipeline_run(tx, project=self.session.key, run=run)
        if found is None:
            raise NotFound(f"{run} is not the run of a pipeline, so it has no steps")
        return found


class Experiments(Service):
    """Fills `doors.experiments.Experiments`."""

    def create(
        self,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        location: str | None = None,
        reason: str = "",
    ) -> Experiment:
        act = self.session.act(reason)
        return self.home.runs.experiments.create(act, name, tags=tags, location=location)

    def list_all(self, *, deleted: bool = False) -> list[Experiment]:
        found = self.home.runs.experiments.list_all(self.session.key)
        return [one for one in found if (one.deleted_us is not None) == deleted]

    def show(self, *, ref: str) -> Experiment:
        return self.home.runs.experiments.get(self.session.key, ref)

    def search(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        lifecycle: Lifecycle = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> FoundExperiments:
        found = self.home.runs.experiments.search(
            self.session.key,
            filter_=filter,
            order=order or (),
            lifecycle=lifecycle,
            limit=limit,
            token=token,
        )
        return FoundExperiments(experiments=found.experiments, next_token=found.next_token)

    def rename(self, *, ref: str, name: str, reason: str = "") -> Experiment:
        self.home.runs.experiments.rename(self.session.act(reason), ref, name)
        return self.home.runs.experiments.get(self.session.key, name)

    def delete(self, *, ref: str, reason: str = "") -> None:
        self.home.runs.experiments.delete(self.session.act(reason), ref)

    def restore(self, *, ref: str, reason: str = "") -> Experiment:
        self.home.runs.experiments.restore(self.session.act(reason), ref)
        return self.home.runs.experiments.get(self.session.key, ref)

    def set_tags(self, *, ref: str, tags: dict[str, str]) -> None:
        self.home.runs.experiments.set_tags(self.session.act(), ref, tags)

    def delete_tag(self, *, ref: str, key: str) -> None:
        self.home.runs.experiments.delete_tag(self.session.act(), ref, key)
