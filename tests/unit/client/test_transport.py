"""Requests, tries and errors, against a wire that plays a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import httpx
import msgspec
import pytest

from millwright.client.services import Client
from millwright.client.transport import READ_TIMEOUT_S, SLOWEST_BYTES_S, TRIES, Transport
from millwright.core.digest import digest_bytes
from millwright.core.errors import (
    BY_CODE,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
)
from millwright.core.ids import RequestId
from millwright.server.problems import encode_problem, problem_of
from millwright.testing.clock import FakeClock

OURS = {"X-Millwright-Version": "1"}
Reply = httpx.Response | Exception


class Wire:
    """Answers with what it is given, one after the other, and keeps what was asked."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply


Over = Callable[..., tuple[Transport, Wire, FakeClock]]


@pytest.fixture
def over() -> Iterator[Over]:
    made: list[Transport] = []

    def make(
        *replies: Reply, token: str | None = None, read_timeout_s: float = READ_TIMEOUT_S
    ) -> tuple[Transport, Wire, FakeClock]:
        wire, clock = Wire(replies), FakeClock()
        transport = Transport(
            "http://mill.example:8420/",
            token=token,
            project="loans",
            clock=clock,
            jitter=lambda: 1.0,
            read_timeout_s=read_timeout_s,
            wire=httpx.MockTransport(wire),
        )
        made.append(transport)
        return transport, wire, clock

    yield make
    for transport in made:
        transport.close()


def yes(body: bytes = b"1") -> httpx.Response:
    return httpx.Response(200, headers=OURS, content=body)


def problem(error: MillwrightError) -> httpx.Response:
    document = problem_of(error, request=RequestId("req_1"))
    headers = OURS | {"Content-Type": "application/problem+json"}
    return httpx.Response(document.status, headers=headers, content=encode_problem(document))


def test_who_asks_for_what_travels_in_headers(over: Over) -> None:
    transport, wire, _ = over(yes(b"{}"), token="mw_secret")
    assert transport.call("GET", "/api/v1/a%2Fb", query={"q": "ä &"}) == b"{}"
    request = wire.requests[0]
    assert str(request.url) == "http://mill.example:8420/api/v1/a%2Fb?q=%C3%A4+%26"
    assert request.headers["authorization"] == "Bearer mw_secret"
    assert request.headers["x-millwright-project"] == "loans"


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_a_problem_document_becomes_the_error_it_was(
    kind: type[MillwrightError], over: Over
) -> None:
    transport, _, _ = over(problem(kind("what", why="why", fix="fix")))
    with pytest.raises(kind) as raised:
        transport.call("POST", "/x", body=b"{}")
    assert type(raised.value) is kind
    assert str(raised.value) == "what\nwhy\nfix"


def test_a_code_of_a_later_version_is_still_an_error(over: Over) -> None:
    body = msgspec.json.encode({"code": "new-kind", "detail": "what", "more": 1})
    headers = OURS | {"Content-Type": "application/problem+json"}
    transport, _, _ = over(httpx.Response(418, headers=headers, content=body))
    with pytest.raises(Failed, match="what"):
        transport.call("GET", "/x")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "trouble", [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.Response(503)]
)
def test_what_may_be_sent_twice_is_tried_again(method: str, trouble: Reply, over: Over) -> None:
    transport, wire, clock = over(trouble, trouble, yes())
    assert transport.call(method, "/x") == b"1"
    assert len(wire.requests) == 3
    assert clock.monotonic_s() == pytest.approx(0.1 + 0.2)


def test_it_gives_up_after_some_tries(over: Over) -> None:
    transport, wire, _ = over(httpx.ConnectError("connection refused"))
    with pytest.raises(Unreachable, match="no server answers at http:") as told:
        transport.call("GET", "/x")
    assert told.value.why == "connection refused"
    assert len(wire.requests) == TRIES


@pytest.mark.parametrize("trouble", [httpx.ReadError("reset"), httpx.Response(502)])
def test_a_post_is_never_sent_twice(trouble: Reply, over: Over) -> None:
    transport, wire, _ = over(trouble, yes())
    with pytest.raises(Unreachable):
        transport.call("POST", "/x", body=b"{}")
    assert len(wire.requests) == 1


def test_little_patience_is_more_for_what_is_large(over: Over) -> None:
    transport, wire, _ = over(httpx.ReadTimeout("slow"))
    quick, quick_wire, _ = over(httpx.ReadTimeout("slow"), read_timeout_s=5.0)
    with pytest.raises(TimedOut, match="took more than 5 s"):
        quick.call("POST", "/x")
    with pytest.raises(TimedOut, match="took more than 7 s"):
        quick.call("POST", "/x", body=b"x" * (2 * SLOWEST_BYTES_S))
    with pytest.raises(TimedOut, match="took more than 60 s"):
        quick.upload("/x", lambda: [b"x"], size_bytes=1 << 30)
    with pytest.raises(TimedOut, match="took more than 60 s"):
        transport.call("POST", "/x", body=b"x" * SLOWEST_BYTES_S)
    with pytest.raises(TimedOut, match="took more than 65 s"):
        Client(quick.url, transport=quick).data.add(
            name="rows", digest=digest_bytes(b""), format="csv", source=""
        )
    assert (len(wire.requests), len(quick_wire.requests)) == (1, 4)


def test_a_server_that_takes_too_long_is_not_asked_again(over: Over) -> None:
    transport, wire, _ = over(httpx.ReadTimeout("slow"))
    with pytest.raises(TimedOut, match="took more than 60 s"):
        transport.call("GET", "/x")
    with pytest.raises(TimedOut, match="took more than 90 s"):
        transport.call("GET", "/x", waits_s=30)
    assert len(wire.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>"),
        httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
        httpx.Response(404, content=b"nginx"),
        httpx.Response(429, content=b"slower"),
        httpx.Response(500, content=b"oops"),
        httpx.Response(
            409,
            headers={"Content-Type": "application/problem+json"},
            content=b'{"code":"conflict","detail":"of a gateway"}',
        ),
    ],
)
def test_what_is_no_server_of_ours_is_as_good_as_away(reply: Reply, over: Over) -> None:
    transport, wire, _ = over(reply)
    with pytest.raises(Unreachable, match="does not answer like a Millwright server"):
        transport.call("POST", "/x")
    assert [request.url.host for request in wire.requests] == ["mill.example"]


def test_an_answer_that_cannot_be_decoded_is_no_answer(over: Over) -> None:
    transport, _, _ = over(
        httpx.Response(
            200,
            headers=OURS | {"Content-Encoding": "gzip"},
            stream=httpx.ByteStream(b"no gzip at all"),
        )
    )
    with pytest.raises(Unreachable, match="broke off"):
        transport.call("POST", "/x")


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_proxy_that_wants_a_token_is_told_as_one(status: int, over: Over) -> None:
    transport, _, _ = over(httpx.Response(status, content=b"who are you"))
    with pytest.raises(Unreachable, match="set MILLWRIGHT_TOKEN"):
        transport.call("POST", "/x")


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (403, Denied), (400, Failed), (500, Failed)]
)
def test_a_head_tells_by_its_status(status: int, kind: type[MillwrightError], over: Over) -> None:
    transport, _, _ = over(httpx.Response(status, headers=OURS))
    with pytest.raises(kind):
        transport.size("/x")


def test_a_download_begins_anew_when_it_breaks_off(over: Over) -> None:
    class Breaks(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("reset")

    transport, _, _ = over(httpx.Response(200, headers=OURS, stream=Breaks()), yes(b"whole"))
    assert transport.download("/x", b"".join) == b"whole"


def test_an_upload_makes_its_body_anew_for_each_try(over: Over) -> None:
    transport, wire, _ = over(httpx.Response(503), yes(b""))
    transport.upload("/x", lambda: [b"ab", b"c"], size_bytes=3)
    assert [request.content for request in wire.requests] == [b"abc", b"abc"]
    assert wire.requests[0].headers["content-length"] == "3"
    assert "transfer-encoding" not in wire.requests[0].headers


@pytest.mark.parametrize(
    "url", ["", "localhost:8420", "ftp://x", "http://", "http://me:pw@x", "http://x?token=1"]
)
def test_an_address_that_cannot_be_one(url: str) -> None:
    with pytest.raises(Invalid):
        Transport(url)
