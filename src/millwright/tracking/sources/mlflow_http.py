"""Requests to an MLflow server.

Only reading is done. A server that is busy is asked again a few times; what it answers in
anger becomes an error of ours that names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import unquote, urlunsplit

import httpx
import msgspec
from msgspec import Struct

from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import (
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    Unauthenticated,
    Unreachable,
)
from millwright.tracking.sources.mlflow_answers import Page
from millwright.tracking.sources.mlflow_words import no_address, split_address, without_login

TIMEOUT_S = 60.0
TRIES = 4
_FIRST_PAUSE_S = 0.5
_BUSY = frozenset({429, 500, 502, 503, 504})
_PIECE_BYTES = 1 << 20


S = TypeVar("S", bound=Struct)
P = TypeVar("P", bound=Page)
Question: TypeAlias = Mapping[str, object]


class MlflowHttp:
    """Speaks with one MLflow server.

    `address` is its URL; a name and password in it are sent as basic authentication, `token`
    as a bearer's. `wire` replaces the network, for tests. Raises Invalid on a bad address.
    """

    def __init__(
        self,
        address: str,
        *,
        user: str | None = None,
        password: str = "",
        token: str | None = None,
        clock: Clock | None = None,
        wire: httpx.BaseTransport | None = None,
    ) -> None:
        parts = split_address(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid(
                f"{without_login(address)!r} is no address of an MLflow server",
                fix="give one such as http://127.0.0.1:5000",
            )
        host = parts.netloc.rpartition("@")[2]
        self.address = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        if parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
        self._clock = clock or SystemClock()
        try:
            self._http = httpx.Client(
                base_url=self.address,
                auth=None if user is None else (user, password),
                headers={} if token is None else {"Authorization": f"Bearer {token}"},
                trust_env=False,
                timeout=TIMEOUT_S,
                transport=wire,
            )
        except httpx.InvalidURL as error:
            raise no_address(address) from error

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, route: str, question: Question, shape: type[S]) -> S:
        """Return the answer to a GET; raises NotFound, Denied, Unreachable and Failed."""
        params = {key: str(value) for key, value in question.items()}
        return self._parsed(self._asked("GET", route, params=params), shape)

    def post(self, route: str, question: Question, shape: type[S]) -> S:
        """Return the answer to a POST that only asks; raises as `get` does."""
        return self._parsed(self._asked("POST", route, body=question), shape)

    def get_pages(self, route: str, question: Question, shape: type[P]) -> Iterator[P]:
        """Iterate over the pages of an answer to a GET; raises as `get` does."""
        return _in_pages(question, lambda asked: self.get(route, asked, shape))

    def post_pages(self, route: str, question: Question, shape: type[P]) -> Iterator[P]:
        """Iterate over the pages of an answer to a POST that only asks; raises as `get` does."""
        return _in_pages(question, lambda asked: self.post(route, asked, shape))

    def download(self, route: str, target: Path) -> Path:
        """Write the body of an answer to a file, piece by piece, and return the file."""
        try:
            with self._http.stream("GET", route) as response:
                if response.status_code != HTTPStatus.OK:
                    response.read()
                    raise self._refusal(response, route)
                with target.open("wb") as stream:
                    for piece in response.iter_bytes(_PIECE_BYTES):
                        stream.write(piece)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        return target

    def _asked(
        self,
        method: str,
        route: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Question | None = None,
    ) -> httpx.Response:
        pause_s = _FIRST_PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                response = self._http.request(method, route, params=params, json=body)
            except httpx.HTTPError as error:
                if not left:
                    raise self._away(error) from error
            else:
                if response.status_code == HTTPStatus.OK:
                    return response
                if response.status_code not in _BUSY or not left:
                    raise self._refusal(response, route)
            self._clock.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def _parsed(self, response: httpx.Response, shape: type[S]) -> S:
        try:
            # Python's reader, for it knows the bare NaN that some versions write.
            answer = json.loads(response.content)
            parsed = msgspec.convert(answer, shape, strict=False)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            raise Failed(
                f"{self.address} does not answer as an MLflow server does",
                why=f"{response.request.url.path}: {error}"[:300],
            ) from error
        # All of a page may be missing, so that any object would do for one with nothing in it. A
        # server of MLflow's leaves out what is empty, and tells nothing that is not known here.
        if answer and not answer.keys() & {one.name for one in msgspec.structs.fields(shape)}:
            raise Failed(
                f"{self.address} does not answer as an MLflow server does",
                why=f"{response.request.url.path}: it tells of {', '.join(answer)}"[:300],
            )
        return parsed

    def _refusal(self, response: httpx.Response, route: str) -> MillwrightError:
        path = route.partition("?")[0]
        page = response.headers.get("content-type", "").startswith("text/html")
        # What is written for a browser tells nobody anything in a terminal.
        why = "it answers with a page for browsers" if page else response.text[:300]
        if response.status_code == HTTPStatus.NOT_FOUND:
            return NotFound(f"{self.address} has nothing at {path}", why=why)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            return Unauthenticated(
                f"{self.address} does not know who is asking",
                fix="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN",
            )
        if response.status_code == HTTPStatus.FORBIDDEN:
            return Denied(f"{self.address} lets nobody read {path}", why=why)
        return Failed(f"{self.address} answered {response.status_code} to {path}", why=why)

    def _away(self, error: httpx.HTTPError) -> Unreachable:
        return Unreachable(
            f"the MLflow server at {self.address} does not answer",
            why=f"{type(error).__name__}: {error}",
            fix="start it, or import from its database: --from sqlite:///PATH",
        )


def _in_pages(question: Question, ask: Callable[[Question], P]) -> Iterator[P]:
    seen: set[str] = set()
    token = ""
    while True:
        page = ask({**question, "page_token": token} if token else question)
        yield page
        token = page.next_page_token
        # One that comes round again would never end.
        if not token or token in seen:
            return
        seen.add(token)
