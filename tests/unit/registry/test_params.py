from __future__ import annotations

import pytest

from millwright.core.errors import Invalid
from millwright.records.events import JsonValue
from millwright.registry.params import Param, check_params

PARAMS = (
    Param("temperature", "float", 0.5),
    Param("top", "integer", 3),
    Param("strict", "boolean", default=False),
    Param("stop", "text", ["."], is_list=True),
    Param("since", "timestamp", None),
)


def test_what_is_not_given_has_its_default() -> None:
    assert check_params(PARAMS, None) == {
        "temperature": 0.5,
        "top": 3,
        "strict": False,
        "stop": ["."],
        "since": None,
    }


def test_values_come_in_their_kind() -> None:
    found = check_params(PARAMS, {"temperature": 1, "top": 4.0, "stop": ["a", "b"], "since": None})
    assert (found["temperature"], found["top"], found["stop"]) == (1.0, 4, ["a", "b"])
    assert isinstance(found["temperature"], float)
    assert isinstance(found["top"], int)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temprature", 1.0, "temprature is not known (did you mean 'temperature'?)"),
        ("temperature", "warm", "temperature should be a number, not 'warm'"),
        ("temperature", True, "temperature should be a number, not True"),
        ("top", 1.5, "top should be a whole number, not 1.5"),
        ("top", 2**63, "top should be a whole number"),
        ("top", True, "top should be a whole number, not True"),
        ("top", float("inf"), "top should be a whole number, not inf"),
        ("top", None, "top should be a whole number, not None"),
        ("strict", 1, "strict should be true or false, not 1"),
        ("stop", ".", "stop should be a list, not '.'"),
        ("stop", [".", 3], "stop should hold text, and holds 3"),
    ],
)
def test_what_does_not_fit_is_named(name: str, value: JsonValue, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_params(PARAMS, {name: value})
    assert words in caught.value.why


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check_params(PARAMS, {"x": 1, "top": "y"})
    assert caught.value.why == "x is not known; top should be a whole number, not 'y'"
    with pytest.raises(Invalid) as caught:
        check_params((), {"x": 1})
    assert caught.value.fix == "it takes: none"
