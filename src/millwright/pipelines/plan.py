"""What must run, and why: decided from what is known, without doing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from millwright.pipelines.arguments import Address, Argument, Ref, Stored, bind
from millwright.pipelines.cache import Cached, Missed
from millwright.pipelines.fingerprint import explain
from millwright.pipelines.graph import Graph, Node
from millwright.records.pipelines import Fingerprint, PlannedStep, StepOutput

_MAX_REASONS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a step whose inputs are there."""

    fingerprint: Fingerprint
    found: Cached | Missed
    previous: Fingerprint | None = None
    """The one it had when it last gave a result in this pipeline."""


@dataclass(frozen=True, slots=True)
class Made:
    """The results of a step, and where the step is found."""

    outputs: Mapping[str, StepOutput]
    address: Address


Know = Callable[[Node, Mapping[str, Argument]], Known]
"""Finds out what is known of a step, given its bound arguments."""


def plan(graph: Graph, *, know: Know, address: Callable[[Node], Address]) -> list[PlannedStep]:
    """Return what will happen to each step, in the graph's order.

    A step whose inputs are not there yet is `unknown`: when they come out as they did before,
    it need not run.
    """
    made: dict[str, Made] = {}
    planned: list[PlannedStep] = []
    for node in graph.nodes:
        missing = [name for name in node.needs() if name not in made]
        if missing:
            why = f"depends on {', '.join(missing)}"
            planned.append(
                PlannedStep(step=node.name, action="unknown", why=why, after=node.needs())
            )
            continue
        known = know(node, bind_arguments(graph, node, made))
        decided = decide(node, known)
        planned.append(decided)
        if decided.action == "reuse" and isinstance(known.found, Cached):
            outputs = {output.name: output for output in known.found.outputs}
            made[node.name] = Made(outputs, address(node))
    return planned


def decide(node: Node, known: Known) -> PlannedStep:
    """Return whether a step must run, and why."""
    reuse = node.step.cache and isinstance(known.found, Cached)
    return PlannedStep(
        step=node.name,
        action="reuse" if reuse else "run",
        why=_why(node, known),
        after=node.needs(),
    )


def bind_arguments(graph: Graph, node: Node, made: Mapping[str, Made]) -> dict[str, Argument]:
    """Return the node's arguments with every reference replaced by the stored result."""

    def look_up(ref: Ref) -> Stored:
        if not ref.step:
            given = graph.inputs[ref.output]
            return Stored(kind=given.kind, digest=given.digest, name=given.name)
        maker = made[ref.step]
        output = maker.outputs[ref.output]
        return Stored(
            kind=output.kind, digest=output.digest, maker=maker.address, output=ref.output
        )

    return {name: bind(value, look_up) for name, value in node.arguments.items()}


def _why(node: Node, known: Known) -> str:
    if not node.step.cache:
        return "it has effects outside its results, and runs every time"
    if isinstance(known.found, Cached):
        return f"cached by run {known.found.run}"
    if known.found.trouble:
        return known.found.trouble
    if known.previous is None:
        return "first time"
    changes = explain(known.previous, known.fingerprint)
    if not changes:
        return "its last result was not kept"
    if len(changes) > _MAX_REASONS:
        changes = [*changes[:_MAX_REASONS], f"and {len(changes) - _MAX_REASONS} more"]
    return "; ".join(changes)
