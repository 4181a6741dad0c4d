"""The embedded door's services of what runs leave behind: artifacts, logged models."""

from __future__ import annotations

from millwright.core.ids import LoggedModelId, RunId
from millwright.doors.logged_models import DatasetRef, FoundModels
from millwright.records.runs import (
    ArtifactEntry,
    ArtifactFile,
    LoggedModel,
    LoggedModelMetric,
    LoggedModelStatus,
    ModelUse,
)
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
    ) -> LoggedModel:
        return self.home.logged_models.create(
            self.session.act(),
            experiment=experiment,
            name=name,
            run=run,
            type_=type,
            params=params,
            tags=tags,
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
        order: list[str] | None = None,
        datasets: list[DatasetRef] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        found = self.home.logged_models.search(
            self.session.key,
            experiments=experiments or (),
            filter_=filter,
            order=order or (),
            datasets=[DatasetName(one.name, one.digest) for one in datasets or ()],
            limit=limit,
            token=token,
        )
        return FoundModels(models=found.models, next_token=found.next_token)
