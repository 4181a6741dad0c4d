"""A small server that answers as MLflow's does; the real one is asked in tests/interop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest

from fixtures.foreign import T0_US, contents, unread_of
from millwright.records.runs import MetricPoint
from millwright.testing.clock import FakeClock
from millwright.tracking.sources.found import (
    FoundDataset,
    FoundEnd,
    FoundExperiment,
    FoundLoggedModel,
    FoundModel,
    FoundParams,
    FoundRun,
    FoundTags,
)
from millwright.tracking.sources.mlflow_http import MlflowHttp
from millwright.tracking.sources.mlflow_rest import MlflowServer

RUN, LOCAL, MODEL = "a" * 32, "b" * 32, "e" * 32
T0_MS = T0_US // 1000
API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def run_record(uuid: str, uri: str) -> dict[str, object]:
    info = {"run_id": uuid, "run_name": "one", "user_id": "ada", "status": "FINISHED"}
    info |= {"artifact_uri": uri}
    times = {"start_time": T0_MS, "end_time": T0_MS + 5}
    latest = [{"key": "loss", "value": 0.5, "timestamp": T0_MS, "step": 1}]
    used = {
        "dataset": {"name": "loans", "digest": "abc"},
        "tags": [{"key": "mlflow.data.context", "value": "training"}],
    }
    return {
        "info": info | times,
        "data": {"metrics": latest, "params": pairs(depth="3"), "tags": pairs(who="ada")},
        "inputs": {"dataset_inputs": [used]},
        "outputs": {"model_outputs": [{"model_id": f"m-{MODEL}", "step": 2}]},
    }


class Server:
    """Answers by a table of routes; keeps what it was asked."""

    def __init__(self) -> None:
        proxied = run_record(RUN, f"mlflow-artifacts:/1/{RUN}/artifacts")
        local = run_record(LOCAL, f"/srv/mlruns/1/{LOCAL}/artifacts")
        self.asked: list[str] = []
        self.runs = {RUN: proxied, LOCAL: local}
        self.files = {
            f"1/{RUN}/artifacts": [("d", True), ("top.txt", False)],
            f"1/{RUN}/artifacts/d": [("x y.txt", False)],
            f"1/models/m-{MODEL}/artifacts": [("MLmodel", False)],
        }
        self.missing = False
        self.broken = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, dict(request.url.params)
        self.asked.append(path)
        if self.broken and path.startswith(self.broken):
            return httpx.Response(500, text="the bucket is away")
        content = request.content or b"{}"
        body = cast("dict[str, object]", json.loads(content))
        answer = self.answer(path, query, body)
        if isinstance(answer, bytes):
            return httpx.Response(200, content=answer)
        return httpx.Response(404 if answer is None else 200, json=answer or {})

    def answer(
        self, path: str, query: dict[str, str], body: dict[str, object]
    ) -> dict[str, object] | bytes | None:
        match path.removeprefix(API):
            case "/experiments/search":
                one = {"experiment_id": "1", "name": "churn", "tags": pairs(team="risk")}
                return {"experiments": [one]}
            case "/runs/search" if "page_token" not in body:
                return {"runs": [self.runs[RUN]], "next_page_token": "2"}
            case "/runs/search":
                return {"runs": [self.runs[LOCAL]]}
            case "/runs/get":
                return {"run": self.runs[query["run_id"]]}
            case "/metrics/get-history" if "page_token" not in query:
                points = [{"key": "loss", "value": "NaN", "timestamp": T0_MS}]
                return {"metrics": points, "next_page_token": "2"}
            case "/metrics/get-history":
                return {"metrics": [{"key": "loss", "value": 0.5, "timestamp": T0_MS, "step": 1}]}
            case "/artifacts/list":
                inner = {"": [("d", True)], "d": [("d/../../x", False), ("d/own.txt", False)]}
                return listing(inner[query.get("path", "")])
            case route if route.endswith("/artifacts/directories"):
                return listing([("MLmodel", False)])
            case route if route.startswith("/logged-models/") and not self.missing:
                uri = f"mlflow-artifacts:/1/models/m-{MODEL}/artifacts"
                info = {"name": "net", "artifact_uri": uri, "status": "LOGGED_MODEL_READY"}
                info |= {"creation_timestamp_ms": T0_MS, "tags": pairs(kind="tree")}
                return {"model": {"info": info, "data": {"params": pairs(depth="3")}}}
            case "/registered-models/search":
                alias = {"alias": "champion", "version": "2"}
                model = {"name": "churn's", "description": "leaves?", "tags": pairs(owner="ada")}
                return {"registered_models": [model | {"aliases": [alias]}]}
            case "/model-versions/search":
                assert query["filter"] == 'name = "churn\'s"'
                kept = {"name": "churn's", "run_id": RUN, "current_stage": "Staging"}
                one = kept | {"version": "1", "source": f"models:/m-{MODEL}"}
                two = kept | {"version": "2", "source": "runs:/x/model", "tags": pairs(ok="yes")}
                return {"model_versions": [two, one]}
            case "/model-versions/get-download-uri":
                first = f"mlflow-artifacts:/1/models/m-{MODEL}/artifacts"
                return {"artifact_uri": first} if query["version"] == "1" else None
            case _ if path == PROXY:
                found = self.files.get(query["path"])
                return None if found is None else listing(found)
            case _ if path.startswith(PROXY) or path == "/get-artifact":
                return f"{path.removeprefix(PROXY)} {query.get('path', '')}".encode()
            case _ if path.startswith("/ajax-api"):
                return query["artifact_file_path"].encode()
            case _:
                return None


def listing(files: list[tuple[str, bool]]) -> dict[str, object]:
    return {"files": [{"path": path, "is_dir": is_dir} for path, is_dir in files]}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def source(server: Server) -> Iterator[MlflowServer]:
    wire = httpx.MockTransport(server)
    source = MlflowServer(MlflowHttp("http://host:5000", clock=FakeClock(), wire=wire))
    yield source
    source.close()


def heads(source: MlflowServer) -> dict[str, FoundRun]:
    return {one.id: one for one in source.runs() if isinstance(one, FoundRun)}


def test_experiments_and_runs_are_read_page_by_page(source: MlflowServer) -> None:
    assert list(source.experiments()) == [FoundExperiment(name="churn", tags={"team": "risk"})]
    runs = heads(source)
    assert list(runs) == [RUN, LOCAL]
    assert (runs[RUN].name, runs[RUN].user, runs[RUN].start_us) == ("one", "ada", T0_US)
    assert (source.place, source.scope, source.kind) == ("http://host:5000", "", "mlflow")


def test_what_comes_to_a_run_that_has_ended_changes_its_mark(
    source: MlflowServer, server: Server
) -> None:
    first = heads(source)
    server.files[f"1/{RUN}/artifacts"].append(("late.txt", False))
    second = heads(source)
    server.runs[RUN] |= {"inputs": {}}
    third = heads(source)
    server.files[f"1/models/m-{MODEL}/artifacts"].append(("late.txt", False))
    fourth = heads(source)
    assert len({one[RUN].mark for one in (first, second, third, fourth)}) == 4
    assert heads(source) == fourth
    assert third[LOCAL] == first[LOCAL]


def test_everything_of_a_run_is_read(source: MlflowServer, tmp_path: Path) -> None:
    found = list(source.items(heads(source)[RUN]))
    assert [one for one in found if isinstance(one, MetricPoint)] == [
        MetricPoint(key="loss", value=None, step=0, time_us=T0_US),
        MetricPoint(key="loss", value=0.5, step=1, time_us=T0_US),
    ]
    assert FoundParams(params={"depth": "3"}) in found
    assert FoundTags(tags={"who": "ada"}) in found
    assert FoundDataset(name="loans", digest="abc", context="training") in found
    (logged,) = [one for one in found if isinstance(one, FoundLoggedModel)]
    assert (logged.uuid, logged.name, logged.status, logged.step) == (MODEL, "net", "ready", 2)
    assert (logged.params, logged.tags) == ({"depth": "3"}, {"kind": "tree"})
    below = f"/1/models/m-{MODEL}/artifacts/MLmodel "
    assert contents(logged.files(), tmp_path) == {"MLmodel": below.encode()}
    assert contents(found, tmp_path) == {
        "top.txt": f"/1/{RUN}/artifacts/top.txt ".encode(),
        "d/x y.txt": f"/1/{RUN}/artifacts/d/x y.txt ".encode(),
    }
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 5000)
    assert unread_of(found) == []


def test_artifacts_behind_no_proxy_come_from_the_server_and_bad_names_are_named(
    source: MlflowServer, tmp_path: Path
) -> None:
    found = list(source.items(heads(source)[LOCAL]))
    assert contents(found, tmp_path) == {"d/own.txt": b"/get-artifact d/own.txt"}
    assert unread_of(found) == ["http://host:5000, artifact 'd/../../x': the part '..' is no name"]


def test_the_registry_is_read(source: MlflowServer, tmp_path: Path) -> None:
    (model,) = source.models()
    assert isinstance(model, FoundModel)
    assert (model.name, model.description, model.aliases, model.tags) == (
        "churn's",
        "leaves?",
        {"champion": 2},
        {"owner": "ada"},
    )
    one, two = model.versions
    assert (one.version, one.logged_model, one.stage) == (1, MODEL, "Staging")
    assert (two.version, two.tags, two.run) == (2, {"ok": "yes"}, RUN)
    assert list(contents(one.files(), tmp_path)) == ["MLmodel"]
    (unread,) = unread_of(two.files())
    assert unread.startswith("churn's version 2: http://host:5000 has nothing at")


def test_a_model_that_is_gone_is_named(source: MlflowServer, server: Server) -> None:
    server.missing = True
    (unread,) = unread_of(source.items(heads(source)[RUN]))
    assert unread.startswith(f"logged model m-{MODEL}: http://host:5000 has nothing at")


def test_folders_that_never_end_are_left(source: MlflowServer, server: Server) -> None:
    folder = f"1/{RUN}/artifacts"
    server.files.clear()
    deep = folder
    for _ in range(60):
        server.files[deep] = [("d", True)]
        deep += "/d"
    (unread,) = unread_of(source.items(heads(source)[RUN]))
    assert "folders are nested more than 32 deep" in unread


def test_a_server_that_cannot_reach_its_artifacts_gives_all_else(
    source: MlflowServer, server: Server
) -> None:
    server.broken = PROXY
    found = list(source.items(heads(source)[RUN]))
    where = f"http://host:5000, artifacts in 1/{RUN}/artifacts"
    assert unread_of(found) == [f"{where}: http://host:5000 answered 500 to {PROXY}"]
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 5000)
