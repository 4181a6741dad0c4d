"""The port for wire protocols: bytes become calls, answers become bytes; no I/O.

A peer is found by its name in the entry-point group `millwright.protocols`. The path alone says
which protocol speaks; what a body means never depends on guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from millwright.core.errors import MillwrightError
from millwright.records.schema import ColumnKind, Signature
from millwright.records.serving import Cell, Decision, Variant
from millwright.registry.signature import Array

GROUP = "millwright.protocols"

Action: TypeAlias = Literal["infer", "model", "model-ready", "server", "live", "ready"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for."""

    action: Action
    model: str = ""
    """The deployment's name."""
    version: int | None = None
    """A version named by the caller, who then gets that one and no other."""

    @property
    def method(self) -> str:
        """The one HTTP method that this path answers."""
        return "POST" if self.action == "infer" else "GET"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that fit a model's signature, in the two shapes they are needed in."""

    columns: dict[str, Array]
    """As `registry.signature.check_columns` gives them."""
    rows: Sequence[dict[str, Cell]]
    """As they are captured."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a model, ready to be written."""

    kind: ColumnKind
    shape: list[int]
    data: list[Cell]
    """Flat, row by row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call: one decision for each row, answered or not."""

    deployment: str
    variant: Variant
    decisions: Sequence[Decision]
    outputs: Mapping[str, Output]
    """Empty when there is an error."""
    error: MillwrightError | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a protocol may tell about a deployment's model."""

    name: str
    versions: Sequence[int]
    flavor: str
    signature: Signature
    widths: Mapping[str, int | None]
    """For each output: None when it has one value a row, otherwise how many."""


class Call(Protocol):
    """A request whose envelope is read; its tensors wait for the signature they must fit."""

    @property
    def key(self) -> str | None:
        """The sticky key, when the body has one."""
        ...

    @property
    def subject(self) -> str | None:
        """Whom the decision is about, when the body says so."""
        ...

    @property
    def case(self) -> str | None:
        """Which of the organisation's cases it belongs to, when the body says so."""
        ...

    def batch(self, signature: Signature) -> Batch:
        """Return the rows; raises Invalid, saying which tensor is wrong and how."""
        ...

    def encode(self, answer: Answer) -> bytes:
        """Return the body that answers this call, whose answer has no error."""
        ...


class WireProtocol(Protocol):
    """One way of speaking to a model over HTTP."""

    @property
    def name(self) -> str:
        """The name under which it is found."""
        ...

    def route(self, path: str) -> Route | None:
        """Return what `path` asks for; None when it is not one of this protocol's."""
        ...

    def parse(self, body: bytes) -> Call:
        """Read a request's envelope; raises Invalid."""
        ...

    def describe_model(self, facts: ModelFacts) -> bytes:
        """Return the body that describes a model."""
        ...

    def describe_server(self) -> bytes:
        """Return the body that describes this server."""
        ...

    def say_live(self) -> bytes:
        """Return the body that says that the process is alive."""
        ...

    def say_ready(self, model: str | None) -> bytes:
        """Return the body that says that a model, or with None the server, can answer."""
        ...

    def say_error(self, text: str) -> bytes:
        """Return the body of an error."""
        ...
