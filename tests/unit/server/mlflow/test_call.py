from __future__ import annotations

from typing import cast

import pytest
from msgspec import Struct

from millwright.core.errors import NotFound
from millwright.core.ids import RunId, new_id, to_hex
from millwright.doors.door import Door
from millwright.server.mlflow.call import Call, model_of, need, of_run, parse_body, run_of
from millwright.server.mlflow.errors import MlflowError
from millwright.tracking.handles import NotActive


class Asked(Struct, frozen=True):
    name: str = ""
    limit: int = 5
    many: list[str] = []
    value: float | str | None = None


def call(method: str, *, body: bytes = b"", **query: list[str]) -> Call:
    door = cast("Door", object())
    return Call(door=door, base="", query=query, body=body, path={"key": "k"}, method=method)


def test_a_get_is_read_from_its_query() -> None:
    asked = call("GET", name=["a"], limit=["7"], many=["x", "y"], unknown=["z"])
    assert asked.read(Asked) == Asked("a", 7, ["x", "y"])
    assert asked.part("key") == "k"


def test_others_are_read_from_their_body() -> None:
    body = b'{"name": "a", "limit": "7", "unknown": 1}'
    assert call("POST", body=body, name=["b"]).read(Asked) == Asked("a", 7)
    # Some clients send a DELETE's arguments in its query.
    assert call("DELETE", name=["b"]).read(Asked) == Asked("b")
    assert call("POST").read(Asked) == Asked()


def test_a_body_may_hold_what_python_writes() -> None:
    found = parse_body(b'{"value": NaN}', Asked).value
    assert found != found
    assert parse_body(b'{"value": -Infinity}', Asked).value == float("-inf")
    assert parse_body(b'"{\\"name\\": \\"twice\\"}"', Asked).name == "twice"


def test_the_parameter_that_is_wrong_is_named() -> None:
    with pytest.raises(MlflowError) as raised:
        parse_body(b'{"limit": "many"}', Asked)
    assert raised.value.message.startswith("Invalid value \"many\" for parameter 'limit' supplied")
    with pytest.raises(MlflowError, match="cannot be read as JSON"):
        parse_body(b"{", Asked)


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(MlflowError, match="surrogates not allowed"):
        parse_body(b'{"name": "\\ud800"}', Asked)
    assert parse_body(b'{"value": NaN, "name": "\\ud83d\\ude00"}', Asked).name == "\U0001f600"


def test_ids_are_read_from_their_digits() -> None:
    run = new_id("run")
    assert run_of(to_hex(run)) == run
    model = new_id("lgm")
    assert model_of(f"m-{to_hex(model)}") == model
    for text, code in ((None, "INVALID_PARAMETER_VALUE"), ("abc", "RESOURCE_DOES_NOT_EXIST")):
        for read in (run_of, model_of):
            with pytest.raises(MlflowError) as raised:
                read(text)
            assert raised.value.code == code
    assert need("x", "x") == "x"


def test_what_runs_raise_is_said_in_mlflows_words() -> None:
    with pytest.raises(MlflowError, match="Run with id=abc not found"), of_run("abc"):
        raise NotFound("run")
    inactive = "The run abc must be in the 'active' state. Current state is deleted."
    with pytest.raises(MlflowError, match=inactive), of_run("abc"):
        raise NotActive(RunId(new_id("run")))
