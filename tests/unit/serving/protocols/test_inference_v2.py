"""Version 2 of the Open Inference Protocol: its shapes, and a precise no to everything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import pytest

from millwright.core.errors import Invalid, NotFound
from millwright.records.schema import Column, Signature
from millwright.records.serving import Cell
from millwright.serving.protocol import ModelFacts, Route, WireProtocol
from millwright.serving.protocols.inference_v2 import InferenceV2
from millwright.testing.protocols import ROWS, SIGNATURE, WireProtocolSuite, make_answer

V2 = InferenceV2()
DATATYPES = {"age": "INT64", "agee": "INT64", "rate": "FP64", "city": "BYTES", "member": "BOOL"}


class TestInferenceV2(WireProtocolSuite):
    @pytest.fixture
    def protocol(self) -> WireProtocol:
        return InferenceV2()

    def infer_path(self, model: str) -> str:
        return f"/v2/models/{model}/infer"

    def request(self, rows: Sequence[dict[str, Cell]]) -> bytes:
        return json.dumps(
            {
                "inputs": [
                    {
                        "name": name,
                        "shape": [len(rows)],
                        "datatype": DATATYPES[name],
                        "data": [row[name] for row in rows],
                    }
                    for name in rows[0]
                ]
            }
        ).encode()

    def predictions(self, body: bytes) -> list[Cell]:
        (output,) = [each for each in json.loads(body)["outputs"] if each["name"] == "prediction"]
        assert (output["datatype"], output["shape"]) == ("BYTES", [len(output["data"])])
        return cast("list[Cell]", output["data"])


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2", Route("server")),
        ("/v2/", Route("server")),
        ("/v2/health/live", Route("live")),
        ("/v2/health/ready", Route("ready")),
        ("/v2/models/a b", Route("model", "a b")),
        ("/v2/models/a/ready", Route("model-ready", "a")),
        ("/v2/models/a/versions/7", Route("model", "a", 7)),
        ("/v2/models/a/versions/v7/ready", Route("model-ready", "a", 7)),
        ("/v2/models/a/versions/7/infer", Route("infer", "a", 7)),
        ("/v2/models/a/nothing", None),
        ("/v2/models/", None),
        ("/v2/models/a/versions/", None),
        ("/v1/models/a", None),
    ],
)
def test_paths(path: str, route: Route | None) -> None:
    assert V2.route(path) == route


def test_a_version_that_is_no_number_is_not_found() -> None:
    with pytest.raises(NotFound, match="not a version"):
        V2.route("/v2/models/a/versions/new/infer")


def answered(request: dict[str, object]) -> dict[str, object]:
    call = V2.parse(json.dumps({"inputs": [], **request}).encode())
    return cast("dict[str, object]", json.loads(call.encode(make_answer(call))))


def test_the_callers_id_is_echoed_and_a_missing_one_is_the_decisions() -> None:
    assert answered({"id": "mine"})["id"] == "mine"
    response = answered({"id": None, "parameters": None, "outputs": None})
    assert str(response["id"]).startswith("dec_")
    assert (response["model_name"], response["model_version"]) == ("churn", "4")
    parameters = cast("dict[str, object]", response["parameters"])
    assert parameters["version"] == 4
    assert str(parameters["decision_ids"]).split(",")[0] == response["id"]
    assert parameters["actions"] == "none,none,none"


def test_only_the_outputs_asked_for_are_given() -> None:
    response = answered({"outputs": [{"name": "probability"}]})
    assert response["outputs"] == [
        {"name": "probability", "datatype": "FP64", "shape": [3], "data": [0.25, 0.5, 1.0]}
    ]
    with pytest.raises(Invalid, match=r"no output 'probabilty'\n.*did you mean 'probability'"):
        V2.parse(b'{"inputs": [], "outputs": [{"name": "probabilty"}]}').batch(SIGNATURE)


def test_parameters_name_key_subject_and_case() -> None:
    call = V2.parse(b'{"inputs": [], "parameters": {"key": "k", "subject": "s", "n": 1.5}}')
    assert (call.key, call.subject, call.case) == ("k", "s", None)
    with pytest.raises(Invalid, match="'key' must be text"):
        _ = V2.parse(b'{"inputs": [], "parameters": {"key": 7}}').key


def test_metadata_lists_the_columns_as_tensors() -> None:
    outputs = [Column(name="prediction", kind="integer"), Column(name="probability", kind="float")]
    facts = ModelFacts(
        name="m",
        versions=[2, 10],
        flavor="onnx",
        signature=Signature(inputs=[Column(name="x", kind="float")], outputs=outputs),
        widths={"prediction": None, "probability": 3},
    )
    assert json.loads(V2.describe_model(facts)) == {
        "name": "m",
        "versions": ["2", "10"],
        "platform": "onnx",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
        "outputs": [
            {"name": "prediction", "datatype": "INT64", "shape": [-1]},
            {"name": "probability", "datatype": "FP64", "shape": [-1, 3]},
        ],
    }


def test_the_suites_rows_are_what_they_say() -> None:
    assert [list(row) for row in ROWS] == [[each.name for each in SIGNATURE.inputs]] * 3
