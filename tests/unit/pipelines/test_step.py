from __future__ import annotations

from typing import NamedTuple, assert_type

import pytest

from millwright.core.errors import Invalid
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import (
    Parameter,
    Step,
    context_parameter,
    output_hints,
    parameters_of,
    split_result,
    step,
)


class Ends(NamedTuple):
    low: int
    high: float


@step
def plain(a: int, b: str = "x") -> int:
    """Count."""
    return a + len(b)


@step(name="other name", outputs=("x", "y"), cache=False)
def two(rows: list[int], where: StepContext) -> tuple[int, str]:
    where.progress(1)
    return len(rows), "y"


@step
def ends() -> Ends:
    return Ends(1, 2.0)


def spread(*rows: int) -> int:
    return len(rows)


def test_a_step_is_its_function() -> None:
    assert_type(plain(1), int)
    assert plain(1, b="yy") == 3
    assert (plain.name, plain.outputs, plain.cache, plain.__doc__) == (
        "plain",
        ("result",),
        True,
        "Count.",
    )
    assert (two.name, two.outputs, two.cache) == ("other name", ("x", "y"), False)
    assert plain.named("again").name == "again"
    assert plain.named("again").function is plain.function


def test_outputs_and_parameters_are_known_by_annotation() -> None:
    assert output_hints(plain) == {"result": int}
    assert output_hints(two) == {"x": int, "y": str}
    assert ends.outputs == ("low", "high")
    assert output_hints(ends) == {"low": int, "high": float}
    assert context_parameter(two.function) == "where"
    assert parameters_of(two.function) == [Parameter("rows", list[int], required=True)]
    assert parameters_of(plain.function) == [
        Parameter("a", int, required=True),
        Parameter("b", str, required=False),
    ]


def test_results_are_told_apart_by_order_or_by_name() -> None:
    assert split_result(two, (1, "a")) == {"x": 1, "y": "a"}
    assert split_result(two, {"y": "a", "x": 1}) == {"x": 1, "y": "a"}
    assert split_result(ends, Ends(1, 2)) == {"low": 1, "high": 2}
    assert split_result(plain, (1, 2)) == {"result": (1, 2)}


@pytest.mark.parametrize(
    ("result", "said"),
    [((1, 2, 3), "3 values"), ({"x": 1}, "a mapping of x"), (5, "a int"), (None, "a NoneType")],
)
def test_a_result_of_the_wrong_shape_is_told(result: object, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        split_result(two, result)
    assert caught.value.what == f"step other name returned {said}"
    assert "x, y" in caught.value.why


def test_steps_that_cannot_be_are_refused() -> None:
    with pytest.raises(Invalid, match=r"has the parameter \*rows"):
        Step(spread)
    with pytest.raises(Invalid, match="names an output twice"):
        Step(len, name="n", outputs=("a", "a"))
    with pytest.raises(Invalid, match="cannot be the name of a step"):
        Step(len, name="../up")
