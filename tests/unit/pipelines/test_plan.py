"""Decisions on what runs, as a table: nothing is stored, nothing is run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from millwright.core.digest import Digest, digest_bytes
from millwright.core.ids import RunId
from millwright.pipelines.arguments import Address, Argument, Stored
from millwright.pipelines.cache import Cached, Missed
from millwright.pipelines.graph import Node, pipeline
from millwright.pipelines.plan import Known, decide, plan
from millwright.pipelines.step import step
from millwright.records.pipelines import Fingerprint, PlannedStep, StepOutput


@step
def first(n: int) -> int:
    return n


@step
def second(n: int) -> int:
    return n


@step(cache=False)
def loud(n: int) -> int:
    return n


@pipeline
def chain() -> None:
    second(first(1))
    loud(2)


def of(parts: dict[str, str]) -> Fingerprint:
    return Fingerprint(digest=digest_bytes(repr(parts).encode()), parts=parts)


NEW = of({"param:n": "1", "code:m.f": "function b3:1"})
CACHED = Cached(RunId("run_1"), [StepOutput(name="result", kind="json", digest=Digest("b3:out"))])
LOUD_WHY = "it has effects outside its results, and runs every time"
FIRST, SECOND, LOUD = chain.build().nodes


@pytest.mark.parametrize(
    ("node", "known", "action", "why"),
    [
        (FIRST, Known(NEW, CACHED), "reuse", "cached by run run_1"),
        (FIRST, Known(NEW, Missed()), "run", "first time"),
        (FIRST, Known(NEW, Missed(), NEW), "run", "its last result was not kept"),
        (FIRST, Known(NEW, Missed("it is gone"), NEW), "run", "it is gone"),
        (
            FIRST,
            Known(NEW, Missed(), of({"param:n": "0", "code:m.f": "function b3:0"})),
            "run",
            "parameter n 0 → 1; function m.f changed",
        ),
        (
            FIRST,
            Known(NEW, Missed(), of({f"param:p{number}": "1" for number in range(6)})),
            "run",
            (
                "parameter n is now given; parameter p0 is no longer given; "
                "parameter p1 is no longer given; parameter p2 is no longer given; "
                "parameter p3 is no longer given; and 3 more"
            ),
        ),
        (
            LOUD,
            Known(NEW, CACHED),
            "run",
            LOUD_WHY,
        ),
    ],
)
def test_a_decision_says_why(node: Node, known: Known, action: str, why: str) -> None:
    decided = decide(node, known)
    assert (decided.action, decided.why) == (action, why)


def test_a_step_behind_one_that_runs_is_unknown_and_behind_a_cached_one_is_known() -> None:
    seen: dict[str, Mapping[str, Argument]] = {}

    def know(node: Node, arguments: Mapping[str, Argument]) -> Known:
        seen[node.name] = arguments
        return Known(NEW, Missed() if node.name in missing else CACHED)

    def address(node: Node) -> Address:
        return Address(module="m", attribute=node.name, path="m.py")

    missing = {"second"}
    assert [one.action for one in plan(chain.build(), know=know, address=address)] == [
        "reuse",
        "run",
        "run",
    ]
    assert seen["second"] == {
        "n": Stored(
            kind="json",
            digest=Digest("b3:out"),
            maker=Address(module="m", attribute="first", path="m.py"),
            output="result",
        )
    }
    missing = {"first"}
    assert plan(chain.build(), know=know, address=address)[1] == PlannedStep(
        step="second", action="unknown", why="depends on first", after=["first"]
    )
