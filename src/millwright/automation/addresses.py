"""Where a webhook may point: which addresses may be given, and which may be connected to.

Whoever can make a webhook has this machine connect to where he likes, from inside its network.
So a webhook reaches public addresses only, by https only, and what is connected to is the very
address that was checked: a name that means another address a moment later gains nothing.
Exceptions are listed by origin in the settings.

Source: OWASP, Server-Side Request Forgery Prevention; RFC 6890 (special-purpose addresses).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from millwright.core.errors import Invalid

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

MAX_URL_CHARS = 2000
PORTS = {"https": 443, "http": 80}

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's address, taken apart."""

    scheme: str
    host: str
    """Without brackets."""
    port: int
    path: str
    """As it stands in the request's first line, with the query."""
    is_allowed: bool
    """Whether the settings list its origin, so that it may lie inside and need no https."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: all of the address that may be repeated in messages.

        The path of many receivers is a secret.
        """
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, allowed: Iterable[str] = ()) -> Target:
    """Return what `url` means; `allowed` are origins that may lie inside and need no https.

    Raises Invalid for one that is not to be had, without repeating its path.
    """
    if len(url) > MAX_URL_CHARS or _UNSAFE.search(url):
        raise Invalid(
            "the URL of a webhook cannot be read",
            why=f"it has {len(url)} characters"
            if len(url) > MAX_URL_CHARS
            else "it has a space or a character that must be written in percent form",
        )
    target = _taken_apart(url)
    listed = {_taken_apart(one).origin for one in allowed}
    target = Target(
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        path=target.path,
        is_allowed=target.origin in listed,
    )
    if target.scheme != "https" and not target.is_allowed:
        raise Invalid(
            f"a webhook at {target.origin} would not be encrypted",
            why="only https is allowed",
            fix=_listed(target),
        )
    literal = find_literal(target.host)
    if literal is not None and not target.is_allowed and not is_public(literal):
        raise not_public(target, literal)
    return target


def check_origin(origin: str) -> str:
    """Return an origin of the settings; raises Invalid for anything that is none."""
    target = _taken_apart(origin)
    if target.path != "/" or origin.endswith("/"):
        raise Invalid(
            f"{target.origin} is followed by a path",
            why="webhooks are allowed by origin: scheme, host and port",
            fix=f"write {target.origin}",
        )
    return target.origin


def find_literal(host: str) -> Address | None:
    """Return the address that a host is written as, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Tell whether an address lies in the open network, whatever it is wrapped in.

    >>> is_public(ipaddress.ip_address("::ffff:169.254.169.254"))
    False
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast and not address.is_reserved


def not_public(target: Target, address: Address) -> Invalid:
    """Return the error that a webhook leads inside."""
    return Invalid(
        f"a webhook at {target.origin} would lead to {address}",
        why="this is no address of the open network",
        fix=_listed(target),
    )


def _taken_apart(url: str) -> Target:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as error:
        raise Invalid("the URL of a webhook cannot be read", why=str(error)) from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not host or port == 0 or "%" in host:
        raise Invalid(
            "the URL of a webhook has no host that can be asked",
            why=f"its scheme is {scheme[:20]!r}, its host {host[:80]!r}",
            fix="give one as https://hooks.example.com/path",
        )
    if parts.username is not None or parts.password is not None:
        raise Invalid(
            "the URL of a webhook holds a name or a password",
            why="whoever may see webhooks would see it",
            fix="give the webhook a secret: what it is sent is signed with it",
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme=scheme, host=host, port=port or PORTS[scheme], path=path, is_allowed=False)


def _listed(target: Target) -> str:
    return f'list it in millwright.toml: [webhooks] allow = ["{target.origin}"]'
