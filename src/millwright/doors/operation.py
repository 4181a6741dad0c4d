"""How a door's method says what it is on the wire and which permission it needs.

A door is a Protocol whose methods carry an `Operation`. The workspace checks the permission
before it calls a service, the server makes a route of it, the client a request, and the
generated tests go through all of them: nothing is written down twice, and a method without a
permission cannot be reached at all.

Arguments named in the path travel there; the others of a GET or DELETE in the query, of a
POST or PUT as one JSON object. Arguments and results are values msgspec knows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_type_hints

from millwright.records.access import Permission

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
F = TypeVar("F", bound="Callable[..., Any]")

_ATTRIBUTE = "__millwright_operation__"
_IN_PATH = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a door: its request and what the caller must be allowed to do."""

    method: Method
    path: str
    """Below `/api/v1`; `{name}` stands for the argument of that name."""
    needs: Permission
    """What the caller must be allowed to do."""
    is_long: bool = False
    """Whether it works on what was stored before, of whatever size, and so may take its time."""

    @property
    def path_arguments(self) -> list[str]:
        """Names of the arguments that travel in the path."""
        return _IN_PATH.findall(self.path)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operation."""

    name: str
    type: Any
    default: Any
    """`inspect.Parameter.empty` where it must be given."""

    @property
    def is_required(self) -> bool:
        """Tell whether it must be given."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class BoundOperation:
    """An operation as a door declares it: with its name, arguments and result."""

    noun: str
    name: str
    operation: Operation
    arguments: tuple[Argument, ...]
    result: Any
    summary: str


def operation(
    method: Method, path: str, *, needs: Permission, is_long: bool = False
) -> Callable[[F], F]:
    """Declare what a door's method is on the wire and which permission it needs."""

    def attach(function: F) -> F:
        setattr(function, _ATTRIBUTE, Operation(method, path, needs, is_long))
        return function

    return attach


@cache
def operations_of(noun: str, door: type) -> tuple[BoundOperation, ...]:
    """Return every operation that the Protocol `door` declares, in the order it does."""
    found: list[BoundOperation] = []
    for name, function in vars(door).items():
        declared = cast("Operation | None", getattr(function, _ATTRIBUTE, None))
        if declared is None:
            continue
        hints = get_type_hints(function)
        arguments = tuple(
            Argument(parameter.name, hints[parameter.name], parameter.default)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        )
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        found.append(BoundOperation(noun, name, declared, arguments, hints["return"], summary))
    return tuple(found)
