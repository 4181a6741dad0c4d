from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.server.mlflow import checks
from millwright.server.mlflow.errors import MlflowError


@pytest.mark.parametrize("key", ["a", "a b", "a/b.c", "ä", "x:y", "A-1_2", "a..b"])
def test_keys_that_can_be(key: str) -> None:
    assert checks.check_key(key) == key


@pytest.mark.parametrize("key", [None, "", "a!", "../a", "a/../b", ".", "/a", "a//b", "a/", "a\\b"])
def test_keys_that_cannot(key: str | None) -> None:
    with pytest.raises(MlflowError) as raised:
        checks.check_key(key)
    assert raised.value.code == "INVALID_PARAMETER_VALUE"


def test_keys_that_are_too_long_are_not_remembered() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            with pytest.raises(MlflowError, match="Names may only contain"):
                checks.check_key(f"{number}!" + "x" * (1 << 20))
        assert tracemalloc.get_traced_memory()[0] < 5 << 20
    finally:
        tracemalloc.stop()


@given(st.text(max_size=30))
def test_a_key_never_leads_elsewhere(key: str) -> None:
    try:
        checks.check_key(key)
    except MlflowError:
        return
    assert not key.startswith("/")
    assert ".." not in key.split("/")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_value_is_kept_finite_or_nan(value: float) -> None:
    kept = checks.check_metric("m", value, 1, 0, "")
    assert math.isnan(kept) if math.isnan(value) else abs(kept) <= checks.LARGEST
    if math.isfinite(value):
        assert kept == value


def test_long_texts_are_cut_off_as_mlflow_does() -> None:
    assert checks.check_param("p", "x" * 7000) == ("p", "x" * 6000)
    assert checks.check_tag("t", "x" * 9000) == ("t", "x" * 8000)


@pytest.mark.parametrize("alias", ["", "latest", "LATEST", "v1", "V22", "a b", "a/b", "a" * 256])
def test_aliases_that_cannot_be(alias: str) -> None:
    with pytest.raises(MlflowError):
        checks.check_alias(alias)


def test_what_names_and_numbers_may_be() -> None:
    assert checks.check_alias("champion-2_x") == "champion-2_x"
    assert (checks.parse_version("7"), checks.parse_version(7)) == (7, 7)
    assert checks.parse_experiment_id("12") == 12
    for number in ("one", "", "1.5"):
        with pytest.raises(MlflowError):
            checks.parse_experiment_id(number)


def test_what_is_missing_is_named_in_stocks_words() -> None:
    words = "See the API docs for more information about request parameters."
    for call in (lambda: checks.parse_version(""), lambda: checks.check_model_tag("", "x")):
        with pytest.raises(MlflowError, match=words):
            call()


def test_a_batch_has_its_limits() -> None:
    checks.check_batch(900, 50, 50)
    for sizes in ((1001, 0, 0), (0, 101, 0), (0, 0, 101), (950, 50, 50)):
        with pytest.raises(MlflowError, match="at most"):
            checks.check_batch(*sizes)
    checks.check_batch_bytes(1_000_000)
    with pytest.raises(MlflowError, match="1000001"):
        checks.check_batch_bytes(1_000_001)
