"""A package asked once with its own example rows, before anybody relies on it.

Done when a version is registered: a model that cannot be loaded here, or does not answer the
rows it came with, is known then, and not when the first request comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millwright.core.clock import Clock
from millwright.core.errors import MillwrightError, NotFound
from millwright.registry.examples import read_example_columns
from millwright.registry.package import load_package, read_package
from millwright.registry.pickles import PicklePermission
from millwright.registry.signature import row_count


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of asking a package with its own example."""

    answered: bool
    flavor: str
    """The form that answered, or would have; empty when none can be loaded."""
    rows: int
    """How many rows the example has."""
    shapes: dict[str, tuple[int, ...]]
    """Each output's shape."""
    load_s: float
    answer_s: float
    why: str
    """Why it did not answer; empty when it did."""


def replay(folder: Path, clock: Clock, *, permission: PicklePermission | None = None) -> Replay:
    """Return what the package in `folder` answers to its own example rows.

    Never raises for what the model does: a package that needs a permission it was not given,
    keeps no example, or does not answer, says so in `why`. Raises what `read_package` does when
    the folder is no whole package.
    """
    package = read_package(folder)
    flavor = package.facts.serve or next(iter(package.flavors), "")
    began = clock.monotonic_s()
    rows, loaded_s = 0, began
    try:
        columns = read_example_columns(folder)
        rows = row_count(columns)
        if not rows:
            raise NotFound("the package keeps no example rows")
        model = load_package(folder, expected=package.digest, permission=permission)
        loaded_s = clock.monotonic_s()
        answers = model.predict(columns)
    except MillwrightError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        return Replay(False, flavor, rows, {}, loaded_s - began, 0.0, why)
    except Exception as error:  # noqa: BLE001 (a model raises whatever its library does)
        why = f"{type(error).__name__}: {error}"[:300]
        return Replay(False, flavor, rows, {}, loaded_s - began, 0.0, why)
    return Replay(
        answered=True,
        flavor=model.flavor,
        rows=rows,
        shapes={name: values.shape for name, values in answers.items()},
        load_s=loaded_s - began,
        answer_s=clock.monotonic_s() - loaded_s,
        why="",
    )
