from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.sdk import checks
from millwright.sdk.checks import check_key, number_of, step_of, text_of, texts_of
from millwright.tracking import telemetry


def test_the_limits_are_those_of_the_server() -> None:
    assert checks.MAX_KEY_CHARS == telemetry.MAX_KEY_CHARS
    assert checks.MAX_VALUE_CHARS == telemetry.MAX_VALUE_CHARS


@pytest.mark.parametrize("key", ["", "a\n", "x" * 251])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a metric"):
        check_key("metric", key)


@pytest.mark.parametrize("key", ["a", "system/cpu %", "ä µ", "x" * 250])
def test_a_key_is_printable(key: str) -> None:
    assert check_key("metric", key) == key


def test_a_key_is_a_text() -> None:
    with pytest.raises(Invalid, match="'3' cannot be the name of a tag"):
        check_key("tag", 3)  # pyright: ignore[reportArgumentType]


def test_a_value_is_kept_as_text_as_far_as_it_is_short() -> None:
    assert text_of("tag", "k", [1, None]) == "[1, None]"
    assert len(text_of("tag", "k", "x" * 8000)) == 8000
    with pytest.raises(Invalid, match="tag 'k' has 8001 characters; 8000 are allowed"):
        text_of("tag", "k", "x" * 8001)


def test_what_no_text_can_hold_is_spelled_out() -> None:
    assert text_of("param", "file", "größe \udcff\0") == "größe \\udcff\\x00"
    assert text_of("param", "file", "π") == "π"


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (True, 1.0), (np.float32(0.5), 0.5), (np.array(2), 2.0), ("3", 3.0)],
)
def test_what_is_one_number_is_a_value(value: object, number: float) -> None:
    assert number_of("a", value) == number
    assert math.isnan(number_of("a", float("nan")))


@pytest.mark.parametrize("value", [None, "three", [1.0], np.zeros(2), 10**400])
def test_what_is_no_single_number_is_refused(value: object) -> None:
    with pytest.raises(Invalid, match="the value of metric 'a' is no number"):
        number_of("a", value)


def test_a_step_is_a_whole_number_of_64_bits() -> None:
    assert step_of("a", np.int64(3)) == 3
    assert step_of("a", 2.0) == 2
    assert step_of("a", np.int64(2**63 - 1)) == 2**63 - 1
    for step in (None, "x", float("inf"), 1.7, np.float32(0.5)):
        with pytest.raises(Invalid, match="is no whole number"):
            step_of("a", step)
    with pytest.raises(Invalid, match="is beyond 64 bits"):
        step_of("a", 2**64)


def test_a_key_or_value_of_a_subclass_is_kept_as_an_exact_text() -> None:
    class Metric(StrEnum):
        LOSS = "loss"

    key = check_key("metric", np.str_("acc"))
    assert (type(key), key) == (str, "acc")
    assert (type(check_key("metric", Metric.LOSS)), check_key("metric", Metric.LOSS)) == (
        str,
        "loss",
    )
    texts = texts_of("tag", {np.str_("who"): np.str_("ada")})
    assert [(type(k), type(v)) for k, v in texts.items()] == [(str, str)]
