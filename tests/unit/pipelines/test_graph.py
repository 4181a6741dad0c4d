from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from millwright.core.digest import Digest
from millwright.core.errors import Invalid
from millwright.pipelines.arguments import Many, Named, Plain, Ref
from millwright.pipelines.context import StepContext
from millwright.pipelines.graph import Given, Graph, Node, pipeline
from millwright.pipelines.step import Step, step


class Split(NamedTuple):
    train: list[int]
    test: list[int]


@step
def load(n: int = 3) -> list[int]:
    return list(range(n))


@step
def split(rows: list[int], share: float = 0.5) -> Split:
    cut = int(len(rows) * share)
    return Split(rows[:cut], rows[cut:])


@step(outputs=("low", "high"))
def ends(rows: list[int]) -> tuple[int, int]:
    return min(rows), max(rows)


@step
def add(numbers: list[int], ctx: StepContext) -> int:
    ctx.progress(1)
    return sum(numbers)


@step
def text() -> str:
    return "x"


@step
def measure(n: int) -> int:
    return n


@step(name="nothing")
def anything(value: object) -> None:
    del value


@pipeline
def whole(n: int = 4, share: float = 0.5) -> None:
    rows = load(n)
    parts = split(rows, share=share)
    low, high = ends(parts.train)
    add([low, high, 5])  # pyright: ignore[reportCallIssue]
    anything({"a": parts.test, "b": 1})


def test_a_graph_holds_steps_in_order_with_their_arguments() -> None:
    rows = Ref(step="load", output="result")
    assert whole.build(n=6) == Graph(
        "whole",
        {"n": 6, "share": 0.5},
        {},
        (
            Node("load", _as_step(load), {"n": Plain(value=6)}),
            Node("split", _as_step(split), {"rows": rows, "share": Plain(value=0.5)}),
            Node("ends", _as_step(ends), {"rows": Ref(step="split", output="train")}),
            Node(
                "add",
                _as_step(add),
                {
                    "numbers": Many(
                        items=[
                            Ref(step="ends", output="low"),
                            Ref(step="ends", output="high"),
                            Plain(value=5),
                        ]
                    )
                },
            ),
            Node(
                "nothing",
                _as_step(anything),
                {
                    "value": Named(
                        items={"a": Ref(step="split", output="test"), "b": Plain(value=1)}
                    )
                },
            ),
        ),
    )
    assert [node.needs() for node in whole.build().nodes] == [
        [],
        ["load"],
        ["split"],
        ["ends"],
        ["split"],
    ]


def _as_step(found: object) -> Step[..., object]:
    return cast("Step[..., object]", found)


def test_steps_are_plain_functions_outside_a_pipeline(tmp_path: Path) -> None:
    assert load(2) == [0, 1]
    assert split([1, 2, 3, 4]) == Split([1, 2], [3, 4])
    assert add([1, 2], StepContext.local(folder=tmp_path)) == 3
    assert whole.name == "whole"


def test_the_same_step_twice_is_numbered_and_can_be_named() -> None:
    @pipeline
    def many() -> None:
        for n in (1, 2, 3):
            measure(n)
        measure.named("last")(4)

    assert [node.name for node in many.build().nodes] == [
        "measure",
        "measure-2",
        "measure-3",
        "last",
    ]


def test_a_pipeline_inside_another_gives_it_its_steps() -> None:
    @pipeline
    def inner(n: int) -> int:
        return measure(n)

    @pipeline(name="outer one")
    def outer() -> None:
        measure(inner(1))

    graph = outer.build()
    assert (graph.pipeline, [node.needs() for node in graph.nodes]) == (
        "outer one",
        [[], ["measure"]],
    )


def test_a_stored_thing_can_be_a_parameter() -> None:
    @pipeline
    def reads(data: list[int]) -> None:
        ends(data)

    given = Given(kind="json", digest=Digest("b3:x"))
    graph = reads.build(data=given)
    assert graph.inputs == {"data": given}
    assert graph.nodes[0].arguments == {"rows": Ref(step="", output="data")}
    assert graph.nodes[0].needs() == []


BAD_BODIES: dict[str, tuple[Callable[[], object], str]] = {
    "a branch on a result": (lambda: bool(measure(1)), "is not there yet"),
    "a loop over a result": (lambda: list(load()), "a loop or an unpacking"),
    "a comparison": (lambda: measure(1) == 2, "a comparison"),
    "arithmetic": (lambda: measure(1) + 1, "arithmetic"),
    "an f-string": (lambda: f"{measure(1)}", "an f-string"),
    "an attribute": (lambda: text().upper(), "its attribute 'upper'"),
    "an index": (lambda: load()[0], "an index"),
    "an unknown argument": (lambda: _as_step(measure)(m=1), "no argument 'm'"),
    "a missing argument": (_as_step(measure), "needs the argument 'n'"),
    "an argument too many": (lambda: _as_step(measure)(1, 2), "takes 1 arguments"),
    "an argument twice": (lambda: _as_step(measure)(1, n=2), "twice"),
    "a value of the wrong type": (lambda: _as_step(measure)("x"), "Expected `int`, got `str`"),
    "a result of the wrong type": (lambda: _as_step(measure)(text()), "argument n is a int"),
    "a value JSON cannot hold": (lambda: anything(object()), "argument value is of type object"),
    "a number that is none": (lambda: anything(float("nan")), "not a finite number"),
    "a set": (lambda: anything({1, 2}), "has no order"),
    "no steps": (lambda: None, "has no steps"),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_wiring_that_cannot_be_is_told_in_words(what: str) -> None:
    body, message = BAD_BODIES[what]

    @pipeline
    def bad() -> None:
        body()

    with pytest.raises(Invalid) as caught:
        bad.build()
    assert message in str(caught.value)
    # Nothing is left behind: a step called afterwards is a function again.
    assert measure(7) == 7


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shar": 0.1}, "did you mean 'share'"),
        ({"n": "x"}, "parameter n does not fit its annotation"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        whole.build(**params)
    assert message in str(caught.value)


def test_a_missing_parameter_is_named() -> None:
    @pipeline
    def needs(n: int) -> None:
        measure(n)

    with pytest.raises(Invalid, match="needs the parameter 'n'"):
        needs.build()
