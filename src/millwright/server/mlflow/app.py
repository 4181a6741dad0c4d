"""MLflow's protocol as an ASGI application: `/api` and `/ajax-api`, 2.0 and 3.0.

Raw ASGI, since a metric is worth a hundred microseconds and a framework takes as many. Each route
declares the permission it needs and where it runs; what it does goes through a door, which asks
again. A project other than the default one stands before the path: `/projects/NAME/api/2.0/…`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import msgspec
from anyio import CapacityLimiter, to_thread
from litestar.types import ASGIApp, Receive, Scope, Send

from millwright.access.permissions import MissingPermission, allows, require
from millwright.core.clock import Clock
from millwright.core.errors import MillwrightError
from millwright.core.ids import RequestId
from millwright.records.access import Permission
from millwright.server.auth import Identify, Seen, project_of, seen_of
from millwright.server.host import Host
from millwright.server.mlflow import (
    artifacts,
    experiments,
    information,
    inputs,
    logged_models,
    metrics,
    registered,
    runs,
    transfer,
    versions,
    webhooks,
)
from millwright.server.mlflow.call import Call, Endpoint
from millwright.server.mlflow.callers import Callers, Known
from millwright.server.mlflow.errors import (
    NO_ENDPOINT,
    MlflowError,
    failed,
    invalid,
    is_for_the_log,
    translated,
)
from millwright.server.mlflow.lane import Lane
from millwright.server.mlflow.transfer import FILES, PARTS, Transfers
from millwright.server.problems import REQUEST_KEY

T = TypeVar("T")

SHORT_BODY_BYTES = 2048
READ_THREADS = 8
STREAM_THREADS = 16
PREFIXES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/get-artifact", "/model-versions/")
PROJECTS = "/projects/"
VERSION_PATH = "/version"
TEMPLATE = "path_template"

_LOG = logging.getLogger("millwright.server")
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes: the project named in its path, and the rest."""

    project: str | None
    prefix: str
    path: str


class MlflowApp:
    """Answers what clients of MLflow's ask."""

    def __init__(self, host: Host, *, clock: Clock, open_on_loopback: bool) -> None:
        self._host = host
        self._callers = Callers(Identify(host, open_on_loopback=open_on_loopback), clock)
        self._lane = Lane(host)
        self._reads = CapacityLimiter(READ_THREADS)
        self._transfers = Transfers(host.artifacts, clock=clock, threads=STREAM_THREADS)
        self.routes = Routes(
            [
                *experiments.endpoints(),
                *runs.endpoints(),
                *metrics.endpoints(),
                *inputs.endpoints(),
                *logged_models.endpoints(),
                *artifacts.endpoints(),
                *registered.endpoints(),
                *versions.endpoints(),
                *webhooks.endpoints(),
                *information.endpoints(),
                *self._transfers.endpoints(),
            ]
        )
        self._with_default: set[int] = set()
        """Keys of projects whose experiment 0 is known to be there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given: dict[str, Any] = scope  # pyright: ignore[reportAssignmentType]
        known_as: RequestId = given[REQUEST_KEY]
        try:
            await self._answer(given, receive, send)
        except MlflowError as error:
            await _refuse(send, error)
        except MillwrightError as error:
            if is_for_the_log(error):
                _LOG.error("%s %s failed", known_as, given["method"], exc_info=error)
            await _refuse(send, translated(error, known_as))
        except Exception as error:  # noqa: BLE001 (the log has it; the client is told where)
            _LOG.error("%s %s failed", known_as, given["method"], exc_info=error)
            await _refuse(send, failed(known_as))

    def close(self) -> None:
        """End what writes, once it is done."""
        self._lane.close()

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            # Answered as a GET, whose body the server then keeps to itself.
            scope["method"] = "GET"
        place, method = _place_of(scope["path"]), scope["method"]
        if place.path == VERSION_PATH:
            await _send(send, information.VERSION.encode(), b"text/plain; charset=utf-8")
            return
        path = _below_api(place.path)
        if method == "PUT" and path.startswith(PARTS):
            await self._take_part(path.removeprefix(PARTS), scope, receive, send)
            return
        seen = seen_of(scope)
        known = await self._know(seen, place.project or project_of(seen))
        if path.startswith(FILES) and method in {"PUT", "GET"}:
            scope[TEMPLATE] = FILES
            await self._move(path.removeprefix(FILES), known, place, scope, receive, send)
            return
        endpoint, parts = self.routes.find(method, path)
        scope[TEMPLATE] = endpoint.path
        await self._require(known, endpoint.needs, scope)
        body = b"" if method == "GET" else await _read(receive, endpoint.max_body_bytes)
        call = self._call(known, place, scope, body=body, parts=parts)
        try:
            answer = await self._run(endpoint, call)
        except MissingPermission as error:
            # A route may need more than it declares, as one that removes aliases with a version.
            await self._note_denial(known, error.permission or endpoint.needs, scope)
            raise
        if isinstance(answer, artifacts.Fetch):
            await _stream(send, await self._transfers.download(answer.file))
        else:
            await _send(send, cast("bytes", answer), b"application/json")

    async def _run(self, endpoint: Endpoint, call: Call) -> object:
        """Return a file to be fetched, or the answer as it is sent."""

        def work() -> object:
            answer = endpoint.handler(call)
            # Spelled where it was made: that of a long answer would stop the event loop.
            return answer if isinstance(answer, artifacts.Fetch) else _ENCODER.encode(answer)

        if endpoint.lane in {"write", "log"}:
            relaxed = endpoint.lane == "log"
            return await self._lane.run(
                work,
                relaxed=relaxed,
                short=len(call.body) <= SHORT_BODY_BYTES,
            )
        return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._reads)

    async def _know(self, seen: Seen, project: str | None) -> Known:
        known = self._callers.find(seen, project)
        if known is None:
            known = await self._in_thread(lambda: self._callers.ask(seen, project))
        return known

    async def _require(self, known: Known, needs: Permission, scope: Mapping[str, Any]) -> None:
        if allows(known.principal, needs, known.project_key):
            if known.project_key not in self._with_default:
                await self._in_thread(
                    lambda: self._host.ensure_default_experiment(known.principal, known.project)
                )
                self._with_default.add(known.project_key)
            return
        await self._note_denial(known, needs, scope)
        require(known.principal, needs, known.project_key, project=known.project)

    async def _note_denial(self, known: Known, needs: Permission, scope: Mapping[str, Any]) -> None:
        """Journal that somebody was turned away, and keep nobody else waiting meanwhile."""
        path, request = scope["path"], scope[REQUEST_KEY]
        await self._in_thread(
            lambda: self._host.note_denial(
                known.principal, needs, known.project, path=path, request=request
            )
        )

    def _call(
        self,
        known: Known,
        place: _Place,
        scope: Mapping[str, Any],
        *,
        body: bytes = b"",
        parts: Mapping[str, str] | None = None,
    ) -> Call:
        return Call(
            door=self._host.door(known.principal, known.project, request=scope[REQUEST_KEY]),
            base=_address(scope) + place.prefix,
            query=_query(scope["query_string"]),
            body=body,
            path=parts or {},
            method=scope["method"],
        )

    async def _move(
        self,
        path: str,
        known: Known,
        place: _Place,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        path = transfer.safe_path(_decoded(path))
        call = self._call(known, place, scope)
        if scope["method"] == "GET":
            await self._require(known, Permission.RUN_READ, scope)
            file = await self._in_thread(lambda: transfer.find_file(call, path))
            await _stream(send, await self._transfers.download(file))
            return
        await self._require(known, Permission.RUN_WRITE, scope)
        blob = await self._transfers.upload(_incoming(receive))
        await self._lane.run(lambda: transfer.name_file(call, path, blob))
        await _send(send, b"{}", b"application/json")

    async def _take_part(
        self, path: str, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        scope[TEMPLATE] = PARTS
        self._transfers.check_part(path)
        blob = await self._transfers.upload(_incoming(receive))
        etag = (b"etag", f'"{blob.digest}"'.encode())
        await _send(send, b"{}", b"application/json", etag)


class Routes:
    """Finds the endpoint of a request: by its whole path, else by its pattern."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []
        for endpoint in endpoints:
            if "{" not in endpoint.path:
                self._exact[endpoint.method, endpoint.path] = endpoint
                continue
            pattern = re.sub(r"\\\{\\\*(\w+)\\\}", r"(?P<\1>.+)", re.escape(endpoint.path))
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern)
            self._patterns.append((endpoint.method, re.compile(pattern), endpoint))

    def all(self) -> list[Endpoint]:
        """Return every endpoint."""
        return [*self._exact.values(), *(endpoint for _, _, endpoint in self._patterns)]

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """Return the endpoint and the decoded parts of its path; raises MlflowError."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        for known, pattern, endpoint in self._patterns:
            if known == method and (matched := pattern.fullmatch(path)) is not None:
                return endpoint, {
                    name: _decoded(value) for name, value in matched.groupdict().items()
                }
        raise MlflowError(
            NO_ENDPOINT, f"This server has no endpoint {method} {path[:200]} of MLflow's"
        )


def is_mlflow(path: str) -> bool:
    """Tell whether a request's path is one of MLflow's."""
    return path == VERSION_PATH or path.startswith(PREFIXES) or path.startswith(PROJECTS)


def beside(routed: ASGIApp, mlflow: MlflowApp) -> ASGIApp:
    """Return the application that has MLflow's routes answered by `mlflow`, others by `routed`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_mlflow(scope["path"]):
            await mlflow(scope, receive, send)
        else:
            await routed(scope, receive, send)

    return answer


def _place_of(path: str) -> _Place:
    if not path.startswith(PROJECTS):
        return _Place(None, "", path)
    name, slash, rest = path.removeprefix(PROJECTS).partition("/")
    return _Place(_decoded(name), f"{PROJECTS}{name}", f"{slash}{rest}")


def _below_api(path: str) -> str:
    for prefix in ("/api", "/ajax-api"):
        if path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid("Invalid path") from error


def _query(raw: bytes) -> dict[str, list[str]]:
    if not raw:
        return {}
    found: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict"):
            found.setdefault(name, []).append(value)
    except (UnicodeDecodeError, ValueError) as error:
        raise invalid("The query cannot be read") from error
    return found


def _address(scope: Mapping[str, Any]) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return f"{scope['scheme']}://{value.decode('latin-1')}"
    return ""


async def _read(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in _incoming(receive):
        size += len(piece)
        if size > limit:
            raise invalid(f"The request has more than {limit} bytes")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _incoming(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MlflowError("BAD_REQUEST", "The client went away")
        piece = message.get("body", b"")
        if piece:
            yield bytes(piece)
        if not message.get("more_body", False):
            return


async def _refuse(send: Send, error: MlflowError) -> None:
    more = (b"www-authenticate", b'Basic realm="millwright"') if error.status == 401 else None
    headers = [] if more is None else [more]
    await _send(send, error.body(), b"application/json", *headers, status=error.status)


async def _send(
    send: Send, body: bytes, kind: bytes, *headers: tuple[bytes, bytes], status: int = 200
) -> None:
    given = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _stream(send: Send, answer: transfer.Outgoing) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
    async for piece in answer.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
