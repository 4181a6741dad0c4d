"""MLflow's routes of registered models and their aliases."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

from msgspec import Struct

from millwright.core.errors import Conflict, NotFound
from millwright.doors.models import FoundModel
from millwright.records.access import Permission
from millwright.records.models import Model, ModelVersion
from millwright.server.mlflow import checks
from millwright.server.mlflow.call import Call, Endpoint
from millwright.server.mlflow.errors import (
    DENIED,
    EXISTS,
    MlflowError,
    invalid,
    missing,
    translated,
)
from millwright.server.mlflow.experiments import Pair
from millwright.server.mlflow.spelling import Json, model_version_json, pairs

BASE = "/2.0/mlflow/registered-models"
MAX_MODELS = 1000
IS_PROMPT = "mlflow.prompt.is_prompt"
STAGES = ("None", "Staging", "Production", "Archived")


class _Create(Struct, frozen=True):
    name: str | None = None
    tags: list[Pair] = []
    description: str = ""


class _Named(Struct, frozen=True):
    name: str | None = None


class _Rename(Struct, frozen=True):
    name: str | None = None
    new_name: str | None = None


class _Describe(Struct, frozen=True):
    name: str | None = None
    description: str = ""


class _Search(Struct, frozen=True):
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str | None = None


class _Latest(Struct, frozen=True):
    name: str | None = None
    stages: list[str] = []


class _Tag(Struct, frozen=True):
    name: str | None = None
    key: str | None = None
    value: str | None = None


class _Alias(Struct, frozen=True):
    name: str | None = None
    alias: str | None = None
    version: str | int | None = None


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of registered models."""
    read, write = Permission.MODEL_READ, Permission.MODEL_REGISTER
    promote = Permission.MODEL_PROMOTE
    yield Endpoint("POST", f"{BASE}/create", write, "write", create)
    yield Endpoint("GET", f"{BASE}/get", read, "read", get)
    yield Endpoint("POST", f"{BASE}/rename", write, "write", rename)
    yield Endpoint("PATCH", f"{BASE}/update", write, "write", update)
    yield Endpoint("DELETE", f"{BASE}/delete", write, "write", delete)
    yield Endpoint("GET", f"{BASE}/search", read, "read", search)
    yield Endpoint("GET", f"{BASE}/list", read, "read", search)
    yield Endpoint("POST", f"{BASE}/get-latest-versions", read, "read", latest)
    yield Endpoint("GET", f"{BASE}/get-latest-versions", read, "read", latest)
    yield Endpoint("POST", f"{BASE}/set-tag", write, "write", set_tag)
    yield Endpoint("DELETE", f"{BASE}/delete-tag", write, "write", delete_tag)
    yield Endpoint("POST", f"{BASE}/alias", promote, "write", set_alias)
    yield Endpoint("DELETE", f"{BASE}/alias", promote, "write", delete_alias)
    yield Endpoint("GET", f"{BASE}/alias", read, "read", get_alias)


def create(call: Call) -> Json:
    """Make a model; its aliases are governed when somebody has them so."""
    given = call.read(_Create)
    name = checks.check_model_name(given.name)
    tags = dict(checks.check_model_tag(one.key, one.value) for one in given.tags)
    taken = _found(call, name)
    if taken is not None:
        raise MlflowError(EXISTS, _taken(name, by=taken.model.tags, for_=tags))
    call.door.models.create(name=name, description=given.description, governed=False, tags=tags)
    return {"registered_model": registered_json(find(call, name))}


def get(call: Call) -> Json:
    """Return a model."""
    name = checks.check_model_name(call.read(_Named).name)
    return {"registered_model": registered_json(find(call, name))}


def rename(call: Call) -> Json:
    """Give a model another name."""
    given = call.read(_Rename)
    name = checks.check_model_name(given.name)
    new_name = checks.check_model_name(given.new_name, "new_name")
    find(call, name)
    try:
        call.door.models.rename(name=name, new_name=new_name)
    except Conflict as error:
        # Told by looking, since the room that raises it is slow to import: a server starts without.
        if _found(call, new_name) is None:
            raise
        raise MlflowError(EXISTS, f"Registered Model (name={new_name}) already exists.") from error
    return {"registered_model": registered_json(find(call, new_name))}


def update(call: Call) -> Json:
    """Say what a model is for."""
    given = call.read(_Describe)
    name = checks.check_model_name(given.name)
    find(call, name)
    call.door.models.describe(name=name, description=given.description)
    return {"registered_model": registered_json(find(call, name))}


def delete(call: Call) -> Json:
    """Put a model away with its versions."""
    name = checks.check_model_name(call.read(_Named).name)
    find(call, name)
    call.door.models.delete(name=name)
    return {}


def search(call: Call) -> Json:
    """Return models that fit a filter."""
    given = call.read(_Search)
    checks.check_max_results(given.max_results, MAX_MODELS)
    found = call.door.models.search(
        filter=given.filter,
        order=given.order_by,
        limit=given.max_results,
        token=given.page_token or None,
    )
    answer: Json = {"registered_models": [registered_json(one) for one in found.models]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def latest(call: Call) -> Json:
    """Return the newest version of each stage."""
    given = call.read(_Latest)
    name = checks.check_model_name(given.name)
    wanted = [stage_of(stage) for stage in given.stages] or list(STAGES)
    versions = [version for version in find(call, name).latest if version.stage in wanted]
    return {"model_versions": [model_version_json(version) for version in versions]}


def set_tag(call: Call) -> Json:
    """Set a tag."""
    given = call.read(_Tag)
    name = checks.check_model_name(given.name)
    key, value = checks.check_model_tag(given.key, given.value)
    find(call, name)
    call.door.models.set_tags(name=name, tags={key: value})
    return {}


def delete_tag(call: Call) -> Json:
    """Remove a tag."""
    given = call.read(_Tag)
    name, key = checks.check_model_name(given.name), checks.check_key(given.key)
    find(call, name)
    call.door.models.delete_tag(name=name, key=key)
    return {}


def set_alias(call: Call) -> Json:
    """Point an alias at a version; of a governed model, as its policy lets it."""
    given = call.read(_Alias)
    name = checks.check_model_name(given.name)
    alias = checks.check_alias(given.alias)
    number = checks.parse_version(given.version)
    version_of(call, name, number)
    with asked():
        call.door.models.promote(ref=f"{name}@v{number}", alias=alias)
    return {}


def delete_alias(call: Call) -> Json:
    """Let an alias point at nothing; one that does already stays so."""
    given = call.read(_Alias)
    name, alias = checks.check_model_name(given.name), checks.check_alias(given.alias)
    if alias in find(call, name).model.aliases:
        call.door.models.remove_alias(name=name, alias=alias)
    return {}


def get_alias(call: Call) -> Json:
    """Return the version an alias points at; `latest` is the newest."""
    given = call.read(_Alias)
    name = checks.check_model_name(given.name)
    model = find(call, name).model
    alias = given.alias or ""
    if alias.lower() == "latest":
        try:
            return {"model_version": model_version_json(call.door.models.show(ref=name))}
        except NotFound as error:
            raise missing(f"Latest version not found for model {name}.") from error
    if alias not in model.aliases:
        raise invalid(f"Registered model alias {alias} not found.")
    return {"model_version": model_version_json(version_of(call, name, model.aliases[alias]))}


@contextmanager
def asked() -> Generator[None]:
    """Turn what a policy says in the block into a refusal with its reason."""
    try:
        yield
    except Conflict as error:
        raise MlflowError(DENIED, translated(error).message) from error


def find(call: Call, name: str) -> FoundModel:
    """Return a model; raises MlflowError when there is none."""
    try:
        return call.door.models.find(name=name)
    except NotFound as error:
        raise missing(f"Registered Model with name={name} not found") from error


def version_of(call: Call, name: str, number: int) -> ModelVersion:
    """Return a version; raises MlflowError when there is none."""
    try:
        return call.door.models.show(ref=f"{name}@v{number}")
    except NotFound as error:
        raise missing(f"Model Version (name={name}, version={number}) not found") from error


def stage_of(text: str) -> str:
    """Return a stage as MLflow spells it; raises MlflowError for one there is not."""
    for stage in STAGES:
        if stage.lower() == text.lower():
            return stage
    raise invalid(f"Invalid Model Version stage: {text}. Value must be one of {', '.join(STAGES)}.")


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Return whether what has these tags is one of MLflow's prompts."""
    return tags.get(IS_PROMPT, "false").lower() == "true"


def registered_json(found: FoundModel) -> Json:
    """Return a model as MLflow's entity."""
    model: Model = found.model
    answer: Json = {
        "name": model.name,
        "creation_timestamp": model.created_us // 1000,
        "last_updated_timestamp": model.changed_us // 1000,
        "description": model.description,
    }
    if found.latest:
        answer["latest_versions"] = [model_version_json(version) for version in found.latest]
    if model.tags:
        answer["tags"] = pairs(model.tags)
    if model.aliases:
        answer["aliases"] = [
            {"alias": alias, "version": str(version)} for alias, version in model.aliases.items()
        ]
    return answer


def _found(call: Call, name: str) -> FoundModel | None:
    try:
        return call.door.models.find(name=name)
    except NotFound:
        return None


def _taken(name: str, *, by: Mapping[str, str], for_: Mapping[str, str]) -> str:
    if is_prompt(by) and not is_prompt(for_):
        return (
            f"Tried to create a registered model with name '{name}', but the name is already"
            " taken by a prompt. MLflow does not allow creating a model and a prompt with the same"
            " name."
        )
    return f"Registered Model (name={name}) already exists."
