"""The embedded door's services of what stands around runs: files, models, studies, views."""

from __future__ import annotations

from millwright.core.ids import LoggedModelId, RunId
from millwright.doors.logged_models import DatasetRef, FoundModels, MeasuredOrder
from millwright.doors.studies import StudyReport
from millwright.records.runs import (
    ArtifactEntry,
    ArtifactFile,
    LoggedModel,
    LoggedModelMetric,
    LoggedModelStatus,
    ModelUse,
    Problem,
    RunSource,
)
from millwright.records.studies import Direction, SearchSpace, Study, Trial, TrialEnd
from millwright.records.views import View, ViewSpec
from millwright.tracking.logged_models import DatasetName
from millwright.workspace.services import Service


class Files(Service):
    """Fills `doors.files.Files`."""

    def put(self, *, files: list[ArtifactFile]) -> None:
        self.home.files.put(self.session.act(), files)

    def show(self, *, path: str) -> ArtifactFile:
        return self.home.files.get(self.session.key, path)

    def list_folder(self, *, folder: str = "") -> list[ArtifactEntry]:
        return self.home.files.list(self.session.key, folder)

    def delete(self, *, path: str) -> int:
        return self.home.files.delete(self.session.act(), path)


class LoggedModels(Service):
    """Fills `doors.logged_models.LoggedModels`."""

    def create(
        self,
        *,
        experiment: str,
        name: str,
        run: RunId | None = None,
        type: str = "",
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        id: LoggedModelId | None = None,
        created_us: int | None = None,
    ) -> LoggedModel:
        return self.home.logged_models.create(
            self.session.act(),
            experiment=experiment,
            name=name,
            run=run,
            type_=type,
            params=params,
            tags=tags,
            id_=id,
            created_us=created_us,
        )

    def show(self, *, id: LoggedModelId, deleted: bool = False) -> LoggedModel:
        return self.home.logged_models.get(self.session.key, id, deleted=deleted)

    def finish(self, *, id: LoggedModelId, status: LoggedModelStatus) -> LoggedModel:
        return self.home.logged_models.finish(self.session.act(), id, status)

    def log_params(self, *, id: LoggedModelId, params: dict[str, str]) -> None:
        self.home.logged_models.log_params(self.session.act(), id, params)

    def log_metrics(self, *, id: LoggedModelId, metrics: list[LoggedModelMetric]) -> None:
        self.home.logged_models.log_metrics(self.session.act(), id, metrics)

    def set_tags(self, *, id: LoggedModelId, tags: dict[str, str]) -> LoggedModel:
        return self.home.logged_models.set_tags(self.session.act(), id, tags)

    def delete_tag(self, *, id: LoggedModelId, key: str) -> None:
        self.home.logged_models.delete_tag(self.session.act(), id, key)

    def delete(self, *, id: LoggedModelId) -> None:
        self.home.logged_models.delete(self.session.act(), id)

    def log_uses(self, *, run: RunId, uses: list[ModelUse]) -> None:
        self.home.logged_models.log_uses(self.session.act(), run, uses)

    def search(
        self,
        *,
        experiments: list[str] | None = None,
        filter: str = "",
        order: list[str | MeasuredOrder] | None = None,
        datasets: list[DatasetRef] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        found = self.home.logged_models.search(
            self.session.key,
            experiments=experiments or (),
            filter_=filter,
            order=[_ordered(term) for term in order or ()],
            datasets=[DatasetName(one.name, one.digest) for one in datasets or ()],
            limit=limit,
            token=token,
        )
        return FoundModels(models=found.models, next_token=found.next_token)


class Studies(Service):
    """Fills `doors.studies.Studies`."""

    def create(
        self,
        *,
        name: str,
        source: RunSource,
        metric: str,
        space: SearchSpace,
        direction: Direction = "minimize",
        experiment: str = "Default",
        reason: str = "",
    ) -> Study:
        return self.home.studies.create(
            self.session.act(reason),
            name=name,
            source=source,
            metric=metric,
            direction=direction,
            space=space,
            experiment=experiment,
        )

    def list_all(self) -> list[Study]:
        return self.home.studies.list_all(self.session.key)

    def show(self, *, ref: str) -> StudyReport:
        study, trials = self.home.studies.get(self.session.key, ref)
        return StudyReport(study=study, trials=trials)

    def add_trial(
        self,
        *,
        ref: str,
        params: dict[str, str],
        run: RunId | None = None,
        name: str = "",
        source: RunSource | None = None,
    ) -> Trial:
        return self.home.studies.add_trial(
            self.session.act(), ref, params=params, run=run, name=name, source=source
        )

    def end_trial(
        self,
        *,
        ref: str,
        number: int,
        state: TrialEnd,
        value: float | None = None,
        error: Problem | None = None,
        reason: str = "",
    ) -> Trial:
        return self.home.studies.end_trial(
            self.session.act(reason), ref, number, state=state, value=value, error=error
        )


class Views(Service):
    """Fills `doors.views.Views`."""

    def put(self, *, name: str, spec: ViewSpec, reason: str = "") -> View:
        return self.home.views.put(self.session.act(reason), name, spec)

    def list_all(self) -> list[View]:
        return self.home.views.list_all(self.session.key)

    def show(self, *, name: str) -> View:
        return self.home.views.get(self.session.key, name)

    def delete(self, *, name: str, reason: str = "") -> None:
        self.home.views.delete(self.session.act(reason), name)


def _ordered(term: str | MeasuredOrder) -> tuple[str, DatasetName | None]:
    if isinstance(term, str):
        return term, None
    return term.by, DatasetName(term.dataset.name, term.dataset.digest)
