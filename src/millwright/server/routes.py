"""One route for each operation of the doors: read the request, call the door, answer.

Nothing is written down a second time. Method, path, permission, arguments and result come from
the operation that a door declares; msgspec checks the arguments against its types and names the
key that is unknown or wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import msgspec
from anyio import CapacityLimiter, to_thread
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from millwright.core.errors import Invalid
from millwright.doors.door import all_operations
from millwright.doors.operation import BoundOperation
from millwright.records.serving import Plans
from millwright.server.auth import NEEDS, Caller, Needs, caller_of
from millwright.server.following import PlanFollower
from millwright.server.host import Host
from millwright.server.problems import AnyRequest

PREFIX = "/api/v1"
MAX_JSON_BYTES = 8 << 20
MAX_WAIT_S = 60.0
WITH_BODY = frozenset({"POST", "PUT"})

T = TypeVar("T")
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation as a route: how its request is read."""

    bound: BoundOperation
    given: type[msgspec.Struct]
    """The arguments that do not travel in the path; unknown ones are refused."""

    @property
    def has_body(self) -> bool:
        """Tell whether arguments travel as JSON rather than in the query."""
        return self.bound.operation.method in WITH_BODY


def endpoints() -> list[Endpoint]:
    """Return every operation of every door as a route."""
    return [_endpoint_of(bound) for bound in all_operations()]


class Operations:
    """Makes the handlers; holds what they share."""

    def __init__(self, host: Host, *, follower: PlanFollower, limiter: CapacityLimiter) -> None:
        self._host = host
        self._follower = follower
        self._limiter = limiter

    def handlers(self) -> list[HTTPRouteHandler]:
        """Return one handler for each operation of the doors."""
        return [self._handler_of(endpoint) for endpoint in endpoints()]

    def _handler_of(self, endpoint: Endpoint) -> HTTPRouteHandler:
        bound = endpoint.bound
        waits = bound.result is Plans

        async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
            caller, arguments = caller_of(request), await read_arguments(endpoint, request)
            if waits:
                return _respond(await self._wait_for_plans(caller, bound, arguments))
            return _respond(await self._in_thread(lambda: self._call(caller, bound, arguments)))

        declared = bound.operation
        return HTTPRouteHandler(
            PREFIX + declared.path.replace("}", ":str}"),
            http_method=declared.method,
            name=f"{bound.noun}.{bound.name}",
            opt={NEEDS: Needs((declared.needs,))},
            status_code=200,
            request_max_body_size=MAX_JSON_BYTES,
        )(answer)

    def _call(self, caller: Caller, bound: BoundOperation, arguments: dict[str, Any]) -> bytes:
        """Call the door, and spell the result here too, away from the event loop."""
        result = self._ask(caller, bound, arguments)
        return b"" if result is None else _ENCODER.encode(result)

    def _ask(self, caller: Caller, bound: BoundOperation, arguments: dict[str, Any]) -> object:
        door = self._host.door(caller.principal, caller.project, request=caller.request)
        return getattr(getattr(door, bound.noun), bound.name)(**arguments)

    async def _wait_for_plans(
        self, caller: Caller, bound: BoundOperation, arguments: dict[str, Any]
    ) -> bytes:
        """Answer at once what is newer than `after`, and otherwise when something changes."""
        after, wait_s = arguments.get("after", -1), arguments.get("wait_s", 0.0)
        if not wait_s >= 0:
            raise Invalid(f"nobody can wait for {wait_s} s", fix=f"wait for 0 to {MAX_WAIT_S:g} s")
        loop = asyncio.get_running_loop()
        until = loop.time() + min(wait_s, MAX_WAIT_S)

        def look() -> tuple[int, Plans]:
            # The revision first: a change between the two is then seen at the next look.
            seen = self._host.plan_revision()
            return seen, cast("Plans", self._ask(caller, bound, {**arguments, "wait_s": 0.0}))

        while True:
            seen, plans = await self._in_thread(look)
            left_s = until - loop.time()
            if plans.revision > after or left_s <= 0:
                return _ENCODER.encode(plans)
            if not await self._follower.wait(seen, timeout_s=left_s):
                return _ENCODER.encode(plans)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._limiter)


def read_path(request: AnyRequest) -> dict[str, str]:
    """Return the arguments in the path, decoded here and nowhere else; raises Invalid."""
    try:
        return {
            name: unquote(str(value), errors="strict")
            for name, value in request.path_params.items()
        }
    except UnicodeDecodeError as error:
        raise Invalid("the path is not UTF-8", why=str(error)) from error


async def read_arguments(endpoint: Endpoint, request: AnyRequest) -> dict[str, Any]:
    """Return an operation's arguments as a request gives them; those left out stay out.

    Raises Invalid, naming the argument, when one is missing, unknown, given twice or of a wrong
    type.
    """
    found: dict[str, Any] = dict(read_path(request))
    if endpoint.has_body:
        _refuse_query(request)
        raw = await request.body()
        if raw and not request.headers.get("content-type", "").startswith("application/json"):
            raise Invalid(
                "the body is not declared as JSON", fix="send Content-Type: application/json"
            )
        read = lambda: msgspec.json.decode(raw or b"{}", type=endpoint.given)  # noqa: E731
    else:
        query = _query_of(request)
        read = lambda: msgspec.convert(query, type=endpoint.given, strict=False)  # noqa: E731
    try:
        given = read()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            f"{endpoint.bound.noun}.{endpoint.bound.name} cannot take this: {error}",
            fix="see /api/v1/openapi.json for what it takes",
        ) from error
    for name in given.__struct_fields__:
        value = getattr(given, name)
        if value is not msgspec.UNSET:
            found[name] = value
    return found


def _endpoint_of(bound: BoundOperation) -> Endpoint:
    in_path = bound.operation.path_arguments
    fields: list[Any] = [
        (argument.name, argument.type)
        if argument.is_required
        # The door knows its own default; here it only matters whether one was given.
        else (argument.name, argument.type | msgspec.UnsetType, msgspec.UNSET)
        for argument in bound.arguments
        if argument.name not in in_path
    ]
    given = msgspec.defstruct(
        "".join(part.capitalize() for part in f"{bound.noun}_{bound.name}".split("_")) + "Request",
        fields,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return Endpoint(bound, given)


def _query_of(request: AnyRequest) -> dict[str, str]:
    raw = request.scope["query_string"]
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise Invalid("the query is not UTF-8", why=str(error)) from error
    query = dict(pairs)
    if len(query) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Invalid(f"the query gives {name[:80]!r} more than once")
            seen.add(name)
    return query


def _refuse_query(request: AnyRequest) -> None:
    if request.scope["query_string"]:
        raise Invalid(
            "this operation takes nothing in the query",
            fix="send its arguments as one JSON object in the body",
        )


def _respond(body: bytes) -> Response[bytes]:
    status = 200 if body else 204
    return Response(body or None, status_code=status, media_type="application/json")  # pyright: ignore[reportReturnType]
