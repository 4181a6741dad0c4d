"""Steps: plain functions that can also stand in a pipeline.

Called anywhere else a step is the function it was made from. Called while a pipeline is being
built it records that it is to be run, and returns handles on results that do not exist yet.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, ParamSpec, Protocol, TypeVar, cast, get_type_hints, overload

from millwright.core.errors import Invalid
from millwright.core.refs import check_name
from millwright.pipelines.context import StepContext

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

RESULT = "result"
"""What the one result of a step is called when it has no other name."""


class Tracer(Protocol):
    """Listens to the calls of steps while a pipeline is being built."""

    def record(
        self, step: Step[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        """Take a call, and return what stands for its results."""
        ...


# A context variable, so that two threads may build pipelines at once.
TRACER: ContextVar[Tracer | None] = ContextVar("millwright_tracer", default=None)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step's function."""

    name: str
    hint: object
    """Its annotation, or None where there is none that can be read."""
    required: bool


class Step(Generic[P, R_co]):
    """A function that can stand in a pipeline; made by `step`."""

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        outputs: Sequence[str] = (),
        cache: bool = True,
    ) -> None:
        self.function = function
        self.name = check_name(name or function.__name__, "step")
        self.cache = cache
        self.outputs = tuple(outputs) or named_fields(hints_of(function).get("return")) or (RESULT,)
        if len(set(self.outputs)) < len(self.outputs):
            raise Invalid(f"step {self.name} names an output twice: {', '.join(self.outputs)}")
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                raise Invalid(
                    f"step {self.name} has the parameter {parameter}",
                    why="a step's inputs are told apart by name",
                    fix="give each input a name; a list of results can be passed as one of them",
                )
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, or, while a pipeline is being built, record the call."""
        tracer = TRACER.get()
        if tracer is None:
            return self.function(*args, **kwargs)
        return cast("R_co", tracer.record(self, args, kwargs))

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def named(self, name: str) -> Step[P, R_co]:
        """Return the same step under another name, to tell two uses of it apart."""
        return Step(self.function, name=name, outputs=self.outputs, cache=self.cache)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *, name: str | None = None, outputs: Sequence[str] = (), cache: bool = True
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    outputs: Sequence[str] = (),
    cache: bool = True,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a step: `@step`, or `@step(name=…, outputs=…, cache=…)`.

    `outputs` names several results, which the function returns as a tuple in that order or as
    a mapping; a function annotated to return a NamedTuple needs none. `cache=False` is for a
    step with effects outside its results: it runs every time. A parameter called `ctx`, or
    annotated with StepContext, is filled in when the step runs in a pipeline.

    Raises Invalid for a name that cannot be one, and for `*args`, `**kwargs` and
    positional-only parameters.
    """
    if function is not None:
        return Step(function)
    return lambda inner: Step(inner, name=name, outputs=outputs, cache=cache)


def hints_of(function: Callable[..., object]) -> dict[str, object]:
    """Return the annotations of a function; empty when they name something that is not there."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def context_parameter(function: Callable[..., object]) -> str | None:
    """Return the name of the parameter that takes the StepContext, if there is one."""
    hints = hints_of(function)
    for name in inspect.signature(function).parameters:
        if name == "ctx" or hints.get(name) is StepContext:
            return name
    return None


def parameters_of(function: Callable[..., object]) -> list[Parameter]:
    """Return what the pipeline must or may give, in order; the context is left out."""
    hints = hints_of(function)
    context = context_parameter(function)
    return [
        Parameter(name, hints.get(name), parameter.default is parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != context
    ]


def output_hints(step: Step[..., object]) -> dict[str, object]:
    """Return the annotation of each output, None where there is none that can be read."""
    hint = hints_of(step.function).get("return")
    if len(step.outputs) == 1:
        return {step.outputs[0]: hint}
    fields = hints_of(hint) if isinstance(hint, type) else {}
    if not fields and getattr(hint, "__origin__", None) is tuple:
        inner: tuple[object, ...] = getattr(hint, "__args__", ())
        if len(inner) == len(step.outputs) and Ellipsis not in inner:
            fields = dict(zip(step.outputs, inner, strict=True))
    return {name: fields.get(name) for name in step.outputs}


def split_result(step: Step[..., object], result: object) -> dict[str, object]:
    """Return what the function returned, by output name.

    Raises Invalid when it is not as many values, or not the names, that the step declares.
    """
    if len(step.outputs) == 1:
        return {step.outputs[0]: result}
    if isinstance(result, Mapping):
        found = cast("Mapping[str, object]", result)
        if set(found) == set(step.outputs):
            return {name: found[name] for name in step.outputs}
        got = f"a mapping of {', '.join(map(str, found))}"
    elif isinstance(result, tuple | list):
        values = cast("Sequence[object]", result)
        if len(values) == len(step.outputs):
            return dict(zip(step.outputs, values, strict=True))
        got = f"{len(values)} values"
    else:
        got = f"a {type(result).__name__}"
    raise Invalid(
        f"step {step.name} returned {got}",
        why=f"it declares the outputs {', '.join(step.outputs)}",
        fix="return a tuple in that order, or a mapping with exactly these names",
    )


def named_fields(hint: object) -> tuple[str, ...]:
    """Return the fields of a NamedTuple class, none for anything else."""
    fields: object = getattr(hint, "_fields", ())
    return cast("tuple[str, ...]", fields) if isinstance(hint, type) else ()
