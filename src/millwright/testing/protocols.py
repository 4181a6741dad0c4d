"""What every wire protocol must do, whatever its bytes look like.

A protocol's own test says how its requests and answers are spelled, and inherits the rest:

    class TestInferenceV2(WireProtocolSuite):
        @pytest.fixture
        def protocol(self) -> WireProtocol:
            return InferenceV2()
        ...
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from millwright.core.digest import parse_digest
from millwright.core.errors import Invalid
from millwright.core.ids import DecisionId, DeploymentId, ModelVersionId, new_id
from millwright.records.schema import Column, Signature
from millwright.records.serving import WEIGHT_TOTAL, Cell, Decision, Variant
from millwright.serving.protocol import Answer, Call, ModelFacts, Output, WireProtocol

SIGNATURE = Signature(
    inputs=[
        Column(name="age", kind="integer"),
        Column(name="rate", kind="float", nullable=True),
        Column(name="city", kind="text"),
        Column(name="member", kind="boolean"),
    ],
    outputs=[
        Column(name="prediction", kind="text"),
        Column(name="probability", kind="float"),
    ],
)
ROWS: tuple[dict[str, Cell], ...] = (
    {"age": 41, "rate": 0.5, "city": "Zürich", "member": True},
    {"age": -3, "rate": -1e300, "city": "", "member": False},
    {"age": 2**53, "rate": 0.1, "city": 'a"b\\\n', "member": True},
)


class WireProtocolSuite:
    """The conformance suite for `WireProtocol`."""

    @pytest.fixture
    def protocol(self) -> WireProtocol:
        """Return the protocol to be tried."""
        raise NotImplementedError

    def infer_path(self, model: str) -> str:
        """Return the path of a request for an answer."""
        raise NotImplementedError

    def request(self, rows: Sequence[dict[str, Cell]]) -> bytes:
        """Return the body that asks for an answer to rows of `SIGNATURE`."""
        raise NotImplementedError

    def predictions(self, body: bytes) -> list[Cell]:
        """Return what the body of an answer says of each row."""
        raise NotImplementedError

    def test_it_finds_its_paths_and_no_others(self, protocol: WireProtocol) -> None:
        """A path means one thing; what is not ours is None, not an error."""
        route = protocol.route(self.infer_path("churn"))
        assert route is not None
        assert (route.action, route.model, route.method) == ("infer", "churn", "POST")
        for path in ("/", "", "/metrics", "/v9/models/churn/infer", self.infer_path("a") + "/x"):
            assert protocol.route(path) is None, path

    @pytest.mark.parametrize("count", [1, 3])
    def test_rows_arrive_as_they_were_sent(self, protocol: WireProtocol, count: int) -> None:
        """Columns have the signature's order and kinds; rows are what was sent."""
        batch = protocol.parse(self.request(ROWS[:count])).batch(SIGNATURE)
        assert list(batch.rows) == list(ROWS[:count])
        assert list(batch.columns) == ["age", "rate", "city", "member"]
        kinds = [values.dtype for values in batch.columns.values()]
        assert kinds == [np.int64, np.float64, np.object_, np.bool_]
        for name, values in batch.columns.items():
            assert values.tolist() == [row[name] for row in ROWS[:count]]

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"inputs": 3}'],
    )
    def test_a_body_that_is_no_request_is_invalid(
        self, protocol: WireProtocol, body: bytes
    ) -> None:
        """Whatever the bytes are, the answer is Invalid, never another exception."""
        with pytest.raises(Invalid):
            protocol.parse(body).batch(SIGNATURE)

    @pytest.mark.parametrize("name", ["age", "rate", "city", "member"])
    def test_a_missing_column_is_named(self, protocol: WireProtocol, name: str) -> None:
        """A row that lacks a column is the caller's fault, and he is told which."""
        row = {key: value for key, value in ROWS[0].items() if key != name}
        with pytest.raises(Invalid, match=name):
            protocol.parse(self.request([row])).batch(SIGNATURE)

    def test_an_unknown_column_is_named(self, protocol: WireProtocol) -> None:
        """A misspelled column is named, with the nearest known one."""
        row = {("agee" if key == "age" else key): value for key, value in ROWS[0].items()}
        with pytest.raises(Invalid, match="agee"):
            protocol.parse(self.request([row])).batch(SIGNATURE)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("age", 1.5), ("age", "4"), ("rate", "x"), ("city", 3), ("member", 1), ("age", None)],
    )
    def test_a_wrong_kind_is_named(self, protocol: WireProtocol, name: str, value: Cell) -> None:
        """A value of another kind than the signature's is refused, and its column named."""
        with pytest.raises(Invalid, match=name):
            protocol.parse(self.request([{**ROWS[0], name: value}])).batch(SIGNATURE)

    def test_an_answer_says_what_the_model_said(self, protocol: WireProtocol) -> None:
        """Each row's prediction is in the answer, in order."""
        call = protocol.parse(self.request(ROWS))
        body = call.encode(make_answer(call))
        assert self.predictions(body) == ["no", "yes", 'b"\\']

    def test_what_it_says_of_itself_is_json(self, protocol: WireProtocol) -> None:
        """Descriptions, readiness and errors are JSON, and an error keeps its words."""
        facts = ModelFacts(
            name="churn",
            versions=[3, 4],
            flavor="onnx",
            signature=SIGNATURE,
            widths={"prediction": None, "probability": None},
        )
        bodies = [
            protocol.describe_model(facts),
            protocol.describe_server(),
            protocol.say_live(),
            protocol.say_ready("churn"),
            protocol.say_ready(None),
        ]
        assert all(isinstance(json.loads(body), dict) for body in bodies)
        assert 'it "broke"\n' in json.loads(protocol.say_error('it "broke"\n')).values()


def make_answer(call: Call) -> Answer:
    """Return an answer to the three rows of `ROWS`."""
    del call  # every call gets the same
    digest = parse_digest("b3:" + "0" * 64)
    variant = Variant(
        role="champion",
        version=4,
        model_version=ModelVersionId(new_id("mov")),
        digest=digest,
        package_digest=digest,
        weight=WEIGHT_TOTAL,
    )
    decisions = [
        Decision(
            id=DecisionId(new_id("dec")),
            n=at,
            time_us=at,
            deployment=DeploymentId(new_id("dep")),
            revision=1,
            role="champion",
            version=4,
            digest=digest,
            inputs=dict(row),
            key="",
            action="none",
        )
        for at, row in enumerate(ROWS)
    ]
    outputs = {
        "prediction": Output("text", [3], ["no", "yes", 'b"\\']),
        "probability": Output("float", [3], [0.25, 0.5, 1.0]),
    }
    return Answer("churn", variant, decisions, outputs)
