"""The SQL of models, their versions, their aliases and how these moved."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import ActorId, EventId, LoggedModelId, ModelId, ModelVersionId, RunId
from millwright.metadata.database import Reader, Writer
from millwright.records.models import AliasChange, Model, ModelVersion, Risk, Stage
from millwright.records.schema import Signature


class ModelRow(Struct, frozen=True, kw_only=True):
    """A model as its table holds it."""

    pk: int
    id: ModelId
    name: str
    risk: Risk
    created_us: int
    versions: int
    last_version: int
    description: str
    changed_us: int
    governed: int
    deleted_us: int | None
    deleted_name: str | None

    def model(self, aliases: dict[str, int], tags: dict[str, str] | None = None) -> Model:
        """Return the record, given where the aliases point."""
        return Model(
            description=self.description,
            changed_us=self.changed_us,
            governed=bool(self.governed),
            deleted_us=self.deleted_us,
            tags=tags or {},
            id=self.id,
            name=self.deleted_name or self.name,
            risk=self.risk,
            created_us=self.created_us,
            versions=self.versions,
            aliases=aliases,
        )


class VersionRow(Struct, frozen=True, kw_only=True):
    """A version as its table holds it, with its model's name."""

    pk: int
    model_pk: int
    id: ModelVersionId
    name: str
    version: int
    digest: Digest
    package_digest: Digest
    signature_json: str
    flavors_json: str
    profile_digest: Digest | None
    run_id: RunId | None
    actor: ActorId
    created_us: int
    description: str = ""
    source: str = ""
    run_link: str = ""
    logged_model: LoggedModelId | None = None
    stage: Stage = "None"
    deprecated: str | None = None
    changed_us: int = 0
    deleted_us: int | None = None

    def model_version(
        self, tags: dict[str, str] | None = None, aliases: list[str] | None = None
    ) -> ModelVersion:
        """Return the record, with tags and aliases where these were read."""
        return ModelVersion(
            description=self.description,
            source=self.source,
            run_link=self.run_link,
            logged_model=self.logged_model,
            stage=self.stage,
            deprecated=self.deprecated,
            changed_us=self.changed_us,
            deleted_us=self.deleted_us,
            tags=tags or {},
            aliases=aliases or [],
            id=self.id,
            name=self.name,
            version=self.version,
            digest=self.digest,
            package_digest=self.package_digest,
            signature=msgspec.json.decode(self.signature_json, type=Signature),
            flavors=msgspec.json.decode(self.flavors_json, type=list[str]),
            profile_digest=self.profile_digest,
            run=self.run_id,
            actor=self.actor,
            created_us=self.created_us,
        )


MODEL = """
    SELECT m.pk, m.id, m.name, m.risk, m.created_us, m.last_version, m.description, m.changed_us,
           m.governed, m.deleted_us, m.deleted_name,
           (SELECT count(*) FROM model_version v
                WHERE v.model_pk = m.pk AND v.deleted_us IS NULL) AS versions
    FROM model m
"""
VERSION = """
    SELECT v.pk, v.model_pk, v.id, m.name, v.version, v.digest, v.package_digest,
           v.signature_json, v.flavors_json, v.profile_digest, v.run_id, v.actor, v.created_us,
           v.description, v.source, v.run_link, v.logged_model, v.stage, v.deprecated,
           v.changed_us, v.deleted_us
    FROM model_version v JOIN model m ON m.pk = v.model_pk
"""
_CHANGE = """
    SELECT c.alias, target.version, prior.version AS previous, c.time_us, c.actor, c.reason,
           c.event_id AS event
    FROM alias_change c
    LEFT JOIN model_version target ON target.pk = c.version_pk
    LEFT JOIN model_version prior ON prior.pk = c.previous_pk
"""


def insert_model(
    tx: Writer,
    *,
    project: int,
    model_id: ModelId,
    name: str,
    risk: Risk,
    now_us: int,
    description: str = "",
    governed: bool = True,
) -> bool:
    """Add a model; False when the name is taken in the project."""
    added = tx.run(
        """
        INSERT INTO model (id, project_id, name, risk, created_us, changed_us, description,
            governed)
        VALUES (:id, :project, :name, :risk, :now, :now, :description, :governed)
        ON CONFLICT (project_id, name) DO NOTHING
        """,
        id=model_id,
        project=project,
        name=name,
        risk=risk,
        now=now_us,
        description=description,
        governed=int(governed),
    )
    return added == 1


def find_model(tx: Reader, *, project: int, name: str) -> ModelRow | None:
    """Return the model of that name."""
    return tx.first(
        ModelRow,
        MODEL + "WHERE m.project_id = :project AND m.name = :name",
        project=project,
        name=name,
    )


def list_models(tx: Reader, *, project: int) -> list[ModelRow]:
    """Return the project's models, by name."""
    return tx.rows(
        ModelRow,
        MODEL + "WHERE m.project_id = :project AND m.deleted_us IS NULL ORDER BY m.name",
        project=project,
    )


def lock_model(tx: Writer, model_pk: int) -> None:
    """Have other writers to this model wait until the transaction ends.

    SQLite has one writer anyway; on PostgreSQL the update holds the row.
    """
    tx.run("UPDATE model SET name = name WHERE pk = :pk", pk=model_pk)


def insert_version(tx: Writer, version: ModelVersion, *, project: int, model_pk: int) -> None:
    """Add a version; the caller holds the model's lock and has chosen the next number."""
    tx.run(
        """
        INSERT INTO model_version (id, project_id, model_pk, version, digest, package_digest,
                                   signature_json, flavors_json, profile_digest, run_id, actor,
                                   created_us, changed_us, description, source, run_link,
                                   logged_model)
        VALUES (:id, :project, :model, :version, :digest, :package, :signature, :flavors,
                :profile, :run, :actor, :now, :now, :description, :source, :run_link, :logged)
        """,
        id=version.id,
        project=project,
        model=model_pk,
        version=version.version,
        digest=version.digest,
        package=version.package_digest,
        signature=msgspec.json.encode(version.signature).decode(),
        flavors=msgspec.json.encode(version.flavors).decode(),
        profile=version.profile_digest,
        run=version.run,
        actor=version.actor,
        now=version.created_us,
        description=version.description,
        source=version.source,
        run_link=version.run_link,
        logged=version.logged_model,
    )
    tx.run(
        "UPDATE model SET last_version = :version, changed_us = :now WHERE pk = :model",
        version=version.version,
        now=version.created_us,
        model=model_pk,
    )


def find_latest(tx: Reader, *, model_pk: int) -> VersionRow | None:
    """Return the model's newest version that is not deleted."""
    return tx.first(
        VersionRow,
        VERSION
        + "WHERE v.model_pk = :model AND v.deleted_us IS NULL ORDER BY v.version DESC LIMIT 1",
        model=model_pk,
    )


def find_version(tx: Reader, *, model_pk: int, version: int) -> VersionRow | None:
    """Return the model's version of that number."""
    return tx.first(
        VersionRow,
        VERSION + "WHERE v.model_pk = :model AND v.version = :version",
        model=model_pk,
        version=version,
    )


def find_version_by_digest(tx: Reader, *, model_pk: int, digest: Digest) -> VersionRow | None:
    """Return the model's version with that model digest."""
    return tx.first(
        VersionRow,
        VERSION + "WHERE v.model_pk = :model AND v.digest = :digest AND v.deleted_us IS NULL "
        "ORDER BY v.version LIMIT 1",
        model=model_pk,
        digest=digest,
    )


def find_versions_by_id(tx: Reader, *, project: int, low: str, high: str) -> list[VersionRow]:
    """Return at most two versions of the project whose ids lie in [low, high]."""
    return tx.rows(
        VersionRow,
        VERSION
        + "WHERE v.project_id = :project AND v.id >= :low AND v.id <= :high ORDER BY v.id LIMIT 2",
        project=project,
        low=low,
        high=high,
    )


def list_versions(tx: Reader, *, model_pk: int) -> list[VersionRow]:
    """Return the model's versions, oldest first."""
    return tx.rows(
        VersionRow,
        VERSION + "WHERE v.model_pk = :model AND v.deleted_us IS NULL ORDER BY v.version",
        model=model_pk,
    )


def find_alias(tx: Reader, *, model_pk: int, alias: str) -> VersionRow | None:
    """Return the version an alias points at now."""
    return tx.first(
        VersionRow,
        f"{VERSION} JOIN model_alias a ON a.version_pk = v.pk"
        " WHERE a.model_pk = :model AND a.alias = :alias",
        model=model_pk,
        alias=alias,
    )


def list_aliases(tx: Reader, *, project: int) -> dict[int, dict[str, int]]:
    """Return model key -> alias -> version number, for all models of the project."""
    rows = tx.rows(
        tuple[int, str, int],
        """
        SELECT a.model_pk, a.alias, v.version
        FROM model_alias a JOIN model m ON m.pk = a.model_pk
        JOIN model_version v ON v.pk = a.version_pk
        WHERE m.project_id = :project ORDER BY a.model_pk, a.alias
        """,
        project=project,
    )
    found: dict[int, dict[str, int]] = {}
    for model_pk, alias, version in rows:
        found.setdefault(model_pk, {})[alias] = version
    return found


def put_alias(tx: Writer, *, model_pk: int, alias: str, version_pk: int | None) -> None:
    """Point an alias at a version, or (None) at nothing."""
    if version_pk is None:
        tx.run(
            "DELETE FROM model_alias WHERE model_pk = :model AND alias = :alias",
            model=model_pk,
            alias=alias,
        )
        return
    tx.run(
        """
        INSERT INTO model_alias (model_pk, alias, version_pk) VALUES (:model, :alias, :version)
        ON CONFLICT (model_pk, alias) DO UPDATE SET version_pk = excluded.version_pk
        """,
        model=model_pk,
        alias=alias,
        version=version_pk,
    )


def insert_alias_change(
    tx: Writer,
    *,
    model_pk: int,
    alias: str,
    version_pk: int | None,
    previous_pk: int | None,
    time_us: int,
    actor: ActorId,
    reason: str,
    event: EventId,
) -> None:
    """Add one move of an alias to its history."""
    tx.run(
        """
        INSERT INTO alias_change (model_pk, alias, version_pk, previous_pk, time_us, actor, reason,
                                  event_id)
        VALUES (:model, :alias, :version, :previous, :time, :actor, :reason, :event)
        """,
        model=model_pk,
        alias=alias,
        version=version_pk,
        previous=previous_pk,
        time=time_us,
        actor=actor,
        reason=reason,
        event=event,
    )


def list_alias_changes(tx: Reader, *, model_pk: int) -> list[AliasChange]:
    """Return every move of the model's aliases, oldest first."""
    return tx.rows(AliasChange, _CHANGE + "WHERE c.model_pk = :model ORDER BY c.pk", model=model_pk)
