"""The HTTP side, by real requests on loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.serving import Caller, FolderControl, make_plan, running, split, v2_body, wait_until
from millwright.core.ids import DeploymentId
from millwright.serving.app import MAX_BODY_BYTES

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FolderControl, int]]:
    folder = tmp_path_factory.mktemp("served")
    control = FolderControl(folder / "control")
    one, two = (control.add_model(n, base=1000.0 * n) for n in (1, 2))
    frail = control.add_model(3, base=0.0, fails=True)
    control.publish(
        make_plan(*split(one, two, 0)),
        make_plan(frail, name="frail", deployment=DeploymentId("dep_2")),
    )
    with running(control, folder / "state") as (service, port):
        wait_until(lambda: service.follower.has_plans)
        yield control, port


@pytest.fixture
def call(served: tuple[FolderControl, int]) -> Iterator[Caller]:
    caller = Caller(served[1])
    yield caller
    caller.close()


def test_an_answer_says_who_decided(call: Caller) -> None:
    reply = call.infer([[1, 2]], key="k")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["outputs"] == [
        {"name": "prediction", "datatype": "FP64", "shape": [1], "data": [1021.0]}
    ]
    decision = reply.headers["x-millwright-decision"]
    assert reply.json["parameters"] == {"version": 1, "decision_id": decision, "action": "yes"}
    assert reply.headers["x-millwright-version"] == "1"
    assert reply.headers["x-millwright-model-digest"].startswith("b3:")
    assert int(reply.headers["x-millwright-queue-us"]) >= 0
    assert int(reply.headers["x-millwright-model-us"]) >= 0


def test_each_row_of_a_request_is_a_decision(call: Caller) -> None:
    reply = call.infer([[1, 2], [3, 4], [5, 6]])
    assert len(set(reply.decisions)) == 3
    assert b'"data":[1021.0,1043.0,1065.0]' in reply.body


def test_a_version_can_be_named(call: Caller) -> None:
    reply = call.infer([[1, 2]], path="demo/versions/2")
    assert (reply.status, reply.json["model_version"]) == (200, "2")
    missing = call.infer([[1, 2]], path="demo/versions/9")
    assert (missing.status, missing.error) == (
        404,
        "version 9 of 'demo' is not loaded; loaded: 1, 2",
    )


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/v2", 200, '"name":"millwright"'),
        ("/v2/health/live", 200, '"live":true'),
        ("/v2/health/ready", 200, '"ready":true'),
        ("/v2/models/demo", 200, '"versions":["1","2"]'),
        ("/v2/models/demo/versions/2", 200, '"platform":"affine"'),
        ("/v2/models/demo/ready", 200, '{"name":"demo","ready":true}'),
        ("/v2/models/demo/versions/2/ready", 200, '"ready":true'),
        ("/v2/models/demo/versions/3/ready", 404, "not loaded"),
        ("/v2/models/demp", 404, "did you mean 'demo'?"),
        ("/v2/models/demp/ready", 404, "no deployment"),
        ("/v2/models/demo/versions/x", 404, "not a version"),
        ("/v2/models/demo/infer", 405, "takes POST, not GET"),
        ("/v2/modells", 404, "nothing is at"),
        ("/", 404, "nothing is at"),
        ("/metrics", 200, 'millwright_model_info{deployment="demo",model="affine",version="1"'),
    ],
)
def test_what_is_at_a_path(call: Caller, path: str, status: int, part: str) -> None:
    reply = call.get(path)
    assert (reply.status, part in reply.body.decode()) == (status, True), reply.body
    if status >= 400:
        assert list(reply.json) == ["error"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "GET"])
def test_a_wrong_method_is_405_and_names_the_right_one(call: Caller, method: str) -> None:
    reply = call.send(method, "/v2/models/demo/infer")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not an inference request; Input data was truncated"),
        (b"{", "not an inference request"),
        (b"\xff", "not an inference request"),
        (b'{"inputs": "x"}', r"Expected `array`, got `str` - at `$.inputs`"),
        (b'{"inputs": [{"name": "x"}]}', "missing required field `shape` - at `$.inputs[0]`"),
        (b'{"inputs": []}', "the request has no input tensor"),
        (v2_body([[1, 2, 3]]), "its shape is [1, 3]; the model takes [1, 2]"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[NaN,1]}]}', "not an inf"),
        (v2_body([[1, 2]], key="k" * 2000), "the key has 2000 characters"),
    ],
)
def test_a_bad_request_is_a_precise_400(call: Caller, body: bytes, words: str) -> None:
    reply = call.send("POST", "/v2/models/demo/infer", body)
    assert reply.status == 400
    assert words in reply.error
    # The connection is fit for the next request.
    assert call.infer([[1, 2]]).status == 200


def test_a_failing_model_is_a_500_without_its_secrets(call: Caller) -> None:
    reply = call.infer([[-7, 2]], path="frail")
    assert (reply.status, reply.error) == (500, "the model failed to answer (ValueError)")
    assert reply.headers["x-millwright-decision"].startswith("dec_")
    assert call.infer([[7, 2]], path="frail").status == 200


def test_compressed_and_oversized_bodies_are_refused(
    call: Caller, served: tuple[FolderControl, int]
) -> None:
    headers = {"Content-Encoding": "gzip"}
    reply = call.send("POST", "/v2/models/demo/infer", b"x", headers)
    assert (reply.status, "compressed" in reply.error) == (415, True)
    with socket.create_connection(("127.0.0.1", served[1]), timeout=10) as raw:
        raw.sendall(
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_an_endless_body_is_cut_off(served: tuple[FolderControl, int]) -> None:
    piece = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", served[1]), timeout=20) as raw:
        raw.sendall(
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range((MAX_BODY_BYTES >> 20) + 1):
            raw.sendall(piece)
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_caller_that_goes_away_is_no_fault(
    served: tuple[FolderControl, int], call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", served[1]), timeout=10) as raw:
        raw.sendall(b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert call.infer([[1, 2]]).status == 200
    assert "fault" not in caplog.text


def test_headers_name_key_subject_and_case(call: Caller, served: tuple[FolderControl, int]) -> None:
    names = {"X-Millwright-Key": "k", "X-Millwright-Subject": "s", "X-Millwright-Case": "c"}
    reply = call.send("POST", "/v2/models/demo/infer", v2_body([[1, 2]]), names)
    wanted = reply.headers["x-millwright-decision"]
    control = served[0]
    wait_until(lambda: any(each.id == wanted for each in control.decisions()))
    (found,) = [each for each in control.decisions() if each.id == wanted]
    assert None not in (found.subject, found.case)
    assert len({found.key, found.subject, found.case}) == 3
    assert json.dumps(found.inputs) == '{"a": 1.0, "b": 2.0}'


def test_bytes_that_are_no_text_in_a_header_are_refused(call: Caller) -> None:
    headers = {"X-Millwright-Key": "\xff\xfe"}
    reply = call.send("POST", "/v2/models/demo/infer", v2_body([[1, 2]]), headers)
    assert (reply.status, reply.error.split(";")[0]) == (400, "a header is not UTF-8")


def test_a_server_without_plans_is_alive_and_not_ready(tmp_path: Path) -> None:
    control = FolderControl(tmp_path / "control")
    with control.down(), running(control, tmp_path / "state") as (_, port):
        caller = Caller(port)
        assert caller.get("/v2/health/live").status == 200
        reply = caller.get("/v2/health/ready")
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert caller.get("/v2/models/demo/ready").status == 503
        caller.close()
