"""One POST to a webhook's address, over the connection that was checked.

The name is looked up here, every address it means is checked, and one of these is connected
to. No proxy is asked, no redirect followed, little of the answer is read, and all of it is over
after `TOTAL_S`, however slowly the receiver talks.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import TypeAlias

from millwright.automation.addresses import Address, Target, find_literal, is_public, not_public
from millwright.core.errors import Unreachable

CONNECT_S = 5.0
TOTAL_S = 15.0
MAX_ANSWER_BYTES = 4096

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Looks up a host and a port; returns addresses, raises OSError."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered."""

    status: int
    body: bytes
    """Its beginning, at most `MAX_ANSWER_BYTES`."""
    retry_after_s: float = 0.0
    """For how long it asks to be left alone, where it says so in seconds."""


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses that a name means, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Poster:
    """Posts to webhooks' addresses; usable from many threads."""

    def __init__(
        self,
        *,
        resolve: Resolve = look_up,
        context: ssl.SSLContext | None = None,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
    ) -> None:
        self._resolve = resolve
        self._context = context
        self._connect_s = connect_s
        self._total_s = total_s

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body` and return the answer, whatever its status.

        Raises Unreachable when there is none, and Invalid when the host means an address that is
        not public and its origin is not allowed.
        """
        addresses = self._addresses(target)
        try:
            plain = self._connect(target, addresses)
        except OSError as error:
            raise _no_answer(target, error) from error
        with plain, _over_after(plain, self._total_s) as is_over:
            try:
                answer = self._ask(target, plain, body, headers)
            except (OSError, HTTPException, ValueError) as error:
                raise _no_answer(target, self._too_long() if is_over() else error) from error
            if is_over():
                # An answer that was cut off may look like a short one.
                raise _no_answer(target, self._too_long())
            return answer

    def _too_long(self) -> str:
        return f"it took more than {self._total_s:g} s"

    def _addresses(self, target: Target) -> list[Address]:
        literal = find_literal(target.host)
        if literal is not None:
            found = [literal]
        else:
            try:
                found = [_parsed(one) for one in self._resolve(target.host, target.port)]
            except (OSError, UnicodeError) as error:
                raise _no_answer(target, error) from error
        if not found:
            raise _no_answer(target, "its name means no address")
        if not target.is_allowed:
            for address in found:
                if not is_public(address):
                    raise not_public(target, address)
        return found

    def _connect(self, target: Target, addresses: Sequence[Address]) -> socket.socket:
        last: OSError | None = None
        for address in addresses:
            try:
                return socket.create_connection(
                    (str(address), target.port), timeout=self._connect_s
                )
            except OSError as error:
                last = error
        assert last is not None, "there is an address"
        raise last

    def _ask(
        self, target: Target, plain: socket.socket, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        plain.settimeout(self._total_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = HTTPConnection(target.host, target.port, timeout=self._total_s)
        connection.sock = plain if target.scheme == "http" else self._encrypted(target, plain)
        try:
            connection.request(
                "POST",
                target.path,
                body,
                {"Host": target.authority, "Connection": "close", **headers},
            )
            answer = connection.getresponse()
            pause = answer.getheader("Retry-After", "").strip()
            return Answer(
                answer.status,
                answer.read(MAX_ANSWER_BYTES),
                float(pause) if pause.isascii() and pause.isdigit() else 0.0,
            )
        finally:
            connection.close()

    def _encrypted(self, target: Target, plain: socket.socket) -> socket.socket:
        context = self._context or ssl.create_default_context()
        return context.wrap_socket(plain, server_hostname=target.host)


@contextmanager
def _over_after(plain: socket.socket, seconds: float) -> Generator[Callable[[], bool]]:
    """Cut the connection when the block takes longer; yields whether that has happened."""
    over = threading.Event()
    # A second handle on the connection: TLS takes the first one over.
    held = plain.dup()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()
        timer.join()
        held.close()


def _parsed(text: str) -> Address:
    # A scope, as in fe80::1%eth0, does not make an address another one.
    return ip_address(text.partition("%")[0])


def _no_answer(target: Target, why: object) -> Unreachable:
    return Unreachable(f"no answer from {target.origin}", why=str(why)[:300])
