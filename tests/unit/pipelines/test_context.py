from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from millwright.core.errors import Conflict, Failed, Invalid
from millwright.pipelines.context import StepContext, answer_with
from millwright.pipelines.executor import Called


class Version(msgspec.Struct, frozen=True):
    name: str
    number: int


class Models(Protocol):
    def register(self, name: str, *, folder: Path, tags: dict[str, str]) -> Version: ...

    def read(self, version: Version) -> bytes: ...

    def approve(self, name: str) -> None: ...

    def unknown(self) -> None: ...


class RealModels:
    def register(self, name: str, *, folder: Path, tags: dict[str, str]) -> Version:
        assert isinstance(folder, Path)
        return Version(f"{name} {folder} {tags}", 3)

    def read(self, version: Version) -> bytes:
        assert isinstance(version, Version)
        return b"\x00" * version.number

    def approve(self, name: str) -> None:
        if name == "broken":
            raise ZeroDivisionError("oops")
        raise Conflict(f"{name} waits", why="nobody agreed", fix="ask")


@dataclass
class Door:
    models: RealModels


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return StepContext.local(door=Door(RealModels()), folder=tmp_path).door(Models, "models")


def test_arguments_and_results_travel_by_their_annotations(models: Models) -> None:
    found = models.register("churn", folder=Path("/x"), tags={"a": "b"})
    assert found == Version("churn /x {'a': 'b'}", 3)
    assert models.read(found) == b"\x00\x00\x00"


def test_errors_come_back_as_they_were(models: Models) -> None:
    with pytest.raises(Conflict) as caught:
        models.approve("churn")
    assert (caught.value.what, caught.value.why, caught.value.fix) == (
        "churn waits",
        "nobody agreed",
        "ask",
    )
    with pytest.raises(Failed, match=r"models\.approve broke: ZeroDivisionError: oops"):
        models.approve("broken")


def test_what_the_door_does_not_have_is_named(models: Models, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no models\.unknown"):
        models.unknown()
    closed = StepContext.local(folder=tmp_path).door(Models, "models")
    with pytest.raises(Invalid) as caught:
        closed.approve("churn")
    assert caught.value.why == "no door was given to this pipeline"
    with pytest.raises(AttributeError, match="no method"):
        models.forget()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("noun", "method"), [("models", "__init__"), ("__class__", "mro")])
def test_hidden_names_cannot_be_called(noun: str, method: str) -> None:
    empty = msgspec.msgpack.encode({})
    called = Called(task="t", number=1, noun=noun, method=method, arguments=empty)
    reply = answer_with(Door(RealModels()))(called)
    assert reply.problem is not None
    assert reply.problem.code == "invalid"


def test_a_value_that_cannot_travel_is_named(models: Models) -> None:
    with pytest.raises(Invalid, match="of type object cannot pass"):
        models.register(object(), folder=Path(), tags={})  # type: ignore[arg-type]


def test_a_local_context_takes_what_is_logged(tmp_path: Path) -> None:
    context = StepContext.local(folder=tmp_path)
    context.log_param("a", 1)
    context.log_metric("b", 0.5)
    context.log_metrics({"c": 1, "d": 2})
    context.set_tag("e", "f")
    context.progress(1, 2)
    assert context.folder == tmp_path
