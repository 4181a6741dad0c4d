"""Pipelines: functions whose body is run once to find out which steps stand in it.

The body sees the parameters as they are, so it may loop and choose over them. It never sees a
result, only a handle on it: whatever would need the value there raises Invalid. Since a handle
exists only after its step was called, a graph built this way has no circles.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Generic,
    NoReturn,
    ParamSpec,
    TypeVar,
    cast,
    get_origin,
    is_typeddict,
    overload,
)

import msgspec

from millwright.core.digest import Digest
from millwright.core.errors import Invalid
from millwright.core.refs import check_name, did_you_mean
from millwright.pipelines.arguments import Argument, JsonValue, Many, Named, Plain, Ref, refs_in
from millwright.pipelines.step import (
    TRACER,
    Step,
    hints_of,
    named_fields,
    output_hints,
    parameters_of,
)

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Given:
    """A stored thing handed to a pipeline as a parameter, such as a dataset version.

    Its content, not its name, decides whether a step's result can be used again.
    """

    kind: str
    """How a step is handed it: a kind of `values`, or `data` for a file of its own."""
    digest: Digest
    name: str = ""
    """For the kind `data`: the file's name, with the suffix that tells its format."""
    what: str = "artifact"
    """For the record: `dataset_version`, `model_version` or `artifact`."""
    id: str = ""
    """The id of what it is, for the record."""


@dataclass(frozen=True, slots=True)
class Node:
    """One use of a step."""

    name: str
    step: Step[..., object]
    arguments: Mapping[str, Argument]

    def needs(self) -> list[str]:
        """Return the names of the steps whose results it takes, each once, in order."""
        found = (ref.step for value in self.arguments.values() for ref in refs_in(value))
        return list(dict.fromkeys(name for name in found if name))


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of a pipeline with given parameters, each behind those it needs."""

    pipeline: str
    params: Mapping[str, JsonValue]
    inputs: Mapping[str, Given]
    nodes: tuple[Node, ...]


class Pipeline(Generic[P, R_co]):
    """A function over parameters whose body calls steps; made by `pipeline`."""

    def __init__(self, function: Callable[P, R_co], *, name: str | None = None) -> None:
        self.function = function
        self.name = check_name(name or function.__name__, "pipeline")
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the body as a plain function; inside another pipeline its steps are that one's."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def build(self, **params: object) -> Graph:
        """Return the graph for these parameters; runs the body, and no step.

        A parameter given as `Given` becomes a handle on it. Raises Invalid for an unknown or
        missing parameter, a value its annotation does not allow, and wiring that cannot be.
        """
        values = self._parse(params)
        inputs = {name: value for name, value in values.items() if isinstance(value, Given)}
        tracer = _Tracer(self.name)
        token = TRACER.set(tracer)
        try:
            cast("Callable[..., object]", self.function)(
                **{
                    name: Handle(Ref(step="", output=name), None) if name in inputs else value
                    for name, value in values.items()
                }
            )
        finally:
            TRACER.reset(token)
        if not tracer.nodes:
            raise Invalid(
                f"pipeline {self.name} has no steps",
                why="its body called none",
                fix="call functions decorated with @step in it",
            )
        plain = {
            name: _plain(value, f"pipeline {self.name}: parameter {name}")
            for name, value in values.items()
            if name not in inputs
        }
        return Graph(self.name, plain, inputs, tuple(tracer.nodes))

    def _parse(self, params: Mapping[str, object]) -> dict[str, object]:
        known = inspect.signature(self.function).parameters
        hints = hints_of(self.function)
        for name in params:
            if name not in known:
                raise Invalid(
                    f"pipeline {self.name} has no parameter {name!r}",
                    why=f"its parameters: {', '.join(known) or 'none'}",
                    fix=did_you_mean(name, known),
                )
        values: dict[str, object] = {}
        for name, parameter in known.items():
            if name in params:
                value = params[name]
                hint = hints.get(name)
                if not isinstance(value, Given) and hint is not None:
                    value = _convert(value, hint, f"pipeline {self.name}: parameter {name}")
                values[name] = value
            elif parameter.default is parameter.empty:
                raise Invalid(
                    f"pipeline {self.name} needs the parameter {name!r}",
                    fix=f"give it, as in {name}=…",
                )
            else:
                values[name] = parameter.default
        return values


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...


@overload
def pipeline(*, name: str | None = None) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...


def pipeline(
    function: Callable[P, R] | None = None, /, *, name: str | None = None
) -> Pipeline[P, R] | Callable[[Callable[P, R]], Pipeline[P, R]]:
    """Make a function a pipeline: `@pipeline` or `@pipeline(name=…)`."""
    if function is not None:
        return Pipeline(function)
    return lambda inner: Pipeline(inner, name=name)


class Handle:
    """Stands for a result that does not exist yet; it can be passed on, and nothing else."""

    __slots__ = ("_hint", "_ref")

    def __init__(self, ref: Ref, hint: object) -> None:
        self._ref = ref
        self._hint = hint

    def ref(self) -> Ref:
        """Return what it stands for."""
        return self._ref

    def hint(self) -> object:
        """Return the annotation of the value to come, None when there is none."""
        return self._hint

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"its attribute {name!r} was asked for")

    def __repr__(self) -> str:
        return f"<result {self._ref.output} of step {self._ref.step}>"

    def _refuse(self, why: str) -> NoReturn:
        raise Invalid(
            f"the result {self._ref.output!r} of step {self._ref.step!r} is not there yet",
            why=f"the pipeline is being built, and {why}",
            fix="pass it to a step and do it there",
        )


def _refusing(word: str) -> Callable[..., NoReturn]:
    def method(self: Handle, *_: object) -> NoReturn:
        self._refuse(f"its value was needed by {word}")  # pyright: ignore[reportPrivateUsage]

    return method


# Comparison above all: object.__eq__ would answer False, and the body would take a branch.
for _name, _word in {
    "__bool__": "a condition", "__iter__": "a loop or an unpacking", "__len__": "len()",
    "__getitem__": "an index", "__contains__": "`in`", "__eq__": "a comparison",
    "__ne__": "a comparison", "__lt__": "a comparison", "__le__": "a comparison",
    "__gt__": "a comparison", "__ge__": "a comparison", "__hash__": "a set or a mapping's key",
    "__call__": "a call", "__int__": "int()", "__float__": "float()", "__index__": "an index",
    "__str__": "str() or an f-string", "__format__": "an f-string", "__add__": "arithmetic",
    "__radd__": "arithmetic", "__sub__": "arithmetic", "__rsub__": "arithmetic",
    "__mul__": "arithmetic", "__rmul__": "arithmetic", "__truediv__": "arithmetic",
    "__rtruediv__": "arithmetic", "__neg__": "arithmetic",
}.items():  # fmt: skip
    setattr(Handle, _name, _refusing(_word))


class _Tracer:
    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self.nodes: list[Node] = []
        self._names: set[str] = set()

    def record(
        self, step: Step[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        name = self._free_name(step.name)
        parameters = parameters_of(step.function)
        given = _by_name(name, [parameter.name for parameter in parameters], args, kwargs)
        arguments: dict[str, Argument] = {}
        for parameter in parameters:
            place = f"step {name}: argument {parameter.name}"
            if parameter.name in given:
                value = given[parameter.name]
                _check_type(value, parameter.hint, place)
                arguments[parameter.name] = _argument(value, place)
            elif parameter.required:
                raise Invalid(
                    f"step {name} needs the argument {parameter.name!r}",
                    why=f"pipeline {self._pipeline} does not give it",
                    fix=f"pass {parameter.name}=… where the step is called",
                )
        self.nodes.append(Node(name, step, arguments))
        self._names.add(name)
        hints = output_hints(step)
        handles = [Handle(Ref(step=name, output=out), hints[out]) for out in step.outputs]
        return _like_the_function(step, handles)

    def _free_name(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._names:
            number += 1
            candidate = f"{name}-{number}"
        return candidate


def _by_name(
    step: str, names: list[str], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the call's arguments by name; the context's parameter is not among `names`."""
    if len(args) > len(names):
        raise Invalid(
            f"step {step} takes {len(names)} arguments, and was given {len(args)}",
            why=f"they are: {', '.join(names) or 'none'}",
        )
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise Invalid(
                f"step {step} has no argument {name!r}",
                why=f"its arguments: {', '.join(names) or 'none'}",
                fix=did_you_mean(name, names),
            )
        if name in given:
            raise Invalid(f"step {step} was given the argument {name!r} twice")
        given[name] = value
    return given


def _like_the_function(step: Step[..., object], handles: list[Handle]) -> object:
    """Return the handles in the shape in which the function returns its values."""
    if len(handles) == 1:
        return handles[0]
    hint = hints_of(step.function).get("return")
    if named_fields(hint):
        return cast("Callable[..., object]", hint)(*handles)
    if get_origin(hint) in {dict, Mapping} or hint is dict or is_typeddict(hint):
        return dict(zip(step.outputs, handles, strict=True))
    return tuple(handles)


def _argument(value: object, place: str) -> Argument:
    if isinstance(value, Handle):
        return value.ref()
    if _holds_handle(value):
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value)
            if not all(isinstance(key, str) for key in items):
                raise Invalid(f"{place} is a mapping of results whose keys are not all text")
            return Named(items={str(key): _argument(item, place) for key, item in items.items()})
        return Many(items=[_argument(item, place) for item in cast("list[object]", value)])
    return Plain(value=_plain(value, place))


def _holds_handle(value: object) -> bool:
    if isinstance(value, Handle):
        return True
    if isinstance(value, Mapping):
        return any(_holds_handle(item) for item in cast("Mapping[object, object]", value).values())
    if isinstance(value, list | tuple):
        return any(_holds_handle(item) for item in cast("list[object]", value))
    return False


def _plain(value: object, place: str) -> JsonValue:
    """Return `value` as JSON can hold it; raises Invalid naming the place when it cannot."""
    try:
        plain = msgspec.to_builtins(value)
        _check_plain(plain)
    except (TypeError, ValueError) as error:
        raise Invalid(
            f"{place} is of type {type(value).__name__}",
            why=str(error),
            fix="pass text, numbers, lists, mappings or records; make other things in a step",
        ) from error
    if isinstance(value, set | frozenset):
        raise Invalid(f"{place} is a set, which has no order", fix="pass a sorted list")
    return plain


def _check_plain(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
            _check_plain(item)
    elif isinstance(value, list | tuple):
        for item in cast("list[object]", value):
            _check_plain(item)


def _check_type(value: object, hint: object, place: str) -> None:
    """Refuse a value, or a result to come, whose type the annotation rules out for certain."""
    if hint is None:
        return
    if isinstance(value, Handle):
        made = value.hint()
        if isinstance(made, type) and isinstance(hint, type) and not _fits(made, hint):
            raise Invalid(
                f"{place} is a {hint.__name__}, and is given {value!r}, a {made.__name__}",
                fix="pass another result, or change one of the annotations",
            )
    elif not _holds_handle(value):
        _convert(value, hint, place)


def _fits(made: type, wanted: type) -> bool:
    if wanted is object or made is wanted or (made is int and wanted is float):
        return True
    try:
        return issubclass(made, wanted)
    except TypeError:
        return True  # A protocol that cannot be asked: nothing is ruled out.


def _convert(value: object, hint: object, place: str) -> object:
    """Return `value` as `hint` wants it, where msgspec knows the type; else unchanged."""
    try:
        plain = msgspec.to_builtins(value)
        converted = msgspec.convert(plain, cast("type[object]", hint), str_keys=True)
    except msgspec.ValidationError as error:
        raise Invalid(f"{place} does not fit its annotation: {error}") from error
    except TypeError:
        return value
    return converted
