"""The application as a whole: nothing in it is open by oversight."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler, asgi
from litestar.types import Receive, Scope, Send

from fixtures.example_host import ExampleHost
from millwright.core.clock import SystemClock
from millwright.core.errors import Failed, Unreachable
from millwright.records.access import Permission
from millwright.server.app import check_declared, create_app
from millwright.server.auth import NEEDS, PUBLIC, Needs


async def hello() -> str:
    return "hello"


def test_a_route_without_a_permission_keeps_the_server_from_starting(host: ExampleHost) -> None:
    forgotten = HTTPRouteHandler("/api/v1/forgotten", http_method="GET")(hello)
    with pytest.raises(Failed, match="declared permission: GET /api/v1/forgotten"):
        create_app(host, clock=SystemClock(), more=[forgotten])


def test_a_public_route_is_one_of_a_short_list(host: ExampleHost) -> None:
    public = HTTPRouteHandler("/api/v1/all", http_method="POST", opt={NEEDS: PUBLIC})(hello)
    with pytest.raises(Failed, match="POST /api/v1/all"):
        create_app(host, clock=SystemClock(), more=[public])


def test_a_route_with_a_permission_may_be_added(host: ExampleHost) -> None:
    needs = Needs((Permission.PROJECT_READ,))
    more = HTTPRouteHandler("/more", http_method="GET", opt={NEEDS: needs})(hello)
    app = create_app(host, clock=SystemClock(), open_on_loopback=True, more=[more])
    assert ask(app, "/more").text == "hello"


def test_what_is_no_route_of_http_is_refused() -> None:

    @asgi("/mounted", is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None: ...

    with pytest.raises(Failed, match="/mounted"):
        check_declared(Litestar([mounted], openapi_config=None, logging_config=None))


class DeafHost(ExampleHost):
    def plan_revision(self) -> int:
        raise Unreachable("the database is down", fix="start it")


def test_alive_but_not_ready(host: ExampleHost) -> None:
    deaf = DeafHost.__new__(DeafHost)
    deaf.__dict__.update(host.__dict__)
    app = create_app(deaf, clock=SystemClock())
    assert ask(app, "/health").status_code == 200
    answer = ask(app, "/ready")
    assert (answer.status_code, answer.json()["detail"]) == (503, "the database is down")


def ask(app: object, path: str) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get(path)

    return asyncio.run(get())
