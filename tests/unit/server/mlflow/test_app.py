"""The table of MLflow's routes: each is asked here once, and what is not on it is refused."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
import pytest

from fixtures.example_host import serving
from fixtures.mlflow_api import MISSING, MLMODEL, Api, Json, api_of
from millwright.core.clock import SystemClock
from millwright.core.errors import Failed, Unreachable
from millwright.server.host import Host
from millwright.server.mlflow.app import MlflowApp, Routes, is_mlflow
from millwright.server.mlflow.errors import MlflowError
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets

NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"
POINT: Json = {"key": "m", "value": 1, "timestamp": 1}
TAG: Json = {"key": "t", "value": "1"}
DATASET = {"name": "a", "digest": "b", "source_type": "c", "source": "d"}
HOOK: Json = {
    "name": "told",
    "url": "https://example.com/hook",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
}


def routes_of(api: Api) -> Routes:
    """Return the table of an application over the same home."""
    host = cast("Host", api.home)
    return MlflowApp(host, clock=SystemClock(), open_on_loopback=True).routes


def ask_everything(api: Api) -> None:
    """Ask each route once, as somebody would who works with all of them."""
    number = api.experiment("all")
    of_it: Json = {"experiment_id": number}
    api.get("experiments/get", **of_it)
    api.get("experiments/get-by-name", experiment_name="all")
    api.get("experiments/search", max_results=5)
    api.post("experiments/search", max_results=5)
    api.post("experiments/update", **of_it, new_name="all 2")
    api.post("experiments/set-experiment-tag", **of_it, **TAG)
    api.post("experiments/delete-experiment-tag", **of_it, key="t")
    api.post("experiments/delete", **of_it)
    api.post("experiments/restore", **of_it)

    run = api.run(number)
    api.shown(run)
    api.post("runs/log-metric", run_id=run, **POINT)
    api.post("runs/log-parameter", run_id=run, key="p", value="1")
    api.post("runs/set-tag", run_id=run, **TAG)
    api.post("runs/delete-tag", run_id=run, key="t")
    api.post("runs/log-batch", run_id=run, metrics=[POINT])
    api.post("runs/log-inputs", run_id=run, datasets=[{"dataset": DATASET}])
    logged = '{"artifact_path": "a", "flavors": {}, "utc_time_created": "x", "run_id": "r"}'
    api.post("runs/log-model", run_id=run, model_json=logged)
    api.post("runs/search", experiment_ids=[number])
    api.post("runs/update", run_id=run, status="FINISHED")
    api.post("runs/delete", run_id=run)
    api.post("runs/restore", run_id=run)
    api.get("metrics/get-history", run_id=run, metric_key="m")
    api.get("metrics/get-history-bulk", run_id=run, metric_key="m")
    api.get("metrics/get-history-bulk-interval", run_ids=run, metric_key="m")

    api.put(f"{number}/{run}/artifacts/a/x.txt", b"x")
    api.fetch(f"{number}/{run}/artifacts/a/x.txt")
    api.ok("GET", FILES, {"path": number})
    api.get("artifacts/list", run_id=run)
    assert api.send("GET", "/get-artifact", {"run_id": run, "path": "a/x.txt"}).content == b"x"
    for what in ("upload", "download"):
        assert api.no("POST", f"artifacts/presigned-{what}-url", {"run_id": run})[0] == 501
    assert api.no("GET", "/api/2.0/mlflow-artifacts/presigned/x")[0] == 501
    begun = api.ok("POST", f"{MPU}/create/{number}/a", {"path": "big", "num_parts": 1})
    (part,) = begun["credentials"]
    sent = api.send("PUT", part["url"], content=b"big")
    parts = [{"part_number": 1, "etag": sent.headers["etag"], "url": part["url"]}]
    upload: Json = {"path": "big", "upload_id": begun["upload_id"]}
    api.ok("POST", f"{MPU}/complete/{number}/a", {**upload, "parts": parts})
    api.ok("POST", f"{MPU}/abort/{number}/a", upload)
    api.ok("DELETE", f"{FILES}/{number}/a/big")

    model = api.logged_model("model", number)
    one = f"logged-models/{model}"
    api.get(one)
    api.ok("PATCH", f"{one}/tags", {"tags": [TAG]})
    api.ok("DELETE", f"{one}/tags/t")
    api.post(f"{one}/params", params=[TAG])
    api.get(f"{one}/artifacts/directories")
    api.post("logged-models/search", experiment_ids=[number])
    api.post("runs/outputs", run_id=run, models=[{"model_id": model}])

    api.post("registered-models/create", name="iris")
    api.post("registered-models/rename", name="iris", new_name="rose")
    rose: Json = {"name": "rose"}
    api.get("registered-models/get", **rose)
    api.get("registered-models/search")
    api.get("registered-models/list")
    api.ok("PATCH", "registered-models/update", {**rose, "description": "x"})
    api.post("registered-models/set-tag", **rose, **TAG)
    api.ok("DELETE", "registered-models/delete-tag", {**rose, "key": "t"})
    api.post("model-versions/create", **rose, source=f"models:/{model}")
    version: Json = {**rose, "version": "1"}
    api.get("model-versions/get", **version)
    api.ok("PATCH", "model-versions/update", {**version, "description": "x"})
    api.get("model-versions/search")
    api.get("model-versions/get-download-uri", **version)
    api.post("model-versions/set-tag", **version, **TAG)
    api.ok("DELETE", "model-versions/delete-tag", {**version, "key": "t"})
    api.post("model-versions/transition-stage", **version, stage="Staging")
    path: Json = {**version, "path": "MLmodel"}
    assert api.send("GET", "/model-versions/get-artifact", path).content == MLMODEL
    api.post("registered-models/alias", **version, alias="best")
    api.ok("GET", "registered-models/alias", {**rose, "alias": "best"})
    api.ok("DELETE", "registered-models/alias", {**rose, "alias": "best"})
    api.get("registered-models/get-latest-versions", **rose)
    api.post("registered-models/get-latest-versions", **rose)
    api.ok("DELETE", "model-versions/delete", version)
    api.ok("DELETE", "registered-models/delete", rose)
    api.ok("DELETE", one)

    api.ok("GET", "/api/3.0/mlflow/server-info")
    hook = api.post("webhooks", **HOOK)["webhook"]["webhook_id"]
    api.get("webhooks")
    api.get(f"webhooks/{hook}")
    api.ok("PATCH", f"webhooks/{hook}", {"description": "x", "status": "DISABLED"})
    api.send("POST", f"webhooks/{hook}/test", {})
    api.ok("DELETE", f"webhooks/{hook}")


def test_every_route_is_asked(api: Api) -> None:
    ask_everything(api)
    routes = routes_of(api)
    asked: set[tuple[str, str]] = set()
    for method, address in api.asked:
        path = urlsplit(address).path.removeprefix("/api")
        try:
            asked.add((method, routes.find(method, path)[0].path))
        except MlflowError:
            # What moves bytes is not in the table.
            assert path.startswith("/2.0/mlflow-artifacts/"), path
            asked.add((method, path.split("/")[3]))
    wanted = {(one.method, one.path) for one in routes.all()}
    assert wanted - asked == set()
    assert asked - wanted == {("PUT", "artifacts"), ("GET", "artifacts"), ("PUT", "mpu")}


def test_the_page_of_an_mlflow_server_asks_the_same_routes(api: Api) -> None:
    for prefix in ("/api", "/ajax-api"):
        path = f"{prefix}/2.0/mlflow/experiments/get"
        found = api.ok("GET", path, {"experiment_id": "0"})
        assert found["experiment"]["name"] == "Default"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/2.0/mlflow/nothing"),
        ("POST", "/api/2.0/mlflow/runs/get"),
        ("GET", "/api/2.0/mlflow/runs/create"),
        ("GET", "/api/2.0/mlflow/runs/get/"),
        ("GET", "/api/2.0/mlflow/runs%2fget"),
        ("GET", "/api/2.0/mlflow/../mlflow/runs/get"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/api/3.0/mlflow/traces/search"),
        ("POST", "/api/3.0/mlflow/datasets/create"),
        ("GET", "/api/2.0/mlflow/gateway/endpoints"),
        ("DELETE", "/ajax-api/2.0/mlflow/users"),
        ("PATCH", "/api/2.0/mlflow-artifacts/artifacts/x"),
        ("GET", "/projects/default/metrics"),
    ],
)
def test_what_we_do_not_have(api: Api, method: str, path: str) -> None:
    status, code, words = sent_as_it_is(api, method, path)
    assert (status, code) == (404, NO_ENDPOINT)
    assert words.startswith(f"This server has no endpoint {method} /")


def sent_as_it_is(api: Api, method: str, path: str) -> tuple[int, str, str]:
    """Send a path that other clients would put right."""
    place = urlsplit(str(api.http.base_url))
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port or 80)
    connection.request(method, path)
    answer = connection.getresponse()
    said = httpx.Response(answer.status, content=answer.read()).json()
    connection.close()
    return answer.status, said["error_code"], said["message"]


def test_head_and_options(api: Api) -> None:
    api.put("0/head.txt", b"12345")
    for path, length in (
        (f"{FILES}/0/head.txt", 5),
        ("/api/2.0/mlflow/experiments/get?experiment_id=0", None),
        ("/version", 5),
    ):
        answer = api.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert length in {None, int(answer.headers["content-length"])}
    assert api.http.head(f"{FILES}/0/nothing.txt").status_code == 404
    assert api.http.head("/api/2.0/mlflow/runs/create").status_code == 404
    assert api.http.options("/api/2.0/mlflow/runs/create").status_code == 405


def test_others_have_their_own_routes(api: Api) -> None:
    for path in ("/health", "/ready", "/api/v1/runs/page", "/", "/metrics"):
        assert not is_mlflow(path)
    assert api.http.get("/health").status_code == 200
    assert api.http.get("/version").text == "3.3.2"


def test_a_body_that_is_no_object(api: Api) -> None:
    for body in (b"[1]", b"{", b"\xff", b'"x"', b"[" * 100_000):
        status, code, _ = api.no("POST", "runs/create", content=body)
        assert status == 400, body[:9]
        assert code in {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"}


@pytest.mark.parametrize(
    "body",
    [
        b'"abc" x',
        b'{"experiment_id":"\xed\xa0\x80"}',
        '{"experiment_id":"\ud800"}'.encode("utf-16-le", "surrogatepass"),
        '{"tags":[{"key":"\ud800","value":1}],"start_time":"x"}'.encode("utf-8", "surrogatepass"),
    ],
)
def test_a_body_that_is_no_text_is_refused_in_mlflows_form(api: Api, body: bytes) -> None:
    assert api.no("POST", "runs/create", content=body)[:2] == (400, "BAD_REQUEST")


def test_a_body_is_not_read_for_ever(api: Api) -> None:
    for path, limit in (
        ("experiments/create", 4 << 20),
        ("runs/create", 4 << 20),
        ("runs/log-inputs", 32 << 20),
        ("runs/log-model", 32 << 20),
    ):
        longest = b'{"run_id":"none","experiment_id":"none"}'
        assert "bytes" not in api.no("POST", path, content=longest.ljust(limit))[2]
        status, code, words = api.no("POST", path, content=longest.ljust(limit + 1))
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert f"more than {limit} bytes" in words


def test_projects_stand_before_the_path(api: Api) -> None:
    api.me.access.create_project(name="north")
    at = "/projects/north/api/2.0/mlflow"
    made = api.ok("POST", f"{at}/experiments/create", {"name": "only here"})
    assert made["experiment_id"] == "1"
    run = api.ok("POST", f"{at}/runs/create", {"experiment_id": "1"})["run"]["info"]
    assert api.no("GET", "runs/get", {"run_id": run["run_id"]})[:2] == (404, MISSING)
    begun = api.ok(
        "POST",
        "/projects/north/api/2.0/mlflow-artifacts/mpu/create/1",
        {"path": "x", "num_parts": 1},
    )
    assert "/projects/north/api/2.0/" in begun["credentials"][0]["url"]
    status, code, _ = api.no(
        "GET", "/projects/nowhere/api/2.0/mlflow/experiments/get", {"experiment_id": "0"}
    )
    assert (status, code) == (404, MISSING)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[tuple[Home, str]]:
    """A home, and the address of a server that asks everybody who he is."""
    home = Home.create(tmp_path / "home")
    with serving(cast("Host", home)) as address:
        yield home, address
    home.close()


def test_who_may_do_what(closed: tuple[Home, str]) -> None:
    home, address = closed
    me = home.door(home.local_principal(), "default")
    me.access.create_actor(name="vera", role="viewer")
    viewer = me.access.create_token(name="v", actor="vera", scopes=["*"]).secret
    basic = "Basic " + base64.b64encode(f"vera:{viewer}".encode()).decode()
    for header in (f"Bearer {viewer}", basic):
        with httpx.Client(base_url=f"{address}/api/2.0", trust_env=False) as http:
            http.headers["Authorization"] = header
            assert http.get("/mlflow/experiments/get?experiment_id=0").status_code == 200
            for method, path in (
                ("POST", "/mlflow/runs/create"),
                ("PUT", "/mlflow-artifacts/artifacts/0/x"),
                ("DELETE", "/mlflow-artifacts/artifacts/0/x"),
                ("POST", "/mlflow/registered-models/create"),
                ("POST", "/mlflow/registered-models/alias"),
                ("POST", "/mlflow/webhooks"),
            ):
                answer = http.request(method, path, content=b"{}")
                assert answer.status_code == 403, path
                assert answer.json()["error_code"] == "PERMISSION_DENIED"
    events = me.audit.events(kind="AccessDenied")
    assert len(events) == 12
    with httpx.Client(base_url=address, trust_env=False) as http:
        for headers in (
            {},
            {"Authorization": "Bearer nonsense"},
            {"Authorization": "Basic nonsense"},
            {"Authorization": "Basic " + base64.b64encode(f"ada:{viewer}".encode()).decode()},
        ):
            answer = http.get("/api/2.0/mlflow/experiments/get?experiment_id=0", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error_code"] == "UNAUTHENTICATED"
            assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("the disk is full of secrets"), (500, "INTERNAL_ERROR")),
        (Failed("SQLite could not do what was asked: SELECT secrets"), (500, "INTERNAL_ERROR")),
        (Unreachable("secrets:5432 was lost", why="x"), (503, "TEMPORARILY_UNAVAILABLE")),
    ],
)
def test_a_failure_of_ours_is_named_by_its_request(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    told: tuple[int, str],
) -> None:
    with api_of(tmp_path / "home") as api:

        def broken(*_: object, **__: object) -> object:
            raise error

        monkeypatch.setattr(type(api.home), "door", broken)
        status, code, words = api.no("GET", "experiments/get", {"experiment_id": "0"})
        assert (status, code) == told
        assert "secrets" not in words
        known_as = words.rpartition(" ")[2]
        assert known_as.startswith("req_")
        assert known_as in caplog.text
        assert "secrets" in caplog.text


SEARCHES: tuple[tuple[str, str, Json], ...] = (
    ("POST", "experiments/search", {"max_results": 5}),
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 5}),
    ("POST", "logged-models/search", {"experiment_ids": ["0"]}),
    ("GET", "registered-models/search", {}),
    ("GET", "model-versions/search", {}),
)
NEVER = {
    "page_token": ["nonsense", "e30=", "W10=", "WzFd", "ÿ", "A" * 5000, "eyJhIjogMX0="],
    "filter": [
        "OR",
        "name = 'x' OR 1=1",
        "name = 5",
        "name LIKE",
        "colour = 'red'",
        "creation_time > 99999999999999999999999999",
        "'" * 1001,
    ],
    "order_by": [["colour"], ["name; DROP TABLE run"], [""]],
}


@pytest.mark.parametrize(("method", "path", "given"), SEARCHES)
@pytest.mark.parametrize("key", NEVER)
def test_what_no_search_can_mean_is_the_callers_fault(
    api: Api, method: str, path: str, given: Json, key: str
) -> None:
    for value in NEVER[key]:
        if path.startswith("logged-models") and key == "order_by":
            value = [{"field_name": one} for one in value]
        status, code, words = api.no(method, path, {**given, key: value})
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE"), (value, words)
        assert not {"SELECT", "SQLite", "PostgreSQL"} & set(words.split()), words
