"""The door to logged models: what runs made, before and beside the registry."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.ids import LoggedModelId, RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.runs import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelStatus,
    ModelUse,
)


class FoundModels(Struct, frozen=True, kw_only=True):
    """One page of a search, and the token by which to read on."""

    models: list[LoggedModel]
    next_token: str | None


class DatasetRef(Struct, frozen=True, kw_only=True):
    """Data that a metric is to have been measured on."""

    name: str
    digest: str | None = None


class MeasuredOrder(Struct, frozen=True, kw_only=True):
    """A term of an order: a metric by its values on some data, as `metrics.auc DESC`."""

    by: str
    dataset: DatasetRef


class LoggedModels(Protocol):
    """Models that runs made; `experiment` is a name, or a number written `#3`."""

    @operation("POST", "/logged-models", needs=Permission.RUN_WRITE)
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
        """Make a model that is yet to be filled; with an `id` the call may be made again."""
        ...

    @operation("GET", "/logged-models/{id}", needs=Permission.RUN_READ)
    def show(self, *, id: LoggedModelId, deleted: bool = False) -> LoggedModel:
        """Return one model."""
        ...

    @operation("POST", "/logged-models/{id}/end", needs=Permission.RUN_WRITE)
    def finish(self, *, id: LoggedModelId, status: LoggedModelStatus) -> LoggedModel:
        """Say that a model is ready, or that it failed."""
        ...

    @operation("POST", "/logged-models/{id}/params", needs=Permission.RUN_WRITE)
    def log_params(self, *, id: LoggedModelId, params: dict[str, str]) -> None:
        """Record parameters of a model."""
        ...

    @operation("POST", "/logged-models/{id}/metrics", needs=Permission.RUN_WRITE)
    def log_metrics(self, *, id: LoggedModelId, metrics: list[LoggedModelMetric]) -> None:
        """Record what runs measured of a model."""
        ...

    @operation("POST", "/logged-models/{id}/tags", needs=Permission.RUN_WRITE)
    def set_tags(self, *, id: LoggedModelId, tags: dict[str, str]) -> LoggedModel:
        """Set tags, replacing earlier values."""
        ...

    @operation("DELETE", "/logged-models/{id}/tags/{key}", needs=Permission.RUN_WRITE)
    def delete_tag(self, *, id: LoggedModelId, key: str) -> None:
        """Remove a tag."""
        ...

    @operation("POST", "/logged-models/{id}/deletion", needs=Permission.RUN_WRITE)
    def delete(self, *, id: LoggedModelId) -> None:
        """Put a model away."""
        ...

    @operation("POST", "/runs/{run}/models", needs=Permission.RUN_WRITE)
    def log_uses(self, *, run: RunId, uses: list[ModelUse]) -> None:
        """Record which models a run read or made."""
        ...

    @operation("POST", "/logged-models/search", needs=Permission.RUN_READ)
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
        """Return models that fit a filter, newest first where nothing else orders them."""
        ...
