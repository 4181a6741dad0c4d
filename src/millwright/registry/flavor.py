"""The port for model formats: how a trained model becomes files, and files answer again.

A flavour is found by its name in the entry-point group `millwright.flavors`: MLflow's name for
it, which stands in MLmodel. It writes weights the same way each time, so that the same fit gives
the same bytes, and refuses to load what could run code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast, runtime_checkable

from millwright.artifacts.paths import join, parse_artifact_path
from millwright.core import plugins
from millwright.core.errors import Corrupt, Invalid, NotFound
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.pickles import PicklePermission
from millwright.registry.signature import Array, Columns, Frame, Label

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


@runtime_checkable
class Labelled(Protocol):
    """A predictor that knows a classifier's labels, in the order of its probabilities."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """The labels; empty when it is no classifier."""
        ...


@dataclass(frozen=True, slots=True)
class Dumped:
    """What a flavour wrote into a package's folder."""

    weights: tuple[str, ...]
    """The files that decide the answers, as paths in the folder."""
    distributions: Mapping[str, str]
    """The distributions that loading needs, as package indexes name them, and their versions."""
    section: Section
    pyfunc: Section
    """How MLflow's own loader finds this form: `loader_module` and where the model lies."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a fitted model knows of the rows it was fitted on."""

    names: tuple[str, ...] = ()
    """Its columns in their order; empty when it was fitted on an array."""
    width: int | None = None
    """How many columns it takes; None when it does not say."""
    classes: tuple[Label, ...] = ()
    """A classifier's labels in the order of its probabilities; empty for others."""
    # scikit-learn sums in an order that may depend on the shape of its input.
    tolerance: float = 1e-9
    """How far the answers of its own file may be from those of the model in memory."""


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


@runtime_checkable
class TrainedFlavor(Flavor, Protocol):
    """A format in which a library keeps its own models, and so knows them in memory too."""

    def know(self, model: object) -> Known:
        """Return what `model`, which `handles` knows, was fitted on."""
        ...

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what `model` in memory answers to `rows`, as a `Predictor` would.

        `frame` holds the same rows as the user gave them, when they came in a data frame.
        Raises Unsupported when the model does not answer with one value a row, and ValueError
        or TypeError when it does not take these rows.
        """
        ...


@runtime_checkable
class PickleFlavor(Flavor, Protocol):
    """A format of which other tools also write a form that runs code when it is loaded."""

    def load_pickle(
        self,
        folder: Path,
        *,
        signature: Signature,
        section: Section,
        permission: PicklePermission,
    ) -> Predictor:
        """Return the model in `folder`, running the code in its files.

        For those alone that hold a permission for this very model; raises as `load`.
        """
        ...


def load_flavor(name: str) -> Flavor:
    """Return a flavour by its name; raises NotFound when none is installed under it."""
    kind = cast("type[Flavor]", plugins.load(GROUP, name))
    return kind()


def flavor_names() -> list[str]:
    """Return the names of the installed flavours."""
    return plugins.names(GROUP)


def read_weight(folder: Path, name: str) -> bytes:
    """Return the bytes of a weight file, whose name stands in MLmodel and is not trusted.

    Raises NotFound when the package has no such file, and Corrupt for a name that leads out.
    """
    try:
        path = join(folder, parse_artifact_path(name))
    except Invalid as error:
        raise Corrupt(f"MLmodel names a file {name[:80]!r}", why=error.why) from error
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"the package has no {name}", why=f"{path} is not there") from error
