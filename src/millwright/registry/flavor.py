"""The port for model formats: how a trained model becomes files, and files answer again.

A flavour is found by its name in the entry-point group `millwright.flavors`. It writes weights
the same way each time, so that the same fit gives the same bytes, and refuses to load what
could run code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

from millwright.core import plugins
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.signature import Array, Columns, Label

Section: TypeAlias = "Mapping[str, JsonValue]"
"""What a flavour writes about itself into MLmodel; other tools read these keys too."""

GROUP = "millwright.flavors"


class Predictor(Protocol):
    """A loaded model; safe to call from several threads."""

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through.

        A classifier gives `prediction` (n,), its label, and, where it knows probabilities,
        `probability`: (n,) of the second class when there are two, (n, k) when there are more,
        in the order of its classes. Anything else gives `prediction` (n,).
        """
        ...


@dataclass(frozen=True, slots=True)
class Dumped:
    """What a flavour wrote into a package's folder."""

    weights: tuple[str, ...]
    """The files that decide the answers, as paths in the folder."""
    distributions: tuple[str, ...]
    """The distributions that loading needs, as package indexes name them."""
    section: Section


class Flavor(Protocol):
    """One format of models."""

    name: str

    def handles(self, model: object) -> bool:
        """Tell whether this flavour knows the type of `model`."""
        ...

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model` into `folder`; the same fit gives the same bytes.

        `classes` are a classifier's labels in its own order, empty for others. Raises
        Unsupported, with the reason, when the model cannot be written in this format.
        """
        ...

    def load(self, folder: Path, *, signature: Signature, section: Section) -> Predictor:
        """Return the model in `folder`; nothing in the files is run as code.

        Raises Refused when they ask for a type that is not allowed, Corrupt when they are
        damaged, and Unsupported when the installed libraries cannot read them.
        """
        ...


def load_flavor(name: str) -> Flavor:
    """Return a flavour by its name; raises NotFound when none is installed under it."""
    kind = cast("type[Flavor]", plugins.load(GROUP, name))
    return kind()


def flavor_names() -> list[str]:
    """Return the names of the installed flavours."""
    return plugins.names(GROUP)
