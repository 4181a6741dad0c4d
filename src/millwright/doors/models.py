"""The door to the registry, gates and approvals."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import LoggedModelId, RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.models import (
    AliasChange,
    Approval,
    Attestation,
    GateReport,
    Model,
    ModelVersion,
    PickleRuling,
    Risk,
    Stage,
)
from millwright.records.purges import Purged
from millwright.records.runs import ArtifactFile
from millwright.registry.compare import Comparison


class ModelHistory(Struct, frozen=True, kw_only=True):
    """The versions of a model and every move of its aliases, oldest first."""

    model: Model
    versions: list[ModelVersion]
    aliases: list[AliasChange]


class AliasAt(Struct, frozen=True, kw_only=True):
    """Which version an alias pointed at, and since when; None for nothing."""

    version: int | None
    since: AliasChange | None


class FoundModel(Struct, frozen=True, kw_only=True):
    """A model with the newest version of each stage."""

    model: Model
    latest: list[ModelVersion]


class FoundModels(Struct, frozen=True, kw_only=True):
    """One page of models, and the token by which to read on."""

    models: list[FoundModel]
    next_token: str | None


class FoundVersions(Struct, frozen=True, kw_only=True):
    """One page of versions, and the token by which to read on."""

    versions: list[ModelVersion]
    next_token: str | None


class ModelCard(Struct, frozen=True, kw_only=True):
    """What is known of a version, for people."""

    model: str
    version: int
    text: str
    """Markdown."""


class Models(Protocol):
    """Models. A `ref` is `name`, `name@v3`, `name@champion`, `name@latest` or an id."""

    @operation("GET", "/models", needs=Permission.MODEL_READ)
    def list_all(self) -> list[Model]:
        """Return the project's models, by name."""
        ...

    @operation("POST", "/models", needs=Permission.MODEL_REGISTER)
    def create(
        self,
        *,
        name: str,
        risk: Risk = "low",
        reason: str = "",
        description: str = "",
        governed: bool = True,
        tags: dict[str, str] | None = None,
    ) -> Model:
        """Make a model; one of the same name and risk is returned as it is.

        The protected aliases of one that is not `governed` ask neither gate nor approval; what
        answers requests is asked for all the same.
        """
        ...

    @operation("GET", "/models/{name}", needs=Permission.MODEL_READ)
    def find(self, *, name: str) -> FoundModel:
        """Return a model with the newest version of each stage."""
        ...

    @operation("POST", "/models/search", needs=Permission.MODEL_READ)
    def search(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        """Return models that fit a filter, by name where nothing else orders them."""
        ...

    @operation("POST", "/model-versions/search", needs=Permission.MODEL_READ)
    def search_versions(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundVersions:
        """Return versions that fit a filter, last changed first where nothing else orders them."""
        ...

    @operation("POST", "/models/{name}/description", needs=Permission.MODEL_REGISTER)
    def describe(self, *, name: str, description: str, reason: str = "") -> None:
        """Say what a model is for."""
        ...

    @operation("POST", "/models/{name}/name", needs=Permission.MODEL_REGISTER)
    def rename(self, *, name: str, new_name: str, reason: str = "") -> None:
        """Give a model another name."""
        ...

    @operation("POST", "/models/{name}/tags", needs=Permission.MODEL_REGISTER)
    def set_tags(self, *, name: str, tags: dict[str, str], reason: str = "") -> None:
        """Set tags of a model, replacing earlier values."""
        ...

    @operation("DELETE", "/models/{name}/tags/{key}", needs=Permission.MODEL_REGISTER)
    def delete_tag(self, *, name: str, key: str, reason: str = "") -> None:
        """Remove a tag of a model."""
        ...

    @operation("POST", "/models/{name}/deletion", needs=Permission.MODEL_REGISTER)
    def delete(self, *, name: str, reason: str = "") -> None:
        """Put a model away with its versions; it can be restored until it is purged."""
        ...

    @operation("POST", "/models/{name}/restoration", needs=Permission.MODEL_REGISTER)
    def restore(self, *, name: str, reason: str = "") -> None:
        """Take back the model of that name that was deleted last."""
        ...

    @operation("POST", "/models/purge", needs=Permission.PROJECT_WRITE)
    def purge(
        self, *, older_than_days: float | None = None, dry_run: bool = False, reason: str = ""
    ) -> Purged:
        """Remove models and versions deleted that long ago that nothing names, for good."""
        ...

    @operation("POST", "/models/{name}/governance", needs=Permission.PROJECT_WRITE)
    def govern(self, *, name: str, governed: bool, reason: str = "") -> None:
        """Have a model's protected aliases ask gate and approval, or no longer."""
        ...

    @operation("POST", "/models/{name}/sources", needs=Permission.MODEL_REGISTER, is_long=True)
    def register_source(
        self,
        *,
        name: str,
        address: str,
        folder: str | None = None,
        run: RunId | None = None,
        run_link: str = "",
        logged_model: LoggedModelId | None = None,
        description: str = "",
        tags: dict[str, str] | None = None,
        package_digest: Digest | None = None,
        reason: str = "",
    ) -> ModelVersion:
        """Make what lies in a folder of artifacts the next version of a model, each time anew.

        With `package_digest` its files are those of that stored tree.
        """
        ...

    @operation("POST", "/model-versions/{ref}/description", needs=Permission.MODEL_REGISTER)
    def describe_version(self, *, ref: str, description: str, reason: str = "") -> None:
        """Say what is special about a version."""
        ...

    @operation("POST", "/model-versions/{ref}/deprecation", needs=Permission.MODEL_REGISTER)
    def deprecate(self, *, ref: str, reason: str) -> None:
        """Say why nobody should use a version any more; an empty reason takes that back."""
        ...

    @operation("POST", "/model-versions/{ref}/tags", needs=Permission.MODEL_REGISTER)
    def set_version_tags(self, *, ref: str, tags: dict[str, str], reason: str = "") -> None:
        """Set tags of a version, replacing earlier values."""
        ...

    @operation("DELETE", "/model-versions/{ref}/tags/{key}", needs=Permission.MODEL_REGISTER)
    def delete_version_tag(self, *, ref: str, key: str, reason: str = "") -> None:
        """Remove a tag of a version."""
        ...

    @operation("POST", "/model-versions/{ref}/stage", needs=Permission.MODEL_PROMOTE)
    def move_stage(
        self, *, ref: str, stage: Stage, archive_others: bool = False, reason: str = ""
    ) -> ModelVersion:
        """Move a version to another stage; into production it needs what a champion does."""
        ...

    @operation("POST", "/model-versions/{ref}/deletion", needs=Permission.MODEL_REGISTER)
    def delete_version(self, *, ref: str, reason: str = "") -> None:
        """Put a version away; Conflict while an alias points at it."""
        ...

    @operation(
        "POST", "/models/{name}/versions/{version}/restoration", needs=Permission.MODEL_REGISTER
    )
    def restore_version(self, *, name: str, version: str, reason: str = "") -> None:
        """Take a deleted version back."""
        ...

    @operation("DELETE", "/models/{name}/aliases/{alias}", needs=Permission.MODEL_PROMOTE)
    def remove_alias(self, *, name: str, alias: str, reason: str = "") -> AliasChange:
        """Let an alias point at nothing."""
        ...

    @operation("GET", "/models/{name}/aliases/{alias}/past", needs=Permission.MODEL_READ)
    def alias_at(self, *, name: str, alias: str, time_us: int) -> AliasAt:
        """Return which version an alias pointed at then."""
        ...

    @operation("POST", "/models/{name}/versions", needs=Permission.MODEL_REGISTER, is_long=True)
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

    @operation("POST", "/model-versions/compare", needs=Permission.MODEL_READ)
    def compare(self, *, left: str, right: str) -> Comparison:
        """Return what differs between two versions, left to right."""
        ...

    @operation("GET", "/model-versions/{ref}/files", needs=Permission.MODEL_READ)
    def files(self, *, ref: str) -> list[ArtifactFile]:
        """Return the files of a version by path, as they were registered; there may be none."""
        ...

    @operation("GET", "/model-versions/{ref}/card", needs=Permission.MODEL_READ)
    def card(self, *, ref: str) -> ModelCard:
        """Return the card of a version, drafted from what is known of it."""
        ...

    @operation("POST", "/model-versions/{ref}/attestation", needs=Permission.MODEL_REGISTER)
    def attest(self, *, ref: str, reason: str = "") -> Attestation:
        """State and sign what a version is, what it was made from, and how it was judged."""
        ...

    @operation("GET", "/model-versions/{ref}/attestation", needs=Permission.MODEL_READ)
    def attestation(self, *, ref: str) -> Attestation:
        """Return what was stated last of a version."""
        ...

    @operation("POST", "/model-versions/{ref}/pickle", needs=Permission.PROJECT_WRITE)
    def allow_pickle(self, *, ref: str, reason: str) -> PickleRuling:
        """Let whoever loads a version in a process of his own run the code in its files."""
        ...

    @operation("DELETE", "/model-versions/{ref}/pickle", needs=Permission.PROJECT_WRITE)
    def refuse_pickle(self, *, ref: str, reason: str = "") -> PickleRuling:
        """Let nobody run the code in a version's files any more."""
        ...

    @operation("GET", "/model-versions/{ref}/pickle", needs=Permission.MODEL_READ)
    def pickle_ruling(self, *, ref: str) -> PickleRuling:
        """Return whether the code in a version's files may be run, and why."""
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

    @operation("POST", "/model-versions/{ref}/gate", needs=Permission.GATE_RUN, is_long=True)
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
