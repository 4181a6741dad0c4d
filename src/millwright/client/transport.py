"""Requests to a Millwright server: sent, tried again where that is safe, and their errors raised.

A request that changes nothing when it is sent twice (GET, HEAD, PUT, DELETE) is tried again when
the server could not be reached or asks for patience; a POST never, since nobody can tell whether
the first one arrived. A problem document becomes the error that the server raised.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import (
    BY_CODE,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unauthenticated,
    Unreachable,
)

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
SLOWEST_BYTES_S = 64 << 10
"""With whom little patience is had, has a second more for so many bytes that are sent."""
TRIES = 4
FIRST_PAUSE_S = 0.1
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
BUSY = frozenset({502, 503, 504})

Pieces = Callable[[], Iterable[bytes]]
"""Makes the body anew for each try."""


class _Problem(Struct, frozen=True, kw_only=True):
    code: str
    detail: str = ""
    why: str = ""
    fix: str = ""
    instance: str = ""


class Transport:
    """Speaks HTTP with one server, as one token and one project; safe for many threads.

    `url` is the server's address, such as `http://127.0.0.1:8420`. Proxies are not taken from
    the environment. `wire` replaces the network, for tests. Raises Invalid on a bad address.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        project: str = "default",
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        read_timeout_s: float = READ_TIMEOUT_S,
        wire: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _check_url(url)
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._read_timeout_s = read_timeout_s
        headers = {"X-Millwright-Project": project, "Accept": "application/json, */*"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            trust_env=False,
            # Reading the certificates takes 20 ms, and without TLS nobody would look at them:
            # redirects are not followed.
            verify=self.url.startswith("https:"),
            transport=wire,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        waits_s: float = 0.0,
    ) -> bytes:
        """Send a request and return the body of its answer, empty when there is none.

        `path` begins below the server's address and is percent-encoded already. `waits_s` is how
        long the server may take on purpose. Raises the error the server raised; Unreachable when
        it does not answer, TimedOut when it takes too long.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}

        def once() -> bytes:
            with self._sent(
                method,
                path,
                query=query,
                headers=headers,
                content=body,
                size_bytes=len(body or b""),
                waits_s=waits_s,
            ) as response:
                return response.read()

        return self._try(method, once)

    def size(self, path: str) -> int:
        """Return the length that a HEAD of `path` tells; raises as `call` does."""

        def once() -> int:
            with self._sent("HEAD", path) as response:
                return _length_of(response)

        return self._try("HEAD", once)

    def upload(self, path: str, pieces: Pieces, *, size_bytes: int) -> None:
        """PUT a body of `size_bytes` piece by piece; raises as `call` does."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_bytes),
        }

        def once() -> None:
            with self._sent(
                "PUT", path, headers=headers, content=iter(pieces()), size_bytes=size_bytes
            ) as response:
                response.read()

        self._try("PUT", once)

    def download(self, path: str, take: Callable[[Iterable[bytes]], T]) -> T:
        """GET a body, hand it piece by piece to `take`, and return what that returns.

        `take` is called anew for each try. Raises as `call` does.
        """

        def once() -> T:
            with self._sent("GET", path) as response:
                return take(response.iter_bytes(1 << 20))

        return self._try("GET", once)

    def _try(self, method: str, once: Callable[[], T]) -> T:
        tries = TRIES if method in IDEMPOTENT else 1
        for n in range(1, tries + 1):
            try:
                return once()
            except Unreachable:
                if n == tries:
                    raise
            # Full jitter, so that many clients of a server that comes back do not come at once.
            self._clock.sleep(FIRST_PAUSE_S * 2 ** (n - 1) * (0.5 + self._jitter() / 2))
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        size_bytes: int = 0,
        waits_s: float = 0.0,
    ) -> Generator[httpx.Response]:
        most_s = max(self._read_timeout_s, READ_TIMEOUT_S)
        read_s = min(self._read_timeout_s + size_bytes / SLOWEST_BYTES_S, most_s)
        timeout = httpx.Timeout(read_s + waits_s, connect=CONNECT_TIMEOUT_S)
        begun = False
        try:
            with self._http.stream(
                method,
                path,
                params=dict(query or {}),
                headers=dict(headers or {}),
                content=content,
                timeout=timeout,
            ) as response:
                self._check(method, path, response)
                begun = True
                yield response
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TimeoutException as error:
            raise TimedOut(
                f"{self.url} took more than {timeout.read:.3g} s for {method} {path}",
                why="it may still be at work",
                fix="see its state before you ask again",
            ) from error
        except httpx.RequestError as error:
            if begun:
                raise Unreachable(
                    f"{self.url} broke off in the middle of {method} {path}",
                    why=str(error) or type(error).__name__,
                    fix="try again; when it happens again its log says why",
                ) from error
            raise self._unreachable(error) from error

    def _check(self, method: str, path: str, response: httpx.Response) -> None:
        """Return when the answer is a Millwright server's yes; raise its error otherwise."""
        if response.is_success and "x-millwright-version" in response.headers:
            return
        kind = response.headers.get("content-type", "")
        ours = "x-millwright-version" in response.headers
        if ours and method == "HEAD" and response.status_code in _BY_STATUS:
            what = f"{self.url} answers {response.status_code} to {method} {path}"
            raise _BY_STATUS[response.status_code](what)
        if ours and kind.startswith("application/problem+json") and method != "HEAD":
            raise _error_of(response.read())
        if response.status_code in BUSY:
            raise Unreachable(
                f"{self.url} answers {response.status_code} to {method} {path}",
                why="the server, or a proxy before it, is not ready",
                fix="try again shortly",
            )
        if ours:
            raise Failed(f"{self.url} answers {response.status_code} to {method} {path}")
        # A proxy before the server says nothing of what was asked; tomorrow it may let it through.
        fix = "check the address; the control plane listens on port 8420 by default"
        if response.status_code in _WANTS_TOKEN:
            fix = "a proxy before the server refuses the token, or wants one: set MILLWRIGHT_TOKEN"
        raise Unreachable(
            f"{self.url} does not answer like a Millwright server",
            why=f"it answers {response.status_code} to {method} {path}, with {kind or 'no type'}",
            fix=fix,
        )

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"no server answers at {self.url}",
            why=str(error) or type(error).__name__,
            fix="start one with mill up or mill server, or check --url",
        )


_WANTS_TOKEN = frozenset({401, 403, 407})
# A HEAD carries no document; its status has to do.
_BY_STATUS: dict[int, type[MillwrightError]] = {401: Unauthenticated, 403: Denied, 404: NotFound}


def _check_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Invalid(f"{url[:200]!r} is not the address of a server", why=str(error)) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Invalid(
            f"{url[:200]!r} is not the address of a server",
            fix="give one such as http://127.0.0.1:8420",
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise Invalid(
            "the address of a server holds no credentials, query or fragment",
            fix="give the token as such in MILLWRIGHT_TOKEN",
        )
    return url.rstrip("/")


def _error_of(body: bytes) -> MillwrightError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError as error:
        return Failed("the server sent an error that cannot be read", why=str(error))
    kind = BY_CODE.get(problem.code, Failed)
    return kind(problem.detail or problem.code, why=problem.why, fix=problem.fix)


def _length_of(response: httpx.Response) -> int:
    text = response.headers.get("content-length", "")
    if not text.isdecimal():
        raise Failed("the server did not tell how many bytes it holds", why=f"it said {text!r}")
    return int(text)
