"""Tensors in JSON become columns, and what does not fit is refused in words."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.records.schema import Column, ColumnKind, Signature
from millwright.serving.protocols.inference_v2 import InferenceV2
from millwright.serving.tensors import Batch, Tensor, batch_of

NUMBERS = [Column(name="a", kind="float"), Column(name="b", kind="integer")]
FLOATS = [Column(name=name, kind="float") for name in "abc"]


def tensor(
    data: object, *, shape: list[int], datatype: str = "FP64", name: str = "x"
) -> dict[str, object]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def batch(tensors: list[dict[str, object]], columns: list[Column]) -> Batch:
    return batch_of(msgspec.json.decode(json.dumps(tensors).encode(), type=list[Tensor]), columns)


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_flat_and_nested_data_and_columns_are_the_same_rows(rows: list[list[float]]) -> None:
    flat = [value for row in rows for value in row]
    shape = [len(rows), 3]
    by_column = [
        tensor([[row[at]] for row in rows], shape=[len(rows), 1], name=name)
        for at, name in enumerate("abc")
    ]
    expected = [dict(zip("abc", row, strict=True)) for row in rows]
    for tensors in ([tensor(flat, shape=shape)], [tensor(rows, shape=shape)], by_column[::-1]):
        found = batch(tensors, FLOATS)
        assert list(found.rows) == expected
        assert list(found.columns) == ["a", "b", "c"]
        assert np.array_equal(np.stack(list(found.columns.values()), axis=1), np.array(rows))


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "INT64", "UINT8", "UINT64"])
def test_a_tensor_of_any_numbers_fills_numeric_columns(datatype: str) -> None:
    found = batch([tensor([1, 2, 3, 4], shape=[2, 2], datatype=datatype)], NUMBERS)
    assert found.columns["a"].dtype == np.float64
    assert found.columns["b"].dtype == np.int64
    assert found.columns["b"].tolist() == [2, 4]


def test_whole_numbers_in_a_tensor_of_floats_are_whole_in_the_record_too() -> None:
    found = batch([tensor([1.5, 2.0], shape=[1, 2])], NUMBERS)
    assert json.dumps(found.rows[0]) == '{"a": 1.5, "b": 2}'
    with pytest.raises(Invalid, match=r"'b' takes whole numbers, not 2\.5"):
        batch([tensor([1.5, 2.5], shape=[1, 2])], NUMBERS)


def test_missing_values_are_nan_or_none_where_a_column_may_lack_them() -> None:
    columns = [
        Column(name="a", kind="float", nullable=True),
        Column(name="i", kind="integer", nullable=True),
        Column(name="t", kind="text", nullable=True),
    ]
    found = batch(
        [
            tensor([None, 1.0], shape=[2], name="a"),
            tensor([[None], [3]], shape=[2, 1], name="i", datatype="INT32"),
            tensor([None, "x"], shape=[2], name="t", datatype="BYTES"),
        ],
        columns,
    )
    assert np.isnan(found.columns["a"].astype(np.float64)).tolist() == [True, False]
    assert found.columns["i"].dtype == np.float64
    assert found.columns["t"].tolist() == [None, "x"]
    assert found.rows[0] == {"a": None, "i": None, "t": None}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([], "no input tensor"),
        ([tensor([1, 2, 3], shape=[-1, 3])], "every size is 1 or more"),
        ([tensor([], shape=[0, 3])], "every size is 1 or more"),
        ([tensor([1], shape=[])], "lacks 3 of the model's 3|not there|no input 'x'"),
        ([tensor([1, 2, 3, 4], shape=[1, 4])], r"its shape is \[1, 4\]; the model takes \[1, 3\]"),
        ([tensor([1, 2], shape=[1, 3])], r"\[1, 3\] is 3 elements; data has 2"),
        ([tensor([[1, 2], [3]], shape=[1, 3])], "nesting of data is not that of its shape"),
        ([tensor([[1, 2], [3, 4]], shape=[1, 3])], "nesting of data"),
        ([tensor([[[1, 2, 3]]], shape=[1, 3])], "does not hold FP64"),
        ([tensor([1, "2", 3], shape=[1, 3])], r"Expected `float .*`, got `str` - at `\$\[1\]`"),
        ([tensor([1, True, 3], shape=[1, 3])], "got `bool`"),
        ([tensor([1, None, 3], shape=[1, 3])], "'b' cannot lack a value"),
        ([tensor([1, 2, 3], shape=[1, 3], datatype="FP128")], "'FP128' is not a datatype; known"),
        ([tensor([1, 2, 3], shape=[1, 3], datatype="FP16")], "only in binary form"),
        ([tensor([1, 2, 3], shape=[1, 3], datatype="BOOL")], "datatype is BOOL; the model takes"),
        ([tensor([1, 2, 300], shape=[1, 3], datatype="INT8")], "300 is outside of INT8"),
        ([tensor([1, 2, -1], shape=[1, 3], datatype="UINT16")], "-1 is outside of UINT16"),
        ([tensor([1, 2, 1e39], shape=[1, 3], datatype="FP32")], "1e[+]39 is outside of FP32"),
        ([tensor([1, 2.5, 3], shape=[1, 3], datatype="INT32")], "got `float`"),
        ([tensor({"b64": ""}, shape=[1, 3])], "does not hold FP64"),
        ([tensor(None, shape=[1, 3])], "does not hold FP64"),
        ([tensor([1], shape=[20_000, 3])], "20000 rows in one request"),
        ([tensor([1], shape=[1], name="a")], "lacks 2 of the model's 3 inputs\nnot there: b, c"),
        ([tensor([1], shape=[1], name="a")] * 2, "'a' is given twice"),
        ([tensor([1], shape=[1], name=name) for name in "abd"], "no input 'd'"),
        (
            [tensor([1], shape=[1], name=name) for name in "ab"]
            + [tensor([1, 2], shape=[2], name="c")],
            "'c' cannot be taken\nit has 2 rows; 'a' has 1",
        ),
        (
            [tensor([1, 2], shape=[1, 2], name=name) for name in "abc"],
            r"its shape is \[1, 2\]; a column is \[n\] or \[n, 1\]",
        ),
        ([{"name": "x", "shape": [1, 3], "datatype": "FP64"}], "it has no data"),
        (
            [
                {
                    "name": "x",
                    "shape": [1, 3],
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": 24},
                }
            ],
            "binary tensors are not taken",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    tensors: list[dict[str, object]], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        batch(tensors, FLOATS)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_number_beyond_64_signed_bits_is_refused(number: int) -> None:
    with pytest.raises(Invalid, match="64 bits"):
        batch(
            [tensor([number], shape=[1], name="n", datatype="UINT64")],
            [Column(name="n", kind="integer")],
        )


def test_one_tensor_cannot_hold_text_beside_numbers() -> None:
    columns = [*FLOATS, Column(name="city", kind="text")]
    with pytest.raises(
        Invalid, match="'city' is not\nsend a tensor for each column: a, b, c, city"
    ):
        batch([tensor([1, 2, 3, 4], shape=[1, 4])], columns)


@pytest.mark.parametrize(
    ("kind", "datatype", "good", "bad"),
    [
        ("text", "BYTES", "x", 1),
        ("boolean", "BOOL", True, 1),
        ("integer", "UINT32", 7, 0.5),
        ("float", "FP32", 0.5, "0.5"),
    ],
)
def test_a_single_column_takes_its_own_datatype(
    kind: ColumnKind, datatype: str, good: object, bad: object
) -> None:
    columns = [Column(name="x", kind=kind)]
    found = batch([tensor([[good]], shape=[1, 1], datatype=datatype)], columns)
    assert found.rows == [{"x": good}]
    with pytest.raises(Invalid, match="'x' cannot be taken"):
        batch([tensor([bad], shape=[1], datatype=datatype)], columns)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-10, 10) | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.lists(st.integers(-2, 5), max_size=3),
    st.sampled_from(["FP32", "INT8", "UINT64", "BYTES", "BOOL", "FP16", ""]),
)
def test_any_tensor_is_taken_or_invalid(data: object, shape: list[int], datatype: str) -> None:
    body = json.dumps({"inputs": [tensor(data, shape=shape, datatype=datatype)]}).encode()
    with suppress(Invalid):
        InferenceV2().parse(body).batch(Signature(inputs=FLOATS, outputs=[]))
