"""Who is asking, and whether he may: asked once for every request, before its body is read.

A bearer token says who. Without one a request is let in only where the server was started open
on loopback, and then only from this machine, under a name of this machine (a web page whose
name was rebound to 127.0.0.1 still sends its own in `Host`), and, when it would change
something, not from a page of another origin. A route that declares no permission opens to
nobody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from millwright.access.permissions import Principal, allows, require
from millwright.core.errors import Denied, Invalid, NotFound, Unauthenticated
from millwright.core.ids import RequestId
from millwright.core.refs import check_name
from millwright.records.access import Permission
from millwright.server.host import Host
from millwright.server.problems import REQUEST_KEY

PROJECT_HEADER = "x-millwright-project"
DEFAULT_PROJECT = "default"
NEEDS = "needs"
"""The key of a route's `opt` under which its permissions stand."""
CALLER = "caller"
"""The name in a request's state under which who is asking stands."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
# No project has this key, so it holds nothing but what holds in every project.
NO_PROJECT = -1

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a route asks of its caller: any one of these permissions, or nothing at all."""

    any_of: tuple[Permission, ...]

    @property
    def is_public(self) -> bool:
        """Tell whether anybody may call it, known or not."""
        return not self.any_of


PUBLIC = Needs(())

_TELLING = frozenset({b"authorization", b"host", b"origin", PROJECT_HEADER.encode()})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for what project; made only for requests that were let in."""

    principal: Principal
    project: str
    project_key: int
    request: RequestId

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller may also do this in the project asked for."""
        return allows(self.principal, permission, self.project_key)


def check_bind(host: str, *, authenticated: bool) -> None:
    """Return when the server may listen on `host`.

    Raises Invalid when it would be open to other machines without asking who they are.
    """
    if authenticated or _is_loopback(host):
        return
    raise Invalid(
        f"the server will not listen on {host or 'every address'} without authentication",
        why="whoever reaches that address could do everything; open access is for loopback only",
        fix="listen on 127.0.0.1, or start it without --open and make tokens: mill token create",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a request tells who sends it."""

    method: str
    peer: str
    """The address at the other end of the connection."""
    authorization: str | None
    host: str
    origin: str | None
    project: str | None
    """As the request names it, unchecked."""


def seen_of(scope: Mapping[str, Any]) -> Seen:
    """Return what tells who sends a request; raises Invalid for a header that is sent twice."""
    peer = scope.get("client")
    found: dict[bytes, str] = {}
    # One pass for all: this runs before every request, and a metric costs little more.
    for name, value in scope["headers"]:
        key = name.lower()
        if key in _TELLING:
            if key in found:
                raise Invalid(f"the header {key.decode()} was sent twice", fix="send it once")
            found[key] = value.decode("latin-1").strip()
    return Seen(
        method=scope["method"],
        peer=peer[0] if peer else "",
        authorization=found.get(b"authorization"),
        host=found.get(b"host", ""),
        origin=found.get(b"origin"),
        project=found.get(PROJECT_HEADER.encode()),
    )


def project_of(seen: Seen) -> str | None:
    """Return the project that a request names; raises Invalid for a name that cannot be."""
    return None if seen.project is None else check_name(seen.project, "project")


class Identify:
    """Finds out who sends a request; the one place where a credential is looked at."""

    def __init__(self, host: Host, *, open_on_loopback: bool) -> None:
        self._host = host
        self._open_on_loopback = open_on_loopback

    def principal(self, seen: Seen) -> Principal:
        """Return who it is; raises Unauthenticated."""
        if seen.authorization is None:
            self.check_local(seen)
            return self._host.local_principal()
        scheme, _, secret = seen.authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated(
                "the Authorization header holds no bearer token",
                fix="send Authorization: Bearer mw_…",
            )
        try:
            return self._host.authenticate(secret.strip())
        except Unauthenticated:
            # One answer for all: whether a token was ever issued is nobody's business.
            raise Unauthenticated(
                "this token opens nothing",
                why="it is unknown, expired or revoked, or its owner is disabled",
                fix="make a new one: mill token create",
            ) from None

    def check_local(self, seen: Seen) -> None:
        """Return when a request without credentials may come in; raises Unauthenticated."""
        if not self._open_on_loopback:
            raise Unauthenticated(
                "this server wants to know who is asking",
                why="the request carries no token",
                fix="send Authorization: Bearer TOKEN (make one: mill token create)",
            )
        _check_local(seen)

    def only_project(self, principal: Principal) -> str:
        """Return the project that a token is limited to, else the default one."""
        if principal.project_key is None:
            return DEFAULT_PROJECT
        return self._host.project_name(principal.project_key)

    def project_key(self, name: str) -> int:
        """Return the key of a project; raises NotFound."""
        return self._host.project_key(name)


class Gate:
    """Lets requests through, or raises Unauthenticated or Denied."""

    def __init__(self, host: Host, *, open_on_loopback: bool, limiter: CapacityLimiter) -> None:
        self._host = host
        self._identify = Identify(host, open_on_loopback=open_on_loopback)
        self._limiter = limiter

    async def check(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Let a request reach `handler`, as a guard of Litestar's."""
        needs = handler.opt.get(NEEDS)
        if not isinstance(needs, Needs):
            raise Denied("this route declares no permission, so it opens to nobody")
        if needs.is_public:
            return
        scope = cast("Mapping[str, Any]", connection.scope)
        caller = await to_thread.run_sync(
            lambda: self._admit(
                needs, seen_of(scope), path=scope["path"], request=scope[REQUEST_KEY]
            ),
            limiter=self._limiter,
        )
        connection.state[CALLER] = caller

    def _admit(self, needs: Needs, seen: Seen, *, path: str, request: RequestId) -> Caller:
        principal = self._identify.principal(seen)
        project = project_of(seen) or DEFAULT_PROJECT
        missing: NotFound | None = None
        try:
            key = self._host.project_key(project)
        except NotFound as error:
            # Said only to who may see every project: to others a project that does not exist
            # looks like one that they may not enter.
            key, missing = NO_PROJECT, error
        if not any(allows(principal, needed, key) for needed in needs.any_of):
            try:
                require(principal, needs.any_of[0], key, project=project)
            except Denied:
                if missing is None:
                    self._host.note_denial(
                        principal, needs.any_of[0], project, path=path, request=request
                    )
                raise
        if missing is not None:
            raise missing
        return Caller(principal, project, key, request)


def caller_of(connection: Connection) -> Caller:
    """Return who asks, as the gate found out; for handlers of routes that are not public."""
    found: object = connection.state[CALLER]
    assert isinstance(found, Caller), "the gate runs before every handler that is not public"
    return found


def _check_local(seen: Seen) -> None:
    hint = "use a token from elsewhere: mill token create"
    if not _is_loopback(seen.peer):
        raise Unauthenticated("without a token only this machine itself is let in", fix=hint)
    if not _is_loopback(_name_of(f"//{seen.host}")):
        raise Unauthenticated(
            f"without a token this server answers to localhost only, not to {seen.host[:80]!r}",
            why="a web page could have its own name point at this machine",
            fix="use http://localhost or http://127.0.0.1, or a token",
        )
    origin = seen.origin
    if seen.method not in SAFE_METHODS and origin is not None and not _is_same(origin, seen.host):
        raise Unauthenticated(
            "a page of another origin may change nothing here without a token",
            why=f"the request comes from {origin[:80]!r}",
            fix=hint,
        )


@lru_cache(maxsize=1024)
def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
