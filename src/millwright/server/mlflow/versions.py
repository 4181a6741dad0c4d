"""MLflow's routes of model versions: made from a source, described, staged, put away."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.errors import Invalid, MillwrightError, NotFound
from millwright.core.ids import LoggedModelId, RunId, from_hex
from millwright.records.access import Permission
from millwright.records.models import Stage
from millwright.records.runs import LoggedModel
from millwright.server.mlflow import checks
from millwright.server.mlflow.artifacts import Fetch
from millwright.server.mlflow.call import (
    Call,
    Endpoint,
    model_of,
    need,
    no_model,
    no_run,
    of_run,
    run_of,
)
from millwright.server.mlflow.errors import invalid
from millwright.server.mlflow.experiments import Pair
from millwright.server.mlflow.registered import asked, find, is_prompt, stage_of, version_of
from millwright.server.mlflow.spelling import SCHEME, Json, model_version_json
from millwright.server.mlflow.stored import address_of, is_stored, version_at
from millwright.server.mlflow.transfer import find_file, safe_path
from millwright.tracking.files import model_folder, run_folder

BASE = "/2.0/mlflow/model-versions"
MAX_VERSIONS = 200_000
VERSIONS_TAG = "mlflow.modelVersions"
MAX_NOTED = 300
_NOTING = threading.Lock()

_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})(?:/(?P<path>.*))?")
_OF_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})(?:/(?P<path>.*))?")
_OF_VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w-]+))")


class _Create(Struct, frozen=True):
    name: str | None = None
    source: str | None = None
    run_id: str | None = None
    run_link: str = ""
    description: str = ""
    tags: list[Pair] = []
    model_id: str | None = None


class _Version(Struct, frozen=True):
    name: str | None = None
    version: str | int | None = None


class _Describe(Struct, frozen=True):
    name: str | None = None
    version: str | int | None = None
    description: str = ""


class _Stage(Struct, frozen=True):
    name: str | None = None
    version: str | int | None = None
    stage: str = ""
    archive_existing_versions: bool = False


class _Tag(Struct, frozen=True):
    name: str | None = None
    version: str | int | None = None
    key: str | None = None
    value: str | None = None


class _Search(Struct, frozen=True):
    filter: str = ""
    max_results: int = 10_000
    order_by: list[str] = []
    page_token: str | None = None


class _Fetch(Struct, frozen=True):
    name: str | None = None
    version: str | int | None = None
    path: str = ""


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of versions."""
    read, write = Permission.MODEL_READ, Permission.MODEL_REGISTER
    yield Endpoint("POST", f"{BASE}/create", write, "work", create)
    yield Endpoint("GET", f"{BASE}/get", read, "read", get)
    yield Endpoint("PATCH", f"{BASE}/update", write, "write", update)
    yield Endpoint("DELETE", f"{BASE}/delete", write, "write", delete)
    yield Endpoint("GET", f"{BASE}/search", read, "read", search)
    yield Endpoint("GET", f"{BASE}/get-download-uri", read, "read", download_uri)
    yield Endpoint(
        "POST", f"{BASE}/transition-stage", Permission.MODEL_PROMOTE, "write", move_stage
    )
    yield Endpoint("POST", f"{BASE}/set-tag", write, "write", set_tag)
    yield Endpoint("DELETE", f"{BASE}/delete-tag", write, "write", delete_tag)
    yield Endpoint("GET", "/model-versions/get-artifact", read, "read", fetch)


def create(call: Call) -> Json:
    """Register what lies at a source as the next version."""
    given = call.read(_Create)
    name = checks.check_model_name(given.name)
    source = need(given.source, "source")
    tags = dict(checks.check_model_tag(one.key, one.value) for one in given.tags)
    find(call, name)
    run = None if not given.run_id else run_of(given.run_id)
    if run is not None:
        with of_run(given.run_id or ""):
            call.door.runs.show(ref=run)
    model = None if not given.model_id else model_of(given.model_id)
    meant = _Meant(source, run, model)
    if not is_prompt(tags):
        meant = _resolve(call, meant)
    made = call.door.models.register_source(
        name=name,
        address=meant.source,
        folder=meant.folder,
        run=meant.run,
        run_link=given.run_link,
        logged_model=meant.model,
        description=given.description,
        tags=tags,
        package_digest=meant.package,
    )
    if meant.model is not None:
        _note_on_model(call, meant.model)
    return {"model_version": model_version_json(made)}


def get(call: Call) -> Json:
    """Return a version."""
    return {"model_version": model_version_json(version_of(call, *_named(call)))}


def update(call: Call) -> Json:
    """Say what is special about a version."""
    name, number = _named(call)
    version_of(call, name, number)
    text = call.read(_Describe).description
    call.door.models.describe_version(ref=f"{name}@v{number}", description=text)
    return {"model_version": model_version_json(version_of(call, name, number))}


def delete(call: Call) -> Json:
    """Put a version away, and let the aliases that point at it point at nothing."""
    name, number = _named(call)
    for alias in version_of(call, name, number).aliases:
        call.door.models.remove_alias(name=name, alias=alias)
    call.door.models.delete_version(ref=f"{name}@v{number}")
    return {}


def search(call: Call) -> Json:
    """Return versions that fit a filter."""
    given = call.read(_Search)
    checks.check_max_results(given.max_results, MAX_VERSIONS)
    found = call.door.models.search_versions(
        filter=given.filter,
        order=given.order_by,
        limit=given.max_results,
        token=given.page_token or None,
    )
    answer: Json = {"model_versions": [model_version_json(one) for one in found.versions]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def download_uri(call: Call) -> Json:
    """Return where a version's files are to be had, as they were registered."""
    version = version_of(call, *_named(call))
    is_here = bool(call.door.models.files(ref=version.id))
    return {"artifact_uri": address_of(version) if is_here else version.source}


def move_stage(call: Call) -> Json:
    """Move a version to another stage; of a governed model, as its policy lets it."""
    given = call.read(_Stage)
    name, number = _named(call)
    stage = cast("Stage", stage_of(need(given.stage, "stage")))
    if given.archive_existing_versions and stage not in {"Staging", "Production"}:
        raise invalid(
            "Model version transition cannot archive existing model versions because"
            f" '{stage}' is not an Active stage. Valid stages are Staging, Production"
        )
    version_of(call, name, number)
    with asked():
        call.door.models.move_stage(
            ref=f"{name}@v{number}",
            stage=stage,
            archive_others=given.archive_existing_versions,
        )
    return {"model_version": model_version_json(version_of(call, name, number))}


def set_tag(call: Call) -> Json:
    """Set a tag."""
    given = call.read(_Tag)
    name, number = _named(call)
    key, value = checks.check_model_tag(given.key, given.value)
    version_of(call, name, number)
    call.door.models.set_version_tags(ref=f"{name}@v{number}", tags={key: value})
    return {}


def delete_tag(call: Call) -> Json:
    """Remove a tag."""
    name, number = _named(call)
    key = checks.check_key(call.read(_Tag).key)
    version_of(call, name, number)
    call.door.models.delete_version_tag(ref=f"{name}@v{number}", key=key)
    return {}


def fetch(call: Call) -> Fetch:
    """Hand out one file of a version."""
    path = safe_path(need(call.read(_Fetch).path, "path"))
    address = cast("str", download_uri(call)["artifact_uri"])
    if not address.startswith(SCHEME):
        raise invalid("The files of this version do not lie on this server")
    return Fetch(find_file(call, f"{address.removeprefix(SCHEME).strip('/')}/{path}"))


def _named(call: Call) -> tuple[str, int]:
    given = call.read(_Version)
    return checks.check_model_name(given.name), checks.parse_version(given.version)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a version is to be made of."""

    source: str
    run: RunId | None
    model: LoggedModelId | None
    folder: str | None = None
    """Where its files lie; None when they do not lie here, or are those of `package`."""
    package: Digest | None = None


def _resolve(call: Call, given: _Meant) -> _Meant:
    """Return what a source means; raises MlflowError where it leads out of the artifacts."""
    source = given.source
    if (matched := _LOGGED.fullmatch(source)) is not None:
        shown = _logged(call, model_of(matched[1]), matched[1])
        below = (matched["path"] or "").strip("/")
        folder = model_folder(shown)
        if below:
            folder = f"{folder}/{safe_path(below)}"
        return _Meant(source, shown.run, shown.id, folder)
    if (matched := _OF_RUN.fullmatch(source)) is not None:
        folder, of_run = _folder_of_run(call, matched["run"], matched["path"] or "")
        return replace(given, run=given.run or of_run, folder=folder)
    if (matched := _OF_VERSION.fullmatch(source)) is not None:
        number = matched["version"]
        ref = f"{matched['name']}@v{number}" if number else f"{matched['name']}@{matched['alias']}"
        return _of_version(call, ref, source)
    scheme, separator, rest = source.partition(":")
    if separator and scheme == "mlflow-artifacts":
        folder = safe_path(re.sub(r"^//[^/]*", "", rest).strip("/"))
        if is_stored(folder):
            return _of_version(call, version_at(folder), source)
        if given.run is not None and not folder.startswith(_root_of(call, given.run)):
            raise invalid(
                f"Invalid model version source: '{source}'. The source does not lie within the "
                "artifacts of the run specified by the run_id."
            )
        return replace(given, folder=folder)
    if not separator or scheme == "file":
        raise invalid(
            f"Invalid model version source: '{source}'. To use a local path as a model version "
            "source, the run_id request parameter has to be specified and the local path has to be "
            "contained within the artifact directory of the run specified by the run_id."
        )
    return given


def _of_version(call: Call, ref: str, source: str) -> _Meant:
    """Return what another version was made of: the files that were registered then."""
    try:
        other = call.door.models.show(ref=ref)
    except (NotFound, Invalid) as error:
        raise invalid(f"Unable to fetch model from model URI source '{source}'.") from error
    if not call.door.models.files(ref=other.id):
        # A prompt has no files.
        raise invalid(f"Unable to fetch model from model URI source '{source}'.")
    return _Meant(other.source, other.run, other.logged_model, package=other.package_digest)


def _root_of(call: Call, run: RunId) -> str:
    # A run's models lie beside its own folder, below the same experiment.
    return f"{call.door.runs.show(ref=run).experiment_number}/"


def _folder_of_run(call: Call, digits: str, path: str) -> tuple[str, RunId]:
    try:
        shown = call.door.runs.show(ref=from_hex(digits, "run"))
    except NotFound as error:
        raise no_run(digits) from error
    below = path.strip("/")
    if not below:
        return run_folder(shown), shown.id
    folder = f"{run_folder(shown)}/{safe_path(below)}"
    if call.door.files.list_folder(folder=folder):
        return folder, shown.id
    # From 3.0 on a run's models are logged models, known by the name they were logged under.
    for use in shown.models:
        model = call.door.logged_models.show(id=use.model, deleted=True)
        if use.way == "output" and model.name == below and model.deleted_us is None:
            return model_folder(model), shown.id
    return folder, shown.id


def _logged(call: Call, model: LoggedModelId, name: str) -> LoggedModel:
    try:
        return call.door.logged_models.show(id=model)
    except NotFound as error:
        raise no_model(name) from error


def _note_on_model(call: Call, model: LoggedModelId) -> None:
    """Have a logged model say in which versions it is registered, as MLflow's server does.

    Nothing here fails a registration, which is made already.
    """
    # One at a time, so that whoever comes last has seen all versions.
    with _NOTING, suppress(MillwrightError):
        found = call.door.models.search_versions(
            filter=f"logged_model = '{model}'", order=["created DESC"], limit=MAX_NOTED
        )
        known = [{"name": one.name, "version": one.version} for one in reversed(found.versions)]
        while len(text := msgspec.json.encode(known).decode()) > checks.MAX_TAG_CHARS:
            del known[0]
        call.door.logged_models.set_tags(id=model, tags={VERSIONS_TAG: text})
