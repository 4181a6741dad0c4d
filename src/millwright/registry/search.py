"""Models and versions found by filter and order, in our words and in MLflow's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from millwright.core.errors import Invalid
from millwright.core.ids import in_our_spelling
from millwright.metadata.database import Database, Reader
from millwright.metadata.filters import Clause, Vocabulary, parse_filter, parse_order
from millwright.metadata.paging import read_token, scope_of, write_token
from millwright.metadata.tables import finding
from millwright.metadata.tables import model_changes as tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables.finding import Scope, Spelled
from millwright.records.models import Model, ModelVersion

MAX_MODELS = 1000
MAX_VERSIONS = 200_000
IS_PROMPT = "mlflow.prompt.is_prompt"
"""The tag of what is no model but a prompt, which clients keep in the registry too."""

_TAGS = {"tag": "tag", "tags": "tag", "attribute": "attribute", "attributes": "attribute"}

MODELS = Vocabulary(
    entities=_TAGS,
    numbers=frozenset({"creation_timestamp", "last_updated_timestamp"}),
    texts=frozenset({"name"}),
    aliases={
        "timestamp": "last_updated_timestamp",
        "created": "creation_timestamp",
        "changed": "last_updated_timestamp",
    },
    orderable=frozenset({"attribute"}),
)
VERSIONS = Vocabulary(
    entities=_TAGS,
    numbers=frozenset({"version_number", "creation_timestamp", "last_updated_timestamp"}),
    texts=frozenset({"name", "run_id", "source_path", "stage", "digest", "logged_model"}),
    aliases={
        "version": "version_number",
        "run": "run_id",
        "source": "source_path",
        "created": "creation_timestamp",
        "changed": "last_updated_timestamp",
    },
    orderable=frozenset({"attribute"}),
)
_MODEL_ATTRIBUTES: Mapping[str, Spelled] = MappingProxyType(
    {
        "name": Spelled("m.name"),
        "creation_timestamp": Spelled("m.created_us / 1000", is_number=True),
        "last_updated_timestamp": Spelled("m.changed_us / 1000", is_number=True),
    }
)
_VERSION_ATTRIBUTES: Mapping[str, Spelled] = MappingProxyType(
    {
        "name": Spelled("m.name"),
        "version_number": Spelled("v.version", is_number=True),
        "run_id": Spelled("coalesce(v.run_id, '')", stored=partial(in_our_spelling, prefix="run")),
        "source_path": Spelled("v.source"),
        "stage": Spelled("v.stage"),
        "digest": Spelled("v.digest"),
        "logged_model": Spelled(
            "coalesce(v.logged_model, '')", stored=partial(in_our_spelling, prefix="lgm")
        ),
        "creation_timestamp": Spelled("v.created_us / 1000", is_number=True),
        "last_updated_timestamp": Spelled("v.changed_us / 1000", is_number=True),
    }
)
_MODEL_TAG = "FROM model_tag c WHERE c.model_pk = m.pk AND c.key = :key"
_VERSION_TAG = "FROM model_version_tag c WHERE c.version_pk = v.pk AND c.key = :key"
_OF_PROMPT = (
    "EXISTS (SELECT 1 FROM model_tag p WHERE p.model_pk = m.pk "
    f"AND p.key = '{IS_PROMPT}' AND p.value = 'true')"
)


@dataclass(frozen=True, slots=True)
class FoundModels:
    """One page of models with the newest version of each stage, and the token to read on by."""

    models: list[tuple[Model, list[ModelVersion]]]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class FoundVersions:
    """One page of versions, and the token to read on by."""

    versions: list[ModelVersion]
    next_token: str | None


class Searches:
    """Searches in the registries of all projects of a home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def models(
        self,
        project_key: int,
        *,
        filter_: str = "",
        order: Sequence[str] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        """Return models that fit a filter, by name where nothing else orders them.

        Prompts are left out unless the filter asks for them. Raises FilterError and Invalid.
        """
        _check_limit(limit, MAX_MODELS)
        clauses, prompts = _without_prompts(parse_filter(filter_, MODELS))
        orders = parse_order(order, MODELS)
        scope = Scope(
            tables="model m",
            alias="m",
            conditions=["m.project_id = :project", "m.deleted_us IS NULL", prompts],
            given={"project": project_key},
            attributes=_MODEL_ATTRIBUTES,
            children={"tag": _MODEL_TAG},
            last=(("m.name", False),),
        )
        pages = scope_of("models", project_key, filter_, list(order))
        after = None if token is None else read_token(token, pages)
        with self._database.read() as tx:
            pks, cursor = finding.find(tx, scope, clauses, orders, limit=limit, after=after)
            found = read_models(tx, project_key, pks)
        return FoundModels(found, None if cursor is None else write_token(cursor, pages))

    def versions(
        self,
        project_key: int,
        *,
        filter_: str = "",
        order: Sequence[str] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> FoundVersions:
        """Return versions that fit a filter, last changed first where nothing else orders them.

        Raises FilterError and Invalid.
        """
        _check_limit(limit, MAX_VERSIONS)
        parsed = parse_filter(filter_, VERSIONS)
        clauses, prompts = _without_prompts(parsed)
        orders = parse_order(order, VERSIONS)
        changed = () if orders else (("v.changed_us / 1000", True),)
        scope = Scope(
            tables="model_version v JOIN model m ON m.pk = v.model_pk",
            alias="v",
            conditions=[
                "v.project_id = :project",
                "v.deleted_us IS NULL",
                "m.deleted_us IS NULL",
                prompts,
            ],
            given={"project": project_key},
            attributes=_VERSION_ATTRIBUTES,
            children={"tag": _VERSION_TAG},
            last=(*changed, ("m.name", False), ("v.version", True)),
        )
        pages = scope_of("versions", project_key, filter_, list(order))
        after = None if token is None else read_token(token, pages)
        with self._database.read() as tx:
            pks, cursor = finding.find(tx, scope, clauses, orders, limit=limit, after=after)
            found = read_versions(tx, tables.list_versions(tx, pks=pks))
        return FoundVersions(found, None if cursor is None else write_token(cursor, pages))

    def latest(self, project_key: int, name: str) -> list[ModelVersion]:
        """Return of each stage a model's newest version; raises NotFound."""
        from millwright.registry.models import find_model

        with self._database.read() as tx:
            row = find_model(tx, project_key, name)
            return read_versions(tx, tables.list_latest_by_stage(tx, model_pks=[row.pk]))


def read_models(
    tx: Reader, project_key: int, pks: Sequence[int]
) -> list[tuple[Model, list[ModelVersion]]]:
    """Return models with what is said about them, and the newest version of each stage."""
    tags = tables.read_tags(tx, pks=pks, of_version=False)
    aliases = model_tables.list_aliases(tx, project=project_key)
    newest: dict[int, list[ModelVersion]] = {}
    rows = tables.list_latest_by_stage(tx, model_pks=pks)
    for row, version in zip(rows, read_versions(tx, rows), strict=True):
        newest.setdefault(row.model_pk, []).append(version)
    return [
        (row.model(aliases.get(row.pk, {}), tags.get(row.pk)), newest.get(row.pk, []))
        for row in tables.list_models(tx, pks=pks)
    ]


def read_versions(tx: Reader, rows: Sequence[model_tables.VersionRow]) -> list[ModelVersion]:
    """Return versions with tags and aliases."""
    pks = [row.pk for row in rows]
    tags = tables.read_tags(tx, pks=pks, of_version=True)
    aliases = tables.read_aliases(tx, version_pks=pks)
    return [row.model_version(tags.get(row.pk), aliases.get(row.pk)) for row in rows]


def _without_prompts(clauses: Sequence[Clause]) -> tuple[list[Clause], str]:
    """Return the comparisons without those of the tag of prompts, and what they come to.

    A model has no such tag, so that comparing it would never find one.
    """
    rest: list[Clause] = []
    wanted = False
    for clause in clauses:
        if clause.field.entity == "tag" and clause.field.key == IS_PROMPT:
            is_true = str(clause.value).lower() == "true"
            wanted = is_true if clause.op == "=" else not is_true
        else:
            rest.append(clause)
    return rest, _OF_PROMPT if wanted else f"NOT {_OF_PROMPT}"


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise Invalid(f"a page holds 1 to {most}, not {limit}")
