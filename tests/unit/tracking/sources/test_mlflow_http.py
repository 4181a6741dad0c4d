from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from msgspec import Struct

from millwright.core.errors import (
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    Unauthenticated,
    Unreachable,
)
from millwright.testing.clock import FakeClock
from millwright.tracking.sources.mlflow_answers import (
    ArtifactAnswer,
    ExperimentsAnswer,
    ModelsAnswer,
)
from millwright.tracking.sources.mlflow_http import TRIES, MlflowHttp


class Number(Struct, frozen=True, kw_only=True):
    value: float | str


def spoken(
    answer: Callable[[httpx.Request], httpx.Response], *, token: str | None = None
) -> MlflowHttp:
    return MlflowHttp(
        "http://ada:secret@host:5000",
        token=token,
        clock=FakeClock(),
        wire=httpx.MockTransport(answer),
    )


def test_a_busy_server_is_asked_again_and_credentials_go_along() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        busy = len(asked) < TRIES
        return httpx.Response(503 if busy else 200, json={"value": 1.5})

    http = spoken(answer)
    assert http.get("/x", {"a": 1}, Number) == Number(value=1.5)
    assert len(asked) == TRIES
    assert asked[0].url == "http://host:5000/x?a=1"
    assert asked[0].headers["Authorization"].startswith("Basic ")
    http.close()
    quoted = MlflowHttp("http://ada:s%2F%40@host", wire=httpx.MockTransport(answer))
    quoted.get("/x", {}, Number)
    basic = asked[-1].headers["Authorization"].removeprefix("Basic ")
    assert b64decode(basic) == b"ada:s/@"
    quoted.close()
    bearer = MlflowHttp("http://host", token="t", wire=httpx.MockTransport(answer))
    bearer.get("/x", {}, Number)
    assert asked[-1].headers["Authorization"] == "Bearer t"
    bearer.close()


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (404, NotFound, "http://host:5000 has nothing at /x"),
        (401, Unauthenticated, "http://host:5000 does not know who is asking"),
        (403, Denied, "http://host:5000 lets nobody read /x"),
        (400, Failed, "http://host:5000 answered 400 to /x"),
        (500, Failed, "http://host:5000 answered 500 to /x"),
    ],
)
def test_refusals_become_errors(status: int, kind: type[MillwrightError], what: str) -> None:
    http = spoken(lambda _: httpx.Response(status, text="no"))
    with pytest.raises(kind, match=what):
        http.post("/x", {}, Number)
    http.close()


def test_a_server_that_is_away_is_named() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    http = spoken(answer)
    for ask in (lambda: http.get("/x", {}, Number), lambda: http.download("/x", Path("x"))):
        with pytest.raises(Unreachable, match="http://host:5000 does not answer") as away:
            ask()
        assert "secret" not in str(away.value)
    http.close()


@pytest.mark.parametrize("body", ["<html>", '{"other": 1}', "[" * 100_000, '{"value": []}'])
def test_another_server_is_told_apart(body: str) -> None:
    http = spoken(lambda _: httpx.Response(200, text=body))
    with pytest.raises(Failed, match="does not answer as an MLflow server does"):
        http.get("/x", {}, Number)
    http.close()


def test_any_object_is_no_page() -> None:
    bodies = iter(['{"hello": 1}', "{}", '{"root_uri": "file:///a"}'])
    http = spoken(lambda _: httpx.Response(200, text=next(bodies)))
    with pytest.raises(Failed, match="does not answer as an MLflow server does") as told:
        http.get("/x", {}, ExperimentsAnswer)
    assert told.value.why == "/x: it tells of hello"
    assert http.get("/x", {}, ExperimentsAnswer).experiments == []
    assert http.get("/x", {}, ArtifactAnswer).files == []
    http.close()


def test_a_page_for_browsers_is_not_printed() -> None:
    http = spoken(lambda _: httpx.Response(501, html="<html>Unsupported"))
    with pytest.raises(Failed) as told:
        http.get("/x", {}, Number)
    assert told.value.why == "it answers with a page for browsers"
    http.close()


def test_a_bare_nan_is_read() -> None:
    http = spoken(lambda _: httpx.Response(200, text='{"value": NaN}'))
    assert http.get("/x", {}, Number).value != 0
    http.close()


def test_pages_are_read_until_there_are_no_more_or_they_come_round_again() -> None:
    tokens = iter(["one", "two", "one", "never"])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"next_page_token": next(tokens)})

    http = spoken(answer)
    pages = list(http.get_pages("/x", {}, ModelsAnswer))
    assert [page.next_page_token for page in pages] == ["one", "two", "one"]
    http.close()


def test_a_file_is_written_piece_by_piece(tmp_path: Path) -> None:
    http = spoken(lambda _: httpx.Response(200, content=b"x" * 3_000_000))
    assert http.download("/x", tmp_path / "f").stat().st_size == 3_000_000
    http.close()
    http = spoken(lambda _: httpx.Response(404, text="gone"))
    with pytest.raises(NotFound):
        http.download("/x?y=1", tmp_path / "g")
    assert not (tmp_path / "g").exists()
    http.close()


@pytest.mark.parametrize("address", ["", "host:5000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="no address of an MLflow server"):
        MlflowHttp(address)
