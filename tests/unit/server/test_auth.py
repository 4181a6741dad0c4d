"""Who is let in: every route × no token, unknown token, wrong scope, right scope, other project."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from fixtures.example_host import ExampleHost, example_of, serving
from millwright.core.clock import SystemClock
from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid
from millwright.doors.door import all_operations
from millwright.records.access import Permission, Role
from millwright.server import artifacts
from millwright.server.app import create_app
from millwright.server.auth import check_bind

STORED = b"stored already"


@dataclass(frozen=True)
class Route:
    """One route, with a request that it takes."""

    method: str
    path: str
    needs: tuple[Permission, ...]
    json: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    content: bytes | None = None

    def ask(
        self, http: httpx.Client, token: str | None = None, project: str | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if project:
            headers["X-Millwright-Project"] = project
        return http.request(
            self.method,
            self.path,
            json=self.json,
            params=self.query,
            content=self.content,
            headers=headers,
        )


def all_routes() -> list[Route]:
    read = (Permission.PROJECT_READ,)
    place = f"/api/v1/artifacts/{digest_bytes(STORED)}"
    return [
        *(_route_of(bound) for bound in all_operations()),
        Route("GET", "/", read),
        Route("GET", "/metrics", read),
        Route("HEAD", place, artifacts.READERS + artifacts.WRITERS),
        Route("GET", place, artifacts.READERS),
        Route("PUT", place, artifacts.WRITERS, content=STORED),
    ]


def _route_of(bound: Any) -> Route:
    declared = bound.operation
    values = {a.name: msgspec.to_builtins(example_of(a.type)) for a in bound.arguments}
    path = "/api/v1" + declared.path
    for name in declared.path_arguments:
        path = path.replace(f"{{{name}}}", quote(str(values.pop(name)), safe=""))
    if declared.method in {"POST", "PUT"}:
        return Route(declared.method, path, (declared.needs,), json=values)
    # Nobody is to wait for a plan here.
    values.pop("wait_s", None)
    return Route(declared.method, path, (declared.needs,), query=values)


ROUTES = all_routes()


@pytest.fixture(scope="module", autouse=True)
def stored(host: ExampleHost) -> None:
    host.artifacts.put_bytes(STORED)


@pytest.fixture(scope="module")
def right(host: ExampleHost) -> Mapping[Permission, str]:
    """A token of the admin for each permission, good for nothing else, in one project only."""
    return {one: host.token("ada", [one.value], project="default") for one in Permission}


@pytest.fixture(scope="module")
def all_but(host: ExampleHost) -> Mapping[frozenset[Permission], str]:
    """For each set of permissions that a route takes, a token with all the others."""
    wanted = {frozenset(route.needs) for route in ROUTES}
    return {
        needs: host.token("ada", [one.value for one in Permission if one not in needs])
        for needs in wanted
    }


@pytest.mark.sockets
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path[:60]}")
def test_every_route_opens_to_its_own_permission_only(
    route: Route,
    host: ExampleHost,
    anybody: httpx.Client,
    right: Mapping[Permission, str],
    all_but: Mapping[frozenset[Permission], str],
) -> None:
    calls = len(host.calls)
    assert route.ask(anybody).status_code == 401
    assert route.ask(anybody, "mw_nobodyhasissuedthis").status_code == 401
    assert route.ask(anybody, all_but[frozenset(route.needs)]).status_code == 403
    for needed in route.needs:
        assert route.ask(anybody, right[needed], project="other").status_code == 403
        assert route.ask(anybody, right[needed], project="nosuch").status_code == 403
    assert len(host.calls) == calls, "a door was reached by somebody who may not"
    for needed in route.needs:
        answer = route.ask(anybody, right[needed])
        assert answer.status_code in {200, 204}, answer.text


@pytest.mark.sockets
@pytest.mark.parametrize("path", ["/health", "/ready", "/api/v1/openapi.json"])
def test_the_short_list_of_public_routes(path: str, anybody: httpx.Client) -> None:
    assert anybody.get(path).status_code == 200


@pytest.mark.sockets
def test_denied_before_the_body_is_looked_at(host: ExampleHost, anybody: httpx.Client) -> None:
    token = host.token("ada", ["data.read"])
    answer = anybody.post(
        "/api/v1/models", content=b"no JSON", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
    assert host.denials[-1] == ("ada", Permission.MODEL_REGISTER, "default")


@pytest.mark.sockets
def test_a_missing_project_is_told_only_to_who_sees_all(
    host: ExampleHost, admin: httpx.Client, anybody: httpx.Client
) -> None:
    header = {"X-Millwright-Project": "nosuch"}
    assert admin.get("/api/v1/models", headers=header).status_code == 404
    token = host.person("vera", Role.VIEWER)
    bearer = {"Authorization": f"Bearer {token}"}
    missing = anybody.get("/api/v1/models", headers=header | bearer)
    other = anybody.get("/api/v1/models", headers={"X-Millwright-Project": "other"} | bearer)
    assert (missing.status_code, other.status_code) == (403, 403)
    assert missing.json()["detail"].replace("nosuch", "other") == other.json()["detail"]


@pytest.mark.sockets
def test_a_failed_login_says_the_same_whatever_failed(
    host: ExampleHost, anybody: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    host.person("gone", Role.VIEWER)
    secret = host.token("gone", ["*"])
    host.disable("gone")
    with caplog.at_level(logging.DEBUG):
        told = [
            anybody.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
            for token in (secret, "mw_never")
        ]
    assert [document["status"] for document in told] == [401, 401]
    first, second = ({**document, "instance": ""} for document in told)
    assert first == second
    assert secret not in caplog.text
    assert "mw_never" not in caplog.text


@pytest.mark.sockets
@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "mw_abc"])
def test_a_header_that_is_no_bearer_token(header: str, anybody: httpx.Client) -> None:
    answer = anybody.get("/api/v1/me", headers={"Authorization": header})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.fixture(scope="module")
def open_address(host: ExampleHost) -> Any:
    with serving(host, open_on_loopback=True) as address:
        yield address


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8420", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8420", 200),
        ("evil.example", 401),
        ("localhost.evil.example", 401),
        ("127.0.0.1.evil.example:8420", 401),
        ("192.168.1.7:8420", 401),
        ("0.0.0.0", 401),
    ],
)
def test_without_a_token_only_names_of_this_machine(
    name: str, status: int, open_address: str
) -> None:
    answer = httpx.get(f"{open_address}/api/v1/me", headers={"Host": name}, trust_env=False)
    assert answer.status_code == status, answer.text


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8420", 200),
        ("http://localhost:9999", 401),
        ("https://evil.example", 401),
        ("null", 401),
    ],
)
def test_without_a_token_a_page_elsewhere_changes_nothing(
    origin: str, status: int, open_address: str
) -> None:
    headers = {"Origin": origin, "Host": "localhost:8420"}
    url = f"{open_address}/api/v1/models"
    answer = httpx.post(url, json={"name": "m"}, headers=headers, trust_env=False)
    assert answer.status_code == status, answer.text


@pytest.mark.sockets
def test_a_form_of_another_page_is_no_request_of_ours(open_address: str) -> None:
    headers = {"Content-Type": "text/plain"}
    url = f"{open_address}/api/v1/models"
    answer = httpx.post(url, content=b'{"name":"m"}', headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert "not declared as JSON" in answer.json()["detail"]


@pytest.mark.sockets
def test_a_wrong_token_is_not_taken_for_none(open_address: str) -> None:
    headers = {"Authorization": "Bearer mw_wrong"}
    assert httpx.get(f"{open_address}/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.0.0.9", 401), ("", 401)]
)
def test_without_a_token_only_from_this_machine(peer: str, status: int, host: ExampleHost) -> None:
    app = create_app(host, clock=SystemClock(), open_on_loopback=True)

    async def ask() -> int:
        transport = httpx.ASGITransport(app=app, client=(peer, 1))  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return (await http.get("/api/v1/me")).status_code

    assert asyncio.run(ask()) == status


@pytest.mark.parametrize("name", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_open_on_loopback(name: str) -> None:
    check_bind(name, authenticated=False)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "", "192.168.1.7", "my.example", "127.1"])
def test_open_anywhere_else_is_refused(name: str) -> None:
    check_bind(name, authenticated=True)
    with pytest.raises(Invalid, match=r"will not listen on .* without authentication"):
        check_bind(name, authenticated=False)
