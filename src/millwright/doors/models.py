"""The door to the registry, gates and approvals."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.models import (
    AliasChange,
    Approval,
    GateReport,
    Model,
    ModelVersion,
    Risk,
)


class ModelHistory(Struct, frozen=True, kw_only=True):
    """The versions of a model and every move of its aliases, oldest first."""

    model: Model
    versions: list[ModelVersion]
    aliases: list[AliasChange]


class Models(Protocol):
    """Models. A `ref` is `name`, `name@v3`, `name@champion`, `name@latest` or an id."""

    @operation("GET", "/models", needs=Permission.MODEL_READ)
    def list_all(self) -> list[Model]:
        """Return the project's models, by name."""
        ...

    @operation("POST", "/models", needs=Permission.MODEL_REGISTER)
    def create(self, *, name: str, risk: Risk = "low", reason: str = "") -> Model:
        """Make a model; one of the same name and risk is returned as it is."""
        ...

    @operation("POST", "/models/{name}/versions", needs=Permission.MODEL_REGISTER)
    def register(
        self,
        *,
        name: str,
        package_digest: Digest,
        run: RunId | None = None,
        profile_digest: Digest | None = None,
        reason: str = "",
    ) -> ModelVersion:
        """Make a stored package a version of a model; the same model is the same version."""
        ...

    @operation("GET", "/model-versions/{ref}", needs=Permission.MODEL_READ)
    def show(self, *, ref: str) -> ModelVersion:
        """Return one version."""
        ...

    @operation("GET", "/models/{name}/history", needs=Permission.MODEL_READ)
    def history(self, *, name: str) -> ModelHistory:
        """Return who was champion when, by whose hand and why."""
        ...

    @operation("POST", "/model-versions/{ref}/aliases/{alias}", needs=Permission.MODEL_PROMOTE)
    def promote(self, *, ref: str, alias: str = "champion", reason: str = "") -> AliasChange:
        """Point an alias at a version; NeedsApproval when policy wants another person's yes."""
        ...

    @operation("POST", "/models/{name}/aliases/{alias}/rollback", needs=Permission.MODEL_PROMOTE)
    def rollback(self, *, name: str, alias: str = "champion", reason: str) -> AliasChange:
        """Point an alias back at the version it pointed at before."""
        ...

    @operation("POST", "/model-versions/{ref}/approval", needs=Permission.MODEL_APPROVE)
    def approve(self, *, ref: str, alias: str = "champion", reason: str = "") -> Approval:
        """Agree to a promotion that somebody else asked for."""
        ...

    @operation("POST", "/model-versions/{ref}/rejection", needs=Permission.MODEL_APPROVE)
    def reject(self, *, ref: str, alias: str = "champion", reason: str) -> Approval:
        """Refuse a promotion that somebody else asked for."""
        ...

    @operation("GET", "/approvals", needs=Permission.MODEL_READ)
    def approvals(self, *, state: str | None = None) -> list[Approval]:
        """Return approvals, newest first."""
        ...


class Gates(Protocol):
    """Verdicts on model versions."""

    @operation("POST", "/model-versions/{ref}/gate", needs=Permission.GATE_RUN)
    def check(
        self,
        *,
        ref: str,
        dataset: str,
        target: str,
        baseline: str | None = None,
        spec: str | None = None,
        reason: str = "",
    ) -> GateReport:
        """Judge a version on the labelled rows of a dataset, against a baseline where there is one.

        `spec` is the gate's YAML or JSON text; without it the default policy is used.
        """
        ...

    @operation("GET", "/gates/{id}", needs=Permission.GATE_READ)
    def show(self, *, id: str) -> GateReport:
        """Return one verdict with its evidence."""
        ...

    @operation("GET", "/model-versions/{ref}/gates", needs=Permission.GATE_READ)
    def verdicts(self, *, ref: str) -> list[GateReport]:
        """Return the verdicts on one version, newest first."""
        ...
