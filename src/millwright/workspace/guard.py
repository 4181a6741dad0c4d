"""The one place where a permission is asked, for every door.

Each noun's service is wrapped: a call is let through only when the door's Protocol declares
the method as an operation and the principal may do what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from millwright.access.permissions import Principal, require
from millwright.doors.operation import BoundOperation, operations_of

T = TypeVar("T")


class Guarded:
    """Stands before a service; looks like the Protocol it was made for, and is nothing more."""

    def __init__(
        self,
        service: object,
        *,
        noun: str,
        door: type,
        principal: Principal,
        project_key: int,
        project: str,
    ) -> None:
        self._service = service
        self._noun = noun
        self._door = door
        self._principal = principal
        self._project_key = project_key
        self._project = project

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = _named(self._noun, self._door).get(name)
        if found is None:
            raise AttributeError(name)
        operation, arguments = found

        def call(**arguments: Any) -> Any:
            require(
                self._principal,
                operation.operation.needs,
                self._project_key,
                project=self._project,
            )
            return getattr(self._service, name)(**arguments)

        # Whoever carries calls from elsewhere reads arguments by these.
        call.__annotations__ = arguments
        return call


@cache
def _named(noun: str, door: type) -> dict[str, tuple[BoundOperation, dict[str, Any]]]:
    """Return each operation of a door with the types of its arguments, by its name."""
    return {
        one.name: (one, {argument.name: argument.type for argument in one.arguments})
        for one in operations_of(noun, door)
    }


def guard(
    door: type[T], noun: str, service: T, *, principal: Principal, project_key: int, project: str
) -> T:
    """Return `service` behind the permission check of the Protocol `door`."""
    guarded = Guarded(
        service,
        noun=noun,
        door=door,
        principal=principal,
        project_key=project_key,
        project=project,
    )
    return cast("T", guarded)
