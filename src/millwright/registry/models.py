"""Models: names for series of versions, and versions that never change.

A version is made from a package that lies in the artifact store. What is registered is read
from the package itself: its digest is computed again from its files, never taken on trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import fetch_tree, load_tree
from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Corrupt, Invalid, NotFound
from millwright.core.ids import (
    EventId,
    LoggedModelId,
    ModelId,
    ModelVersionId,
    RunId,
    bounds,
    new_id,
    parse_id,
)
from millwright.core.refs import LATEST, Ref, check_model_name, did_you_mean, parse_ref
from millwright.journal.leaves import short_text, short_texts
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import model_changes as change_tables
from millwright.metadata.tables import models as tables
from millwright.metadata.tables import runs as run_tables
from millwright.records.events import Act, Detail, ModelCreated, ModelVersionRegistered, Subject
from millwright.records.models import Model, ModelVersion, Risk
from millwright.records.schema import Signature
from millwright.registry.mlmodel import Package, parse_package
from millwright.stats.profile import TableProfile

MAX_PROFILE_BYTES = 64 << 20
MAX_DESCRIPTION_BYTES = 4 << 20
"""Of MLmodel and requirements: room for the signature of some ten thousand columns."""
_ID_PREFIX = "mov_"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to become a version, all of it checked."""

    digest: Digest
    package_digest: Digest
    signature: Signature
    flavors: Sequence[str]
    profile_digest: Digest | None = None
    run: RunId | None = None
    description: str = ""
    source: str = ""
    run_link: str = ""
    logged_model: LoggedModelId | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


class Recorder(Protocol):
    """Takes events, in the transaction of the change they tell of."""

    def append(self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject]) -> EventId:
        """Append one event and return its id."""
        ...


class Models:
    """The models of all projects of a home."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, recorder: Recorder, clock: Clock
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._recorder = recorder
        self._clock = clock

    def create(
        self,
        act: Act,
        *,
        name: str,
        risk: Risk = "low",
        description: str = "",
        governed: bool = True,
        tags: Mapping[str, str] | None = None,
    ) -> Model:
        """Make a model; one of the same name and risk is returned as it is.

        Raises Conflict when the name is taken by a model of another risk.
        """
        check_model_name(name)
        model_id = ModelId(new_id("mod"))
        with self._database.write() as tx:
            added = tables.insert_model(
                tx,
                project=act.project_key,
                model_id=model_id,
                name=name,
                risk=risk,
                now_us=self._clock.now_us(),
                description=description,
                governed=governed,
            )
            if added:
                pk = self._row(tx, act.project_key, name).pk
                change_tables.upsert_tags(tx, pk=pk, tags=tags or {}, of_version=False)
                detail = ModelCreated(
                    name=name,
                    risk=risk,
                    description=short_text(description),
                    tags=short_texts(tags or {}),
                )
                self._recorder.append(tx, act, detail, [Subject(kind="model", id=model_id)])
            model = self._model(tx, act.project_key, name)
        if model.risk != risk:
            raise Conflict(
                f"there is a model {name} already, of {model.risk} risk",
                why=f"{risk} risk was asked for, and the risk of a model does not change",
                fix="use another name, or leave the risk out",
            )
        return model

    def register(
        self,
        act: Act,
        *,
        name: str,
        package_digest: Digest,
        run: RunId | None = None,
        profile_digest: Digest | None = None,
    ) -> ModelVersion:
        """Make a stored package the next version of a model.

        The same model, by its digest, is the same version: the one that is there is returned
        and nothing is written. Raises NotFound when the model, the package, the profile or the
        run is not there, Invalid when the profile is none, Corrupt when the package is not what
        it says, and Unsupported when it is not ours.
        """
        package = self.package(package_digest)
        if profile_digest is not None:
            self._check_profile(profile_digest)
        found = Candidate(
            digest=package.digest,
            package_digest=package_digest,
            signature=package.facts.signature,
            flavors=package.flavors,
            profile_digest=profile_digest,
            run=run,
        )
        with self._database.write() as tx:
            model = self._row(tx, act.project_key, name)
            tables.lock_model(tx, model.pk)
            existing = tables.find_version_by_digest(tx, model_pk=model.pk, digest=package.digest)
            if existing is not None:
                return existing.model_version()
            return self.add_in(tx, act, name, found)

    def add_in(self, tx: Writer, act: Act, name: str, found: Candidate) -> ModelVersion:
        """Give a candidate the next number of a model, in the caller's transaction.

        Raises NotFound for a model or a run that is not there.
        """
        model = self._row(tx, act.project_key, name)
        tables.lock_model(tx, model.pk)
        run = None if found.run is None else _stored_run(tx, act.project_key, found.run)
        # Counted again under the lock: another writer may have registered meanwhile.
        number = self._row(tx, act.project_key, name).last_version + 1
        now_us = self._clock.now_us()
        version = ModelVersion(
            id=ModelVersionId(new_id("mov")),
            name=name,
            version=number,
            digest=found.digest,
            package_digest=found.package_digest,
            signature=found.signature,
            flavors=list(found.flavors),
            profile_digest=found.profile_digest,
            run=run,
            actor=act.actor,
            created_us=now_us,
            description=found.description,
            source=found.source,
            run_link=found.run_link,
            logged_model=found.logged_model,
            changed_us=now_us,
            tags=dict(found.tags),
        )
        tables.insert_version(tx, version, project=act.project_key, model_pk=model.pk)
        row = tables.find_version(tx, model_pk=model.pk, version=number)
        assert row is not None, "it was inserted just now"
        change_tables.upsert_tags(tx, pk=row.pk, tags=found.tags, of_version=True)
        subjects = [
            Subject(kind="model_version", id=version.id, digest=version.digest),
            Subject(kind="model", id=model.id),
            Subject(kind="package", id=version.id, digest=found.package_digest),
        ]
        if run is not None:
            subjects.append(Subject(kind="run", id=run))
        detail = ModelVersionRegistered(
            reason=act.reason,
            name=name,
            version=number,
            flavors=version.flavors,
            source=found.source,
            description=short_text(found.description),
            tags=short_texts(found.tags),
        )
        self._recorder.append(tx, act, detail, subjects)
        return version

    def package(self, package_digest: Digest) -> Package:
        """Return what a stored package says about itself, its model digest verified."""
        tree = load_tree(self._artifacts, package_digest)
        return parse_package(
            lambda path: self._read_short(path, tree.get(path).digest),
            lambda path: tree.get(path).digest,
            [entry.path for entry in tree.entries],
        )

    def list(self, project_key: int) -> list[Model]:
        """Return a project's models, by name."""
        with self._database.read() as tx:
            aliases = tables.list_aliases(tx, project=project_key)
            rows = tables.list_models(tx, project=project_key)
        return [row.model(aliases.get(row.pk, {})) for row in rows]

    def model(self, project_key: int, name: str) -> Model:
        """Return the model of that name; raises NotFound, naming the nearest."""
        with self._database.read() as tx:
            return self._model(tx, project_key, name)

    def versions(self, project_key: int, name: str) -> Sequence[ModelVersion]:
        """Return a model's versions, oldest first."""
        with self._database.read() as tx:
            model = self._row(tx, project_key, name)
            return [row.model_version() for row in tables.list_versions(tx, model_pk=model.pk)]

    def get(self, project_key: int, ref: str) -> ModelVersion:
        """Return the version that `ref` names.

        `churn@v3`, `churn@champion`, `churn` or `churn@latest` (the newest), or the version's
        id or a unique beginning of it. Raises NotFound, saying what there is.
        """
        with self._database.read() as tx:
            row = find_version(tx, project_key, ref)
            tags = change_tables.read_tags(tx, pks=[row.pk], of_version=True)
            aliases = change_tables.read_aliases(tx, version_pks=[row.pk])
        return row.model_version(tags.get(row.pk), aliases.get(row.pk))

    def fetch(self, project_key: int, ref: str, folder: Path) -> ModelVersion:
        """Write a version's package to `folder`, every file checked; return the version."""
        version = self.get(project_key, ref)
        fetch_tree(self._artifacts, version.package_digest, folder)
        return version

    def _read_short(self, path: str, digest: Digest) -> bytes:
        # Not the size that the tree tells: a caller wrote that.
        size_bytes = self._artifacts.size(digest)
        if size_bytes > MAX_DESCRIPTION_BYTES:
            raise Invalid(
                f"the package's file {path} is too large",
                why=f"it has {size_bytes:,} bytes, and at most {MAX_DESCRIPTION_BYTES:,} are read",
                fix=f"package the model again, with a {path} that says only what the model needs",
            )
        return self._artifacts.read_bytes(digest)

    def _check_profile(self, digest: Digest) -> None:
        size_bytes = self._artifacts.size(digest)
        if size_bytes > MAX_PROFILE_BYTES:
            raise Invalid(
                f"{digest} is not the profile of a table",
                why=f"it has {size_bytes} bytes; a profile has at most {MAX_PROFILE_BYTES}",
            )
        data = self._artifacts.read_bytes(digest)
        try:
            TableProfile.from_bytes(data)
        except Corrupt as error:
            raise Invalid(
                f"{digest} is not the profile of a table",
                why=error.what,
                fix="give the digest of the profile of the rows the model was fitted on",
            ) from error

    def _model(self, tx: Reader, project_key: int, name: str) -> Model:
        row = self._row(tx, project_key, name)
        tags = change_tables.read_tags(tx, pks=[row.pk], of_version=False)
        aliases = tables.list_aliases(tx, project=project_key).get(row.pk, {})
        return row.model(aliases, tags.get(row.pk))

    def _row(self, tx: Reader, project_key: int, name: str) -> tables.ModelRow:
        return find_model(tx, project_key, name)


def _stored_run(tx: Reader, project_key: int, run: RunId) -> RunId:
    whole = RunId(parse_id(run, "run"))
    if not run_tables.find_runs_by_id(tx, project=project_key, low=whole, high=whole):
        raise NotFound(f"no run {run} in this project", fix="`mill runs list` shows them")
    return whole


def find_model(tx: Reader, project_key: int, name: str) -> tables.ModelRow:
    """Return the row of a model; raises NotFound, naming the nearest."""
    check_model_name(name)
    row = tables.find_model(tx, project=project_key, name=name)
    if row is None:
        known = [model.name for model in tables.list_models(tx, project=project_key)]
        raise NotFound(
            f"no model {name} in this project",
            why=f"there are: {', '.join(known[:10])}" if known else "it has none yet",
            fix=did_you_mean(name, known) or "`mill model list` shows them",
        )
    return row


def find_version(tx: Reader, project_key: int, ref: str) -> tables.VersionRow:
    """Return the row of the version that `ref` names; raises NotFound and Invalid."""
    if ref.startswith(_ID_PREFIX):
        low, high = bounds(ref, "mov")
        found = tables.find_versions_by_id(tx, project=project_key, low=low, high=high)
        if len(found) > 1:
            raise Invalid(
                f"{ref!r} begins more than one model version's id", fix="give more characters"
            )
        if found:
            return found[0]
        raise NotFound(
            f"no model version {ref!r} in this project", fix="`mill model list` shows the models"
        )
    parsed = parse_ref(ref)
    model = find_model(tx, project_key, parsed.name)
    if parsed.version is not None:
        row = tables.find_version(tx, model_pk=model.pk, version=parsed.version)
    elif parsed.alias in {None, LATEST}:
        row = tables.find_latest(tx, model_pk=model.pk)
    else:
        row = tables.find_alias(tx, model_pk=model.pk, alias=parsed.alias or "")
    if row is None or row.deleted_us is not None:
        raise _no_version(tx, project_key, model, parsed, deleted=row)
    return row


def _no_version(
    tx: Reader,
    project_key: int,
    model: tables.ModelRow,
    ref: Ref,
    *,
    deleted: tables.VersionRow | None,
) -> NotFound:
    aliases = tables.list_aliases(tx, project=project_key).get(model.pk, {})
    if deleted is not None:
        why = "it was deleted"
        fix = f"take it back: mill model restore '{model.name}@v{deleted.version}'"
    elif not model.versions and model.last_version:
        why = f"all versions of model {model.name} were deleted"
        fix = f"take one back: mill model restore '{model.name}@v{model.last_version}'"
    elif not model.versions:
        why = f"model {model.name} has no version yet"
        fix = f"mill model register FOLDER --name {model.name}"
    elif ref.alias:
        named = ", ".join(f"{alias} (v{number})" for alias, number in aliases.items())
        why = f"the aliases of model {model.name}: {named or 'none'}"
        fix = (
            did_you_mean(ref.alias, aliases)
            or f"mill model promote {model.name}@v{model.last_version} --alias {ref.alias}"
        )
    else:
        why = f"the newest version of model {model.name} is v{model.last_version}"
        fix = f"mill model history {model.name}"
    return NotFound(f"no model version {ref}", why=why, fix=fix)
