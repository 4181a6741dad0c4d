"""What holds for every answer."""

from __future__ import annotations

import logging

import httpx
import pytest

from millwright.core.ids import new_id
from millwright.core.version import VERSION

pytestmark = pytest.mark.sockets


@pytest.mark.parametrize("path", ["/health", "/nope", "/api/v1/me", "/api/v1/artifacts/x"])
def test_headers_that_every_answer_carries(path: str, anybody: httpx.Client) -> None:
    headers = anybody.get(path).headers
    assert headers["x-millwright-version"] == VERSION
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"].startswith("req_")
    assert "server" not in headers


@pytest.mark.parametrize(
    ("path", "is_shown"), [("/api/v1/me", False), ("/nope", False), ("/version", True)]
)
def test_headers_for_what_a_browser_shows(path: str, is_shown: bool, anybody: httpx.Client) -> None:
    headers = anybody.get(path).headers
    for name, value in (
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ):
        assert headers.get(name) == (value if is_shown else None)


def test_a_request_id_of_ours_is_kept(anybody: httpx.Client) -> None:
    mine = new_id("req")
    assert anybody.get("/nope", headers={"X-Request-Id": mine}).json()["instance"] == mine


@pytest.mark.parametrize("other", ["abc", "run_01ky3s3w6e7s2v9k1rqzjq0x5b", "<script>"])
def test_any_other_request_id_is_replaced(other: str, anybody: httpx.Client) -> None:
    answer = anybody.get("/health", headers={"X-Request-Id": other})
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] != other


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not-found"),
        ("GET", "/api/v1/../../etc/passwd", 404, "not-found"),
        ("POST", "/health", 405, "invalid"),
        ("DELETE", "/api/v1/models", 405, "invalid"),
        ("OPTIONS", "/api/v1/models", 405, "invalid"),
        ("TRACE", "/", 405, "invalid"),
        ("PATCH", "/api/v1/models", 405, "invalid"),
    ],
)
def test_what_is_not_there_is_a_problem_document(
    method: str, path: str, status: int, code: str, anybody: httpx.Client
) -> None:
    answer = anybody.request(method, path)
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (
        status,
        code,
        status,
    )
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_log_holds_routes_and_no_secrets(
    admin: httpx.Client, admin_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        admin.get("/api/v1/runs/of-somebody?secret=hush")
        admin.get("/api/v1/nope/of-somebody")
    told = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("mill"))
    assert "GET /api/v1/runs/{ref} 400" in told
    assert "GET unmatched 404" in told
    for secret in (admin_token, "of-somebody", "hush"):
        assert secret not in told
