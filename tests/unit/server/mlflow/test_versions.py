from __future__ import annotations

import json

import pytest

from fixtures.mlflow_api import INVALID, MISSING, MLMODEL, NO_RUN, Api, Json

pytestmark = pytest.mark.sockets

BASE = "model-versions"


@pytest.fixture(scope="module")
def name(api: Api) -> str:
    """A model with three versions."""
    api.post("registered-models/create", name="loans")
    for _ in range(3):
        api.version("loans")
    return "loans"


def shown(api: Api, name: str, version: str) -> Json:
    return api.get(f"{BASE}/get", name=name, version=version)["model_version"]


def test_of_a_logged_model(api: Api) -> None:
    api.post("registered-models/create", name="one")
    run = api.run()
    logged = api.logged_model("model", source_run_id=run)
    tags = [{"key": "a", "value": "1"}]
    made = api.post(
        f"{BASE}/create", name="one", source=f"models:/{logged}", tags=tags, description="first"
    )["model_version"]
    assert made == shown(api, "one", "1")
    assert (made["version"], made["status"], made["current_stage"]) == ("1", "READY", "None")
    assert (made["run_id"], made["model_id"], made["source"]) == (run, logged, f"models:/{logged}")
    assert (made["tags"], made["description"]) == (tags, "first")
    uri = api.get(f"{BASE}/get-download-uri", name="one", version="1")["artifact_uri"]
    folder = uri.removeprefix("mlflow-artifacts:/")
    assert api.fetch(f"{folder}/MLmodel") == MLMODEL
    listed = api.listed(folder)
    assert listed == [{"path": "MLmodel", "is_dir": False, "file_size": len(MLMODEL)}]
    noted = api.get(f"logged-models/{logged}")["model"]["info"]["tags"]
    assert noted == [{"key": "mlflow.modelVersions", "value": '[{"name":"one","version":1}]'}]
    answer = api.send(
        "GET", "/model-versions/get-artifact", {"name": "one", "version": "1", "path": "MLmodel"}
    )
    assert (answer.status_code, answer.content) == (200, MLMODEL)


def test_of_a_runs_folder_and_of_another_version(api: Api) -> None:
    api.post("registered-models/create", name="two")
    run = api.run()
    root = f"0/{run}/artifacts"
    api.put(f"{root}/model/MLmodel", MLMODEL)
    sources = (f"runs:/{run}/model", f"mlflow-artifacts:/{root}/model", "models:/two/1")
    for number, source in enumerate(sources, start=1):
        given: Json = {"name": "two", "source": source, "run_id": run}
        made = api.ok("POST", f"{BASE}/create", given)["model_version"]
        assert (made["version"], made["run_id"]) == (str(number), run)
        assert api.downloaded("two", str(number)) == MLMODEL


def test_a_logged_model_names_its_versions_however_many_there_are(api: Api) -> None:
    name = "n" * 200
    api.post("registered-models/create", name=name)
    logged = api.logged_model("model")
    for _ in range(40):
        api.post(f"{BASE}/create", name=name, source=f"models:/{logged}")
    (tag,) = api.get(f"logged-models/{logged}")["model"]["info"]["tags"]
    noted = [one["version"] for one in json.loads(tag["value"])]
    assert noted == list(range(41 - len(noted), 41))
    assert len(noted) > 30


def test_a_version_of_no_run_has_an_empty_one_as_in_stock(api: Api) -> None:
    api.post("registered-models/create", name="far")
    made = api.post(f"{BASE}/create", name="far", source="s3://bucket/model")["model_version"]
    assert made["run_id"] == ""
    said = (404, MISSING, f"Run with id={NO_RUN} not found")
    given = {"name": "far", "source": "s3://bucket/model", "run_id": NO_RUN}
    assert api.no("POST", f"{BASE}/create", given) == said


def test_what_is_said_of_a_version(api: Api, name: str) -> None:
    one: Json = {"name": name, "version": "1"}
    api.ok("PATCH", f"{BASE}/update", {**one, "description": "the first"})
    api.post(f"{BASE}/set-tag", **one, key="checked", value="yes")
    api.post(f"{BASE}/set-tag", **one, key="gone", value="soon")
    api.ok("DELETE", f"{BASE}/delete-tag", {**one, "key": "gone"})
    found = shown(api, name, "1")
    assert found["description"] == "the first"
    assert found["tags"] == [{"key": "checked", "value": "yes"}]


def test_stages_of_old_clients(api: Api) -> None:
    api.post("registered-models/create", name="staged")
    for _ in range(2):
        api.version("staged")
    api.post(f"{BASE}/transition-stage", name="staged", version="1", stage="Production")
    moved = api.post(
        f"{BASE}/transition-stage",
        name="staged",
        version="2",
        stage="production",
        archive_existing_versions=True,
    )
    assert moved["model_version"]["current_stage"] == "Production"
    assert shown(api, "staged", "1")["current_stage"] == "Archived"
    given: Json = {"name": "staged", "version": "1", "archive_existing_versions": True}
    said = api.no("POST", f"{BASE}/transition-stage", {**given, "stage": "Archived"})
    assert said[:2] == (400, INVALID)


def test_a_deleted_version_is_gone_with_its_aliases(api: Api) -> None:
    api.post("registered-models/create", name="going")
    for _ in range(2):
        api.version("going")
    api.post("registered-models/alias", name="going", alias="best", version="1")
    api.ok("DELETE", f"{BASE}/delete", {"name": "going", "version": "1"})
    assert api.no("GET", f"{BASE}/get", {"name": "going", "version": "1"}) == (
        404,
        MISSING,
        "Model Version (name=going, version=1) not found",
    )
    found = api.get("registered-models/get", name="going")["registered_model"]
    assert "aliases" not in found
    # Its number is not given again.
    assert api.version("going") == "3"


def test_versions_are_found_page_by_page(api: Api, name: str) -> None:
    seen: list[str] = []
    more: dict[str, object] = {}
    while True:
        found = api.get(
            f"{BASE}/search",
            filter=f"name = '{name}'",
            order_by=["version_number DESC"],
            max_results=2,
            **more,
        )
        seen += [one["version"] for one in found["model_versions"]]
        if not found.get("next_page_token"):
            break
        more = {"page_token": found["next_page_token"]}
    assert seen == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("method", "path", "given", "code"),
    [
        ("POST", "create", {"name": "nothing", "source": "models:/x/1"}, MISSING),
        ("POST", "create", {"name": "NAME"}, INVALID),
        ("POST", "create", {"source": "models:/x/1"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": f"models:/m-{NO_RUN}"}, MISSING),
        ("POST", "create", {"name": "NAME", "source": f"runs:/{NO_RUN}/model"}, MISSING),
        ("POST", "create", {"name": "NAME", "source": "models:/nothing/1"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "/etc/passwd"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "file:///etc"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "mlflow-artifacts:/../../etc"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "mlflow-artifacts:/%2e%2e/etc"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "mlflow-artifacts:/0/..%5cx"}, INVALID),
        ("POST", "create", {"name": "NAME", "source": "s3://x", "run_id": NO_RUN}, MISSING),
        ("GET", "get", {"name": "NAME", "version": "77"}, MISSING),
        ("GET", "get", {"name": "NAME", "version": "one"}, INVALID),
        ("GET", "get", {"name": "NAME"}, INVALID),
        ("GET", "get-download-uri", {"name": "NAME", "version": "77"}, MISSING),
        ("PATCH", "update", {"name": "NAME", "version": "77"}, MISSING),
        ("DELETE", "delete", {"name": "NAME", "version": "77"}, MISSING),
        ("POST", "set-tag", {"name": "NAME", "version": "77", "key": "a"}, MISSING),
        ("POST", "set-tag", {"name": "NAME", "version": "1", "key": "../a"}, INVALID),
        ("DELETE", "delete-tag", {"name": "NAME", "version": "77", "key": "a"}, MISSING),
        ("POST", "transition-stage", {"name": "NAME", "version": "1", "stage": "Best"}, INVALID),
        ("POST", "transition-stage", {"name": "NAME", "version": "77", "stage": "None"}, MISSING),
        ("GET", "search", {"max_results": "0"}, INVALID),
        ("GET", "search", {"max_results": "200001"}, INVALID),
        ("GET", "search", {"filter": "colour = 'red'"}, INVALID),
        ("GET", "/model-versions/get-artifact", {"name": "NAME", "version": "1"}, INVALID),
        (
            "GET",
            "/model-versions/get-artifact",
            {"name": "NAME", "version": "1", "path": "../../x"},
            INVALID,
        ),
        (
            "GET",
            "/model-versions/get-artifact",
            {"name": "NAME", "version": "1", "path": "nothing"},
            MISSING,
        ),
    ],
)
def test_what_cannot_be(
    api: Api, name: str, method: str, path: str, given: dict[str, object], code: str
) -> None:
    given = {key: name if value == "NAME" else value for key, value in given.items()}
    path = path if path.startswith("/") else f"{BASE}/{path}"
    status, found, words = api.no(method, path, given)
    assert (status, found) == (404 if code == MISSING else 400, code), words
    assert words


def test_a_source_has_to_lie_with_its_run(api: Api, name: str) -> None:
    run = api.run(api.experiment("elsewhere"))
    given: Json = {"name": name, "source": "mlflow-artifacts:/0/other/model", "run_id": run}
    status, code, words = api.no("POST", f"{BASE}/create", given)
    assert (status, code) == (400, INVALID)
    assert "does not lie within the artifacts" in words
