"""Who asks on MLflow's routes, remembered for a second: looking it up costs more than a metric.

MLflow's clients send a bearer token, or a name and a password: the password is then a token's
secret, and the name its owner's. A token that was revoked opens nothing a second later.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TypeAlias

from millwright.access.permissions import Principal, require
from millwright.core.clock import Clock
from millwright.core.errors import NotFound, Unauthenticated
from millwright.records.access import Permission
from millwright.server.auth import NO_PROJECT, Identify, Seen

KEEP_S = 1.0
MAX_KEPT = 10_000

_Key: TypeAlias = "tuple[str, str]"


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody let in to a project."""

    principal: Principal
    project: str
    project_key: int
    until_s: float


class Callers:
    """Asks who is asking, and keeps the answer for `KEEP_S`."""

    def __init__(self, identify: Identify, clock: Clock) -> None:
        self._identify = identify
        self._clock = clock
        self._kept: dict[_Key, Known] = {}

    def find(self, seen: Seen, project: str | None) -> Known | None:
        """Return who this is when it was asked less than a second ago; costs next to nothing."""
        if seen.authorization is None:
            # Who is let in for being on this machine is held against each request.
            self._identify.check_local(seen)
        known = self._kept.get((seen.authorization or "", project or ""))
        if known is None or known.until_s < self._clock.monotonic_s():
            return None
        return known

    def ask(self, seen: Seen, project: str | None) -> Known:
        """Return who this is; raises Unauthenticated, Denied and NotFound."""
        header = seen.authorization
        principal = self._identify.principal(seen if header is None else _as_bearer(seen, header))
        _check_name(header, principal)
        name = project or self._identify.only_project(principal)
        try:
            key = self._identify.project_key(name)
        except NotFound:
            # To others a project that is not there looks like one that they may not enter.
            require(principal, Permission.RUN_READ, NO_PROJECT, project=name)
            raise
        known = Known(principal, name, key, self._clock.monotonic_s() + KEEP_S)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[header or "", project or ""] = known
        return known


def _as_bearer(seen: Seen, header: str) -> Seen:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return seen
    return replace(seen, authorization=f"Bearer {_name_and_secret(rest)[1]}")


def _check_name(header: str | None, principal: Principal) -> None:
    scheme, _, rest = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return
    name = _name_and_secret(rest)[0]
    if name not in {"", "token", principal.name}:
        raise Unauthenticated(
            f"this token is not {name}'s",
            fix="give the name of the token's owner, or `token`",
        )


def _name_and_secret(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated("the Authorization header cannot be read") from error
    name, _, secret = text.partition(":")
    if not secret:
        raise Unauthenticated(
            "the Authorization header holds no password",
            fix="set MLFLOW_TRACKING_PASSWORD to a token: mill token create",
        )
    return name, secret
