"""The one place where an error becomes an HTTP answer: problem+json (RFC 9457).

Beside the standard's members a document carries `code`, `why` and `fix`, from which the client
raises the very error the server did. What was not raised on purpose is answered without its
text, which may hold anything, and logged under the request id that the answer names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import msgspec
from litestar.connection import Request
from litestar.exceptions import HTTPException
from litestar.response import Response
from msgspec import Struct

from millwright.core.errors import BY_CODE, MillwrightError
from millwright.core.ids import RequestId, new_id

MEDIA_TYPE = "application/problem+json"
REQUEST_KEY = "millwright.request"
"""Under which a request's id lies in its ASGI scope."""

AnyRequest: TypeAlias = Request[Any, Any, Any]

_LOG = logging.getLogger("millwright.server")
_CODE_OF_STATUS = {401: "unauthenticated", 403: "denied", 404: "not-found", 501: "unsupported"}


class ProblemDocument(Struct, frozen=True, kw_only=True):
    """What went wrong, for programs and for people."""

    type: str
    """`/problems/<code>`: a name, relative to the server, not a page to be fetched."""
    title: str
    status: int
    detail: str
    """What happened."""
    code: str
    why: str = ""
    fix: str = ""
    instance: str
    """The request's id, under which events and the server's log know it."""


def problem_of(
    error: MillwrightError, *, request: RequestId, status: int | None = None
) -> ProblemDocument:
    """Return the document for an error of ours; `status` where HTTP has a closer one."""
    return ProblemDocument(
        type=f"/problems/{error.code}",
        title=(type(error).__doc__ or error.code).partition("\n")[0].rstrip("."),
        status=error.status if status is None else status,
        detail=error.what,
        code=error.code,
        why=error.why,
        fix=error.fix,
        instance=request,
    )


def answer_known(request: AnyRequest, error: MillwrightError) -> Response[bytes]:
    """Answer an error that was raised on purpose."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return _respond(problem_of(error, request=request_id(request)), headers)


def answer_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer what the web framework found wrong: no such route, method, or a body too large."""
    status = error.status_code
    code = _CODE_OF_STATUS.get(status, "invalid" if status < 500 else "failed")
    place = f"{request.method} {request.scope['path']}"
    what = {
        404: f"no such route: {place}",
        405: f"no such method on this route: {place}",
        413: f"the body of {place} is too large",
    }.get(status, f"{place}: {error.detail}")
    fix = "see /api/v1/openapi.json for what there is" if status in {404, 405} else ""
    document = problem_of(BY_CODE[code](what, fix=fix), request=request_id(request), status=status)
    return _respond(document, error.headers)


def answer_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer what nobody foresaw, telling the log what it was and the caller where to look."""
    known_as = request_id(request)
    _LOG.error("%s %s failed", known_as, request.method, exc_info=error)
    return _respond(unexpected(known_as), None)


def unexpected(request: RequestId) -> ProblemDocument:
    """Return the document that says no more than that we failed."""
    return problem_of(
        BY_CODE["failed"](
            "the server failed on this request",
            why=f"the cause stands in the server's log under {request}",
            fix="look there, or send that id to who runs the server",
        ),
        request=request,
    )


def encode_problem(document: ProblemDocument) -> bytes:
    """Return the document as it goes over the wire."""
    return msgspec.json.encode(document)


def request_id(request: AnyRequest) -> RequestId:
    """Return the id that the edge gave a request."""
    scope = cast("Mapping[str, object]", request.scope)
    found = scope.get(REQUEST_KEY)
    return RequestId(found if isinstance(found, str) else new_id("req"))


def _respond(document: ProblemDocument, headers: Mapping[str, str] | None) -> Response[bytes]:
    return Response(
        encode_problem(document),
        status_code=document.status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )
