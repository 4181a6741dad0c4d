from __future__ import annotations

import json

import pytest

from millwright.core.errors import Invalid
from millwright.records.events import JsonValue
from millwright.records.schema import Column, ColumnKind, Signature
from millwright.registry.mlflowschema import Param, parse_params, parse_signature


def written(**parts: object) -> dict[str, JsonValue]:
    return {name: json.dumps(part) for name, part in parts.items()}


def test_plain_columns_are_ours() -> None:
    kinds = ["boolean", "integer", "long", "float", "double", "string", "datetime"]
    inputs = [{"type": kind, "name": kind, "required": kind != "double"} for kind in kinds]
    signature, why = parse_signature(written(inputs=inputs, outputs=[{"type": "long"}]))
    ours: list[ColumnKind] = [
        "boolean",
        "integer",
        "integer",
        "float",
        "float",
        "text",
        "timestamp",
    ]
    assert signature == Signature(
        inputs=[
            Column(name=name, kind=kind, nullable=name == "double")
            for name, kind in zip(kinds, ours, strict=True)
        ],
        outputs=[Column(name="prediction", kind="integer")],
    )
    assert why == ""


def test_a_table_of_numbers_has_columns_called_by_their_places() -> None:
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}
    labels = {"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}
    signature, why = parse_signature(written(inputs=[spec], outputs=[labels]))
    assert signature == Signature(
        inputs=[Column(name="0", kind="float"), Column(name="1", kind="float")],
        outputs=[Column(name="prediction", kind="integer")],
    )
    assert why == ""


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ([], "without a signature"),
        ([{"type": "binary", "name": "b"}], "a column b of the type binary"),
        ([{"type": "array", "items": {"type": "long"}, "name": "a"}], "a column a of the type"),
        ([{"type": "long", "name": "a"}, {"type": "long", "name": "a"}], "two columns of one name"),
        (
            [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}],
            "tensors ([-1, 28, 28])",
        ),
        (
            [{"type": "tensor", "tensor-spec": {"dtype": "object", "shape": [-1, 2]}}],
            "is of tensors",
        ),
        ([{"type": "tensor"}], "is of tensors"),
    ],
)
def test_what_has_no_columns_says_why(inputs: list[object], why: str) -> None:
    signature, said = parse_signature(written(inputs=inputs))
    assert signature == Signature(inputs=[], outputs=[])
    assert why in said


@pytest.mark.parametrize(
    "outputs",
    [
        [{"type": "long"}, {"type": "long"}],
        [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}],
        [{"type": "any"}],
    ],
)
def test_answers_whose_kind_is_not_said_are_left_open(outputs: list[object]) -> None:
    assert parse_signature(written(inputs=[], outputs=outputs))[0].outputs == []


def test_parameters_have_their_defaults() -> None:
    params: list[dict[str, object]] = [
        {"name": "a", "type": "double", "default": 1.5, "shape": None},
        {"name": "b", "type": "long", "default": [1], "shape": [-1]},
        {"name": "c", "type": "object", "properties": {}, "default": {}, "shape": None},
    ]
    assert parse_params(written(params=params)) == (
        Param("a", "float", 1.5),
        Param("b", "integer", [1], is_list=True),
    )
    assert parse_params({}) == ()


@pytest.mark.parametrize("inputs", ["{", "[1]", 7])
def test_a_signature_of_another_make_is_refused(inputs: JsonValue) -> None:
    with pytest.raises(Invalid, match="the signature's inputs"):
        parse_signature({"inputs": inputs})
