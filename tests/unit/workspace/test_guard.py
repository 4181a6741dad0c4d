from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pytest

from millwright.access.permissions import EVERY_PROJECT, Principal
from millwright.core.errors import Denied
from millwright.core.ids import ActorId
from millwright.doors.operation import operation
from millwright.records.access import ActorKind, Permission, Role
from millwright.workspace.guard import guard


class Songs(Protocol):
    """A door."""

    @operation("GET", "/songs", needs=Permission.DATA_READ)
    def list_all(self) -> list[str]:
        """List them."""
        ...

    @operation("POST", "/songs", needs=Permission.DATA_WRITE)
    def add(self, *, name: str, loud: bool = False) -> str:
        """Add one."""
        ...

    def hum(self) -> str:
        """Promised by nobody: it carries no operation."""
        ...


class Service:
    """Fills the door, and more."""

    secret = "key"

    def __init__(self) -> None:
        self.called: list[str] = []

    def list_all(self) -> list[str]:
        self.called.append("list_all")
        return ["la"]

    def add(self, *, name: str, loud: bool = False) -> str:
        self.called.append("add")
        return name.upper() if loud else name

    def hum(self) -> str:
        self.called.append("hum")
        return "mm"

    def drop_all(self) -> None:
        self.called.append("drop_all")


def guarded(service: Service, grants: Mapping[int, frozenset[Role]]) -> Songs:
    principal = Principal(ActorId("act_1"), "vic", ActorKind.PERSON, grants)
    return guard(Songs, "songs", service, principal=principal, project_key=3, project="choir")


EDITOR: Mapping[int, frozenset[Role]] = {3: frozenset({Role.EDITOR})}
VIEWER: Mapping[int, frozenset[Role]] = {3: frozenset({Role.VIEWER})}


def test_what_is_allowed_is_passed_on() -> None:
    door = guarded(Service(), EDITOR)
    assert door.list_all() == ["la"]
    assert door.add(name="do", loud=True) == "DO"


def test_what_is_not_is_denied_before_the_service_hears_of_it() -> None:
    service = Service()
    door = guarded(service, VIEWER)
    assert door.list_all() == ["la"]
    with pytest.raises(Denied, match=r"vic may not do data\.write in project choir"):
        door.add(name="do")
    assert service.called == ["list_all"]


def test_a_role_elsewhere_opens_nothing_here_and_one_everywhere_does() -> None:
    with pytest.raises(Denied):
        guarded(Service(), {4: frozenset({Role.ADMIN})}).list_all()
    with pytest.raises(Denied):
        guarded(Service(), {}).list_all()
    assert guarded(Service(), {EVERY_PROJECT: frozenset({Role.VIEWER})}).list_all() == ["la"]


def test_what_the_door_does_not_declare_is_not_there() -> None:
    service = Service()
    door = guarded(service, {EVERY_PROJECT: frozenset({Role.ADMIN})})
    for name in ("drop_all", "secret", "hum", "called", "__wrapped__", "nonsense"):
        with pytest.raises(AttributeError, match=name):
            getattr(door, name)
    assert service.called == []


def test_the_permission_is_asked_at_each_call_and_not_when_the_method_is_taken() -> None:
    add = guarded(Service(), VIEWER).add
    with pytest.raises(Denied):
        add(name="do")


def test_a_method_says_the_kinds_of_its_arguments() -> None:
    assert guarded(Service(), EDITOR).add.__annotations__ == {"name": str, "loud": bool}
