"""What a step is given: plain values, results of other steps, and lists or mappings of both.

A graph holds references to results that do not exist yet. `bind` replaces them by stored
results, and what comes out can be sent to a worker as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeAlias, assert_never

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest

JsonValue: TypeAlias = Any
"""What JSON can hold; checked when a graph is built, so that the reader can trust it."""


class Plain(Struct, frozen=True, kw_only=True, tag="plain"):
    """A value written into the pipeline, or one of its parameters."""

    value: JsonValue


class Ref(Struct, frozen=True, kw_only=True, tag="ref"):
    """A result that another step makes; `step` is empty for an input of the pipeline."""

    step: str
    output: str


class Stored(Struct, frozen=True, kw_only=True, tag="stored"):
    """A result that lies in the artifact store."""

    kind: str
    digest: Digest
    name: str = ""
    """For the kind `data`: how the file is to be called."""
    maker: Address | None = None
    """The step that made it, whose return annotation says how to read JSON back."""
    output: str = ""


class Many(Struct, frozen=True, kw_only=True, tag="many"):
    """A list or tuple that holds at least one result."""

    items: list[Argument]


class Named(Struct, frozen=True, kw_only=True, tag="named"):
    """A mapping that holds at least one result."""

    items: dict[str, Argument]


Argument: TypeAlias = Plain | Ref | Stored | Many | Named


class Address(Struct, frozen=True, kw_only=True):
    """Where a step is found: an attribute of a module, and the file the module is made from."""

    module: str
    attribute: str
    path: str


def refs_in(argument: Argument) -> Iterator[Ref]:
    """Iterate over the references in `argument`."""
    match argument:
        case Plain() | Stored():
            return
        case Ref():
            yield argument
        case Many():
            for item in argument.items:
                yield from refs_in(item)
        case Named():
            for item in argument.items.values():
                yield from refs_in(item)
        case _:
            assert_never(argument)


def bind(argument: Argument, lookup: Callable[[Ref], Stored]) -> Argument:
    """Return `argument` with every reference replaced by what `lookup` gives for it."""
    match argument:
        case Plain() | Stored():
            return argument
        case Ref():
            return lookup(argument)
        case Many():
            return Many(items=[bind(item, lookup) for item in argument.items])
        case Named():
            return Named(items={key: bind(item, lookup) for key, item in argument.items.items()})
        case _:
            assert_never(argument)


def spell(argument: Argument) -> str:
    """Return a bound argument as text that differs whenever its content does.

    >>> spell(Plain(value=[1, 2.5]))
    '[1,2.5]'
    """
    match argument:
        case Plain():
            return msgspec.json.encode(argument.value).decode()
        case Stored():
            # A file's name may change, its suffix says how to read it.
            return f"{argument.kind} {argument.digest}{PurePosixPath(argument.name).suffix}"
        case Many():
            return "[" + ", ".join(spell(item) for item in argument.items) + "]"
        case Named():
            inner = (f"{key!r}: {spell(item)}" for key, item in argument.items.items())
            return "{" + ", ".join(inner) + "}"
        case Ref():
            raise AssertionError("an argument is bound before it is spelled")
        case _:
            assert_never(argument)
