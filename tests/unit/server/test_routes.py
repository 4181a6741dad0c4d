"""Requests as operations read them, and their answers."""

from __future__ import annotations

import httpx
import pytest

from fixtures.example_host import ExampleHost
from millwright.core.errors import Conflict, NeedsApproval
from millwright.server.routes import MAX_JSON_BYTES

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def forget(host: ExampleHost) -> None:
    host.calls.clear()
    host.answers.clear()


def test_path_and_body_become_the_arguments(host: ExampleHost, admin: httpx.Client) -> None:
    answer = admin.post(
        "/api/v1/models/churn%20risk/versions", json={"package_digest": "b3:0", "reason": "why"}
    )
    assert answer.status_code == 200
    name, arguments, request = host.calls[0]
    assert (name, arguments) == (
        "models.register",
        {"name": "churn risk", "package_digest": "b3:0", "reason": "why"},
    )
    assert request == answer.headers["x-request-id"]


def test_query_becomes_the_arguments(host: ExampleHost, admin: httpx.Client) -> None:
    query = "after=5&newest_first=true&kind=RunStarted"
    assert admin.get(f"/api/v1/events?{query}").status_code == 200
    assert host.calls[0][:2] == (
        "audit.events",
        {"after": 5, "newest_first": True, "kind": "RunStarted"},
    )


def test_a_name_is_decoded_once_and_may_hold_a_slash(
    host: ExampleHost, admin: httpx.Client
) -> None:
    assert admin.get("/api/v1/runs/latest/metrics/val%2Fauc%252F%25").status_code == 200
    assert host.calls[0][1] == {"ref": "latest", "key": "val/auc%2F%"}


def test_a_path_that_is_no_text(admin: httpx.Client) -> None:
    answer = admin.get("/api/v1/runs/%ff")
    assert (answer.status_code, answer.json()["detail"]) == (400, "the path is not UTF-8")


@pytest.mark.parametrize(
    ("method", "path", "json", "told"),
    [
        ("POST", "/models", {"name": "m", "rsik": "low"}, "unknown field `rsik`"),
        ("POST", "/models", {"name": 7}, "Expected `str`, got `int` - at `$.name`"),
        ("POST", "/models", {}, "missing required field `name`"),
        ("POST", "/models", [1], "Expected `object`, got `array`"),
        ("POST", "/models", {"name": "m", "risk": "medium"}, "at `$.risk`"),
        ("GET", "/runs?limitt=1", None, "unknown field `limitt`"),
        ("GET", "/runs?limit=ten", None, "Expected `int`, got `str` - at `$.limit`"),
        ("GET", "/runs?limit=1&limit=2", None, "'limit' more than once"),
        ("GET", "/runs?a&b&c&b&a", None, "'b' more than once"),
        ("GET", "/runs?experiment=%ff", None, "the query is not UTF-8"),
        ("POST", "/models?name=m", {"name": "m"}, "takes nothing in the query"),
        ("POST", "/runs/r/metrics", {"points": [{"key": "a", "value": "x"}]}, "points[0].value"),
        ("PUT", "/rules/r", {"spec": {"event": "e", "job": "j", "were": {}}}, "`were`"),
    ],
)
def test_what_cannot_be_right_is_named(
    method: str,
    path: str,
    json: object,
    told: str,
    host: ExampleHost,
    admin: httpx.Client,
) -> None:
    answer = admin.request(method, f"/api/v1{path}", json=json)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]
    assert not host.calls


@pytest.mark.parametrize("body", [b"{", b'{"name":"\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_json(body: bytes, admin: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = admin.post("/api/v1/models", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_body_that_is_too_large(host: ExampleHost, admin: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = admin.post("/api/v1/models", content=b" " * (MAX_JSON_BYTES + 1), headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert "too large" in answer.json()["detail"]

    def pieces() -> list[bytes]:
        return [b" " * (1 << 20)] * 9

    # The same without a length that could be looked at beforehand.
    answer = admin.post("/api/v1/models", content=iter(pieces()), headers=headers)
    assert answer.status_code == 413
    assert not host.calls


def test_no_result_is_an_empty_answer(host: ExampleHost, admin: httpx.Client) -> None:
    answer = admin.post("/api/v1/runs/r/params", json={"params": {"a": "1"}})
    assert (answer.status_code, answer.content) == (204, b"")
    host.answer("monitors.check", None)
    assert admin.post("/api/v1/monitors/m/check").status_code == 204
    host.answer("data.list_all", [])
    assert admin.get("/api/v1/datasets").json() == []


def test_an_error_comes_over_whole(host: ExampleHost, admin: httpx.Client) -> None:
    def busy(**arguments: object) -> object:
        raise NeedsApproval("it waits", why="policy", fix="mill model approve m")

    host.answers["models.promote"] = busy
    answer = admin.post("/api/v1/model-versions/m@v1/aliases/champion", json={})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/needs-approval",
        "title": "The request is recorded and waits for somebody else's yes",
        "status": Conflict.status,
        "detail": "it waits",
        "code": "needs-approval",
        "why": "policy",
        "fix": "mill model approve m",
        "instance": answer.headers["x-request-id"],
    }


def test_what_nobody_foresaw_stays_in_the_log(
    host: ExampleHost, admin: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**arguments: object) -> object:
        raise RuntimeError("the password is hunter2")

    host.answers["models.list_all"] = broken
    answer = admin.get("/api/v1/models")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    record = next(one for one in caplog.records if one.exc_info)
    assert answer.json()["instance"] in record.getMessage()
