from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.boosters import xgb_classifier
from millwright.core.errors import Corrupt
from millwright.registry.ubjson import MAX_DEPTH, Ubj, decode_ubjson

MODEL = bytes(xgb_classifier().get_booster().save_raw("ubj"))


def plain(value: Ubj) -> object:
    """Return a decoded value with its arrays as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_a_model_reads_as_its_json_does() -> None:
    booster = xgb_classifier().get_booster()
    expected = json.loads(bytes(booster.save_raw("json")))
    found: Any = plain(decode_ubjson(bytes(booster.save_raw("ubj"))))
    left, right = (each["learner"]["gradient_booster"]["model"] for each in (found, expected))
    for key in ("left_children", "right_children", "split_indices", "parents"):
        assert [tree[key] for tree in left["trees"]] == [tree[key] for tree in right["trees"]]
    assert found["learner"]["objective"] == expected["learner"]["objective"]
    np.testing.assert_allclose(
        left["trees"][0]["split_conditions"], right["trees"][0]["split_conditions"], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"NZ", None),
        (b"[TF]", [True, False]),
        (b"[#i\x02i\x01U\xff", [1, 255]),
        (b"SU\x02hi", "hi"),
        (b"Cx", "x"),
        (b"I\x01\x00", 256),
        (b"D\x3f\xf0\x00\x00\x00\x00\x00\x00", 1.0),
        (b"{U\x01aL" + b"\xff" * 8 + b"}", {"a": -1}),
    ],
)
def test_values_are_read(data: bytes, value: object) -> None:
    assert decode_ubjson(data) == value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "1 bytes are due"),
        (b"{}x", "1 bytes stand behind"),
        (b"X", "begins no value"),
        (b"{U\x01aTU\x01aT}", "given twice"),
        (b"[$d#L\x7f" + b"\xff" * 7, "are due"),
        (b"[#L\x7f" + b"\xff" * 7, "are due"),
        (b"[$S#U\x01", "an array of b'S'"),
        (b"SSU\x01x", "a length is due"),
        (b"Si\xff", "a length is due"),
        (b"SU\x01\xff", "not UTF-8"),
        (b"[" * (MAX_DEPTH + 1), "nested deeper"),
    ],
)
def test_what_is_no_ubjson_is_said(data: bytes, why: str) -> None:
    with pytest.raises(Corrupt) as caught:
        decode_ubjson(data)
    assert why in caught.value.why


@settings(max_examples=200)
@given(st.integers(0, len(MODEL) - 1), st.binary(min_size=1, max_size=8))
def test_no_change_gets_past_with_another_error(place: int, change: bytes) -> None:
    for data in (MODEL[:place], MODEL[:place] + change + MODEL[place + len(change) :]):
        try:
            decode_ubjson(data)
        except Corrupt:
            continue
