"""The outermost layer: what holds for every request, also for those that no route takes.

Gives each request its id, keeps its path as it was sent (so that a `%2F` inside a name is not
taken for a separator, and names are decoded exactly once), adds the headers every answer
carries, counts and logs. The log holds routes, never paths, queries or headers.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from millwright.core.clock import Clock
from millwright.core.errors import Invalid
from millwright.core.ids import RequestId, new_id, parse_id
from millwright.core.version import VERSION
from millwright.server.metrics import Metrics
from millwright.server.problems import (
    MEDIA_TYPE,
    REQUEST_KEY,
    encode_problem,
    problem_of,
    unexpected,
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
UNMATCHED = "unmatched"

_ALWAYS = (
    (b"x-millwright-version", VERSION.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
# JSON is shown as nothing else, and each header costs a client of Python's 12 µs to read.
_UNLESS_JSON = (
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_LOG = logging.getLogger("millwright.server")


class Edge:
    """An ASGI application around the routed one."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one connection."""
        if scope["type"] == "http":
            await self._answer(cast("dict[str, Any]", scope), receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no such route"})
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        began_s = self._clock.monotonic_s()
        request = _request_id(scope["headers"])
        inner = {**scope, REQUEST_KEY: request}
        raw_path: bytes | None = scope.get("raw_path")
        if raw_path is not None:
            inner["path"] = raw_path.decode("latin-1")
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_ours(message.get("headers", []), request)
            await send(message)

        try:
            if scope["method"] not in METHODS:
                await _refuse_method(scope["method"], request, send_on)
            else:
                await self._app(cast("Scope", inner), receive, send_on)
        except Exception:
            _LOG.exception("%s %s broke off", request, scope["method"])
            # Where an answer has begun the server cuts the connection, which is all that can
            # still tell the client that it is not whole.
            if status:
                raise
            body = encode_problem(unexpected(request))
            await _send_problem(500, body, send_on)
        finally:
            seconds = self._clock.monotonic_s() - began_s
            route = str(inner.get("path_template", UNMATCHED)).replace(":str}", "}")
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            self._metrics.observe(method=method, route=route, status=status, seconds=seconds)
            _LOG.info("%s %s %s %d %.1f ms", request, method, route, status, seconds * 1000)


def _request_id(headers: list[tuple[bytes, bytes]]) -> RequestId:
    """Return the caller's id when it is one of ours, so that events can carry it, or a new one."""
    for name, value in headers:
        if name.lower() == b"x-request-id":
            try:
                return RequestId(parse_id(value.decode("latin-1"), "req"))
            except Invalid:
                break
    return RequestId(new_id("req"))


def _with_ours(headers: Any, request: RequestId) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with those that all carry; a route may say otherwise."""
    given = [(bytes(name), bytes(value)) for name, value in headers]
    found = {name.lower(): value for name, value in given}
    is_json = found.get(b"content-type", b"").endswith(b"json")
    more = _ALWAYS if is_json else _ALWAYS + _UNLESS_JSON
    ours = [(name, value) for name, value in more if name not in found]
    return [*given, *ours, (b"x-request-id", request.encode())]


async def _refuse_method(method: str, request: RequestId, send: Send) -> None:
    error = Invalid(f"this server takes {', '.join(sorted(METHODS))}, not {method[:20]}")
    await _send_problem(405, encode_problem(problem_of(error, request=request, status=405)), send)


async def _send_problem(status: int, body: bytes, send: Send) -> None:
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
