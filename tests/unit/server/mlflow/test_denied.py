"""Whoever may not do what a route of MLflow's does is turned away, and the journal says so."""

from __future__ import annotations

import pytest

from fixtures.mlflow_api import Api
from millwright.records.events import Event

pytestmark = pytest.mark.sockets


def token(api: Api, name: str, role: str, *, kind: str = "person") -> dict[str, str]:
    """Make somebody with a role, and return how he asks."""
    api.me.access.create_actor(name=name, kind=kind, role=role)
    made = api.me.access.create_token(name=f"{name}-token", actor=name, scopes=["*"], days=1)
    return {"Authorization": f"Bearer {made.secret}"}


def denials(api: Api) -> list[Event]:
    return api.home.journal.events(kinds=["AccessDenied"])


def test_a_viewer_who_changes_something_stands_in_the_journal(api: Api) -> None:
    ada = token(api, "ada", "viewer")
    before = len(denials(api))
    tried = [
        ("POST", "/api/2.0/mlflow/runs/create", "run.write"),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/create", "model.register"),
        ("POST", "/api/2.0/mlflow/webhooks", "rule.write"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x", "run.write"),
    ]
    for method, path, _ in tried:
        answer = api.send(method, path, {"name": "x"}, headers=ada)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    found = denials(api)[before:]
    who = next(one.id for one in api.me.access.actors() if one.name == "ada")
    assert [(event.actor, event.detail) for event in found] == [
        (who, {"reason": "", "permission": permission, "path": path})
        for _, path, permission in tried
    ]
    assert all(event.request is not None for event in found)


def test_what_a_handler_needs_besides_is_told_too(api: Api) -> None:
    # A service registers and may not promote: a version with an alias is not its to delete.
    worker = token(api, "fitter", "service", kind="service")
    api.post("registered-models/create", name="kept")
    number = api.version("kept")
    api.post("registered-models/alias", name="kept", alias="champion", version=number)
    before = len(denials(api))
    given = {"name": "kept", "version": number}
    answer = api.send("DELETE", "model-versions/delete", given, headers=worker)
    assert answer.status_code == 403
    (event,) = denials(api)[before:]
    assert event.detail is not None
    assert event.detail["permission"] == "model.promote"
    assert api.get("registered-models/get", name="kept")["registered_model"]["aliases"]


def test_who_may_read_may_read(api: Api) -> None:
    before = len(denials(api))
    eve = token(api, "eve", "viewer")
    assert api.send("GET", "webhooks", {}, headers=eve).status_code == 200
    assert len(denials(api)) == before


def test_who_may_not_enter_a_project_learns_and_leaves_nothing(api: Api) -> None:
    api.me.access.create_project(name="secret")
    vi = token(api, "vi", "viewer")
    events = len(api.home.journal.events(kinds=["ExperimentCreated"]))
    said: set[tuple[int, str]] = set()
    for project in ("secret", "nowhere"):
        path = f"/projects/{project}/api/2.0/mlflow/experiments/search"
        answer = api.send("GET", path, {"max_results": 1}, headers=vi)
        text = answer.json()["message"].replace(project, "PROJECT")
        said.add((answer.status_code, text))
    assert len(said) == 1
    assert {status for status, _ in said} == {403}
    assert not any("default" in text for _, text in said)
    assert len(api.home.journal.events(kinds=["ExperimentCreated"])) == events
    path = "/projects/nowhere/api/2.0/mlflow/experiments/search"
    assert api.send("GET", path, {"max_results": 1}).status_code == 404
