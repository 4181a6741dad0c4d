"""Every operation of every door through a real server, as its Protocol declares it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from fixtures.example_host import ExampleHost, example_of
from millwright.client.services import Client
from millwright.client.transport import Transport
from millwright.core.errors import Failed, Invalid, NotFound, Unauthenticated, Unreachable
from millwright.doors.door import NOUNS, Door, all_operations
from millwright.doors.operation import BoundOperation
from millwright.testing.clock import FakeClock

OPERATIONS = [pytest.param(bound, id=f"{bound.noun}.{bound.name}") for bound in all_operations()]


@pytest.fixture(scope="module")
def client(address: str, admin_token: str) -> Iterator[Client]:
    with Client(address, admin_token) as client:
        yield client


def call(client: Client, bound: BoundOperation, arguments: dict[str, Any]) -> object:
    return getattr(getattr(client, bound.noun), bound.name)(**arguments)


def spelled(arguments: dict[str, Any]) -> object:
    return {name: msgspec.to_builtins(value) for name, value in arguments.items()}


@pytest.mark.sockets
@pytest.mark.parametrize("bound", OPERATIONS)
def test_arguments_and_result_come_over_whole(
    bound: BoundOperation, client: Client, host: ExampleHost
) -> None:
    arguments = {argument.name: example_of(argument.type) for argument in bound.arguments}
    assert call(client, bound, arguments) == example_of(bound.result)
    name, received, request = host.calls[-1]
    assert name == f"{bound.noun}.{bound.name}"
    assert request
    if name == "serving.plans":
        # The server waits by itself, and never has the door do so.
        assert received.pop("wait_s") == 0.0
        arguments.pop("wait_s")
    assert received == arguments


@pytest.mark.sockets
@pytest.mark.parametrize("bound", OPERATIONS)
def test_what_is_left_out_stays_out(
    bound: BoundOperation, client: Client, host: ExampleHost
) -> None:
    arguments = {a.name: example_of(a.type) for a in bound.arguments if a.is_required}
    call(client, bound, arguments)
    received = host.calls[-1][1]
    received.pop("wait_s", None)
    in_path = bound.operation.path_arguments
    defaults = {a.name: a.default for a in bound.arguments if a.name in in_path}
    assert spelled(received) == spelled(defaults | arguments)


def test_it_is_a_door() -> None:
    client: Door = Client("http://127.0.0.1:1")
    for noun in NOUNS:
        assert hasattr(client, noun)
    assert repr(client.models.create) == "<models.create over http://127.0.0.1:1>"
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        client.models.create(name="x", nmae="y")  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        client.models.create()  # pyright: ignore[reportCallIssue]
    for nothing in ("", ".", ".."):
        with pytest.raises(Invalid, match="cannot be the name"):
            client.models.history(name=nothing)
    with pytest.raises(AttributeError, match="models has no operation 'destroy'"):
        getattr(client.models, "destroy")  # noqa: B009
    client.close()


@pytest.mark.sockets
def test_the_error_of_a_door_is_raised_here(client: Client, host: ExampleHost) -> None:
    def missing(**arguments: object) -> object:
        raise NotFound("no model m", why="there are none", fix="mill model list")

    host.answers["models.show"] = missing
    with pytest.raises(NotFound) as raised:
        client.models.show(ref="m")
    assert str(raised.value) == "no model m\nthere are none\nmill model list"


@pytest.mark.sockets
def test_a_wrong_token(address: str) -> None:
    with Client(address, "mw_wrong") as client, pytest.raises(Unauthenticated):
        client.jobs.status()


def test_nobody_there() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    transport = Transport("http://x", clock=FakeClock(), wire=httpx.MockTransport(refuse))
    with Client("http://x", transport=transport) as client, pytest.raises(Unreachable) as raised:
        client.jobs.status()
    assert raised.value.exit_code == 7


def test_an_answer_of_another_version() -> None:
    def other(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"X-Millwright-Version": "9"}, content=b'{"home":1}')

    transport = Transport("http://x", clock=FakeClock(), wire=httpx.MockTransport(other))
    with (
        Client("http://x", transport=transport) as client,
        pytest.raises(Failed, match="is not what this version knows"),
    ):
        client.jobs.status()
