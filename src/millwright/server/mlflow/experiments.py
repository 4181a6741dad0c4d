"""MLflow's routes of experiments."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from millwright.core.errors import NotFound
from millwright.records.access import Permission
from millwright.records.runs import Experiment, Lifecycle
from millwright.server.mlflow import checks
from millwright.server.mlflow.call import Call, Endpoint, need
from millwright.server.mlflow.errors import EXISTS, MlflowError, invalid, missing, no_such
from millwright.server.mlflow.spelling import Json, experiment_json
from millwright.tracking.experiments import ExperimentExists

BASE = "/2.0/mlflow/experiments"
LIFECYCLES: dict[str, Lifecycle] = {
    "ACTIVE_ONLY": "active",
    "DELETED_ONLY": "deleted",
    "ALL": "all",
    "1": "active",
    "2": "deleted",
    "3": "all",
}


class Pair(Struct, frozen=True):
    """A tag or parameter."""

    key: str | None = None
    value: str | None = None


class _Create(Struct, frozen=True):
    name: str = ""
    artifact_location: str | None = None
    tags: list[Pair] = []


class _Named(Struct, frozen=True):
    experiment_name: str = ""


class _Numbered(Struct, frozen=True):
    experiment_id: str = ""


class _Update(Struct, frozen=True):
    experiment_id: str = ""
    new_name: str = ""


class _Tag(Struct, frozen=True):
    experiment_id: str = ""
    key: str | None = None
    value: str = ""


class _Search(Struct, frozen=True):
    max_results: int = 1000
    page_token: str | None = None
    filter: str = ""
    order_by: list[str] = []
    view_type: str | int | None = None


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of experiments."""
    read, write = Permission.RUN_READ, Permission.RUN_WRITE
    yield Endpoint("POST", f"{BASE}/create", write, "write", create)
    yield Endpoint("GET", f"{BASE}/get", read, "read", get)
    yield Endpoint("GET", f"{BASE}/get-by-name", read, "read", get_by_name)
    yield Endpoint("POST", f"{BASE}/search", read, "read", search)
    yield Endpoint("GET", f"{BASE}/search", read, "read", search)
    yield Endpoint("POST", f"{BASE}/update", write, "write", update)
    yield Endpoint("POST", f"{BASE}/delete", write, "write", delete)
    yield Endpoint("POST", f"{BASE}/restore", write, "write", restore)
    yield Endpoint("POST", f"{BASE}/set-experiment-tag", write, "write", set_tag)
    yield Endpoint("POST", f"{BASE}/delete-experiment-tag", write, "write", delete_tag)


def create(call: Call) -> Json:
    """Make an experiment."""
    given = call.read(_Create)
    name = checks.check_experiment_name(need(given.name, "name"))
    location = given.artifact_location or None
    if location is not None and location.startswith("runs:"):
        raise invalid(f"Artifact location cannot be a runs:/ URI. Given: '{location}'")
    if location is not None:
        # Artifacts are kept by the server, and nowhere that a request names.
        location = check_location(location)
    tags = dict(checks.check_experiment_tag(one.key, one.value or "") for one in given.tags)
    try:
        made = call.door.experiments.create(name=name, tags=tags, location=location)
    except ExperimentExists as error:
        state = " in deleted state" if error.deleted else ""
        raise MlflowError(EXISTS, f"Experiment(name={name}) already exists{state}.") from error
    return {"experiment_id": str(made.number)}


def check_location(location: str) -> str | None:
    """Return the location that an experiment is made with, for the record; None is the usual one.

    A relative one lies below the root of the server's artifacts. Runs name their own addresses,
    which lead to the server: clients send artifacts where they are told.
    """
    if "?" in location or "#" in location:
        raise invalid("'artifact_location' URL can't include fragments or params.")
    scheme, separator, rest = location.partition(":")
    if not separator or scheme == "mlflow-artifacts":
        path = rest if separator else location
        parts = [part for part in path.strip("/").split("/") if part]
        if any(part in {".", ".."} for part in parts) or "\\" in path or path.startswith("//"):
            raise invalid(f"Invalid artifact location: {location!r}")
        return f"mlflow-artifacts:/{'/'.join(parts)}" if parts else None
    if scheme == "file":
        raise invalid(
            f"Invalid artifact location: {location!r}. The server keeps artifacts itself; "
            "leave the location out"
        )
    return location


def get(call: Call) -> Json:
    """Return an experiment by its id."""
    number = need(call.read(_Numbered).experiment_id, "experiment_id")
    return {"experiment": experiment_json(experiment_of(call, number))}


def get_by_name(call: Call) -> Json:
    """Return an experiment by its name, also a deleted one."""
    name = need(call.read(_Named).experiment_name, "experiment_name")
    with no_such(f"Could not find experiment with name '{name}'"):
        return {"experiment": experiment_json(_by_name(call, name))}


def _by_name(call: Call, name: str) -> Experiment:
    if name.startswith("#"):
        # A name that looks like one of our numbers is looked for among all.
        for one in call.door.experiments.search(lifecycle="all", limit=50_000).experiments:
            if one.name == name:
                return one
        raise NotFound(name)
    return call.door.experiments.show(ref=name)


def search(call: Call) -> Json:
    """Return experiments that fit a filter."""
    given = call.read(_Search)
    if not 0 < given.max_results <= 50_000:
        raise invalid(
            f"Invalid value {given.max_results} for parameter 'max_results' supplied. "
            "It must be a positive integer not above 50000."
        )
    found = call.door.experiments.search(
        filter=given.filter,
        order=given.order_by,
        lifecycle=lifecycle_of(given.view_type),
        limit=given.max_results,
        token=given.page_token or None,
    )
    answer: Json = {"experiments": [experiment_json(one) for one in found.experiments]}
    if found.next_token:
        answer["next_page_token"] = found.next_token
    return answer


def update(call: Call) -> Json:
    """Give an experiment another name."""
    given = call.read(_Update)
    number = need(given.experiment_id, "experiment_id")
    name = checks.check_experiment_name(need(given.new_name, "new_name"))
    before = active_experiment(call, number)
    try:
        call.door.experiments.rename(ref=f"#{before.number}", name=name)
    except ExperimentExists as error:
        raise MlflowError(EXISTS, f"Experiment(name={name}) already exists.") from error
    return {}


def delete(call: Call) -> Json:
    """Put an experiment and its runs away."""
    number = need(call.read(_Numbered).experiment_id, "experiment_id")
    before = experiment_of(call, number)
    if before.deleted_us is not None:
        raise missing(f"No Experiment with id={number} exists")
    call.door.experiments.delete(ref=f"#{before.number}")
    return {}


def restore(call: Call) -> Json:
    """Take an experiment and its runs back."""
    number = need(call.read(_Numbered).experiment_id, "experiment_id")
    before = experiment_of(call, number)
    if before.deleted_us is None:
        raise missing(f"No Experiment with id={number} exists")
    call.door.experiments.restore(ref=f"#{before.number}")
    return {}


def set_tag(call: Call) -> Json:
    """Set a tag."""
    given = call.read(_Tag)
    number = need(given.experiment_id, "experiment_id")
    key, value = checks.check_experiment_tag(need(given.key, "key"), given.value)
    before = active_experiment(call, number)
    call.door.experiments.set_tags(ref=f"#{before.number}", tags={key: value})
    return {}


def delete_tag(call: Call) -> Json:
    """Remove a tag."""
    given = call.read(_Tag)
    number, key = need(given.experiment_id, "experiment_id"), need(given.key, "key")
    before = active_experiment(call, number)
    with no_such(f"No tag with name: {key} in experiment with id {number}"):
        call.door.experiments.delete_tag(ref=f"#{before.number}", key=key)
    return {}


def lifecycle_of(view: str | int | None) -> Lifecycle:
    """Return which things a view shows."""
    if view is None or view == "":
        return "active"
    found = LIFECYCLES.get(str(view))
    if found is None:
        raise invalid(f"Invalid value '{view}' for parameter 'view_type' supplied.")
    return found


def experiment_of(call: Call, number: str) -> Experiment:
    """Return the experiment of an id, deleted or not."""
    parsed = checks.parse_experiment_id(number)
    with no_such(f"No Experiment with id={number} exists"):
        if parsed < 0:
            raise NotFound(number)
        return call.door.experiments.show(ref=f"#{parsed}")


def active_experiment(call: Call, number: str) -> Experiment:
    """Return the experiment of an id; raises MlflowError when it is deleted."""
    found = experiment_of(call, number)
    if found.deleted_us is not None:
        raise invalid(
            f"The experiment {number} must be in the 'active' state. Current state is deleted."
        )
    return found
