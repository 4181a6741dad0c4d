"""A package asked once with its own example rows, before it is made a version.

A model that does not answer the rows it came with, or no longer as it did, is known then, and
not when the first request comes. Whoever registers asks, on his own machine: the control plane
loads no model for being registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from millwright.core.errors import Failed, NotFound, Refused, Unsupported
from millwright.registry.examples import read_answers, read_example_columns
from millwright.registry.outside import PointsOutside
from millwright.registry.package import load_package, read_package
from millwright.registry.parity import compare
from millwright.registry.proof import describe
from millwright.registry.signature import Array, row_count


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of asking a package with its own example."""

    rows: int = 0
    """How many rows it answered."""
    is_held: bool = False
    """Whether the answers were held against those that the package keeps."""
    untried: str = ""
    """Why it was not asked; empty when it was."""
    is_loaded: bool = True
    """Whether it can be loaded here, as gates and servers load it."""

    def __str__(self) -> str:
        if self.untried:
            return f"example rows: not tried, since {self.untried}"
        held = " as when it was packaged" if self.is_held else "; it keeps no answers to compare"
        return f"example rows: {self.rows} answered{held}"


def replay(folder: Path) -> Replay:
    """Ask the package in `folder` with its own example rows.

    One that keeps none, that nothing here loads, or that is a pickle is not tried. Raises Failed
    when it does not answer, or otherwise than it did, PointsOutside when its file does, and what
    `read_package` does when the folder is no whole package.
    """
    package = read_package(folder)
    try:
        model = load_package(folder, expected=package.digest)
    except PointsOutside:
        raise
    except (Unsupported, Refused) as error:
        untried = f"{error.what}: {error.why}" if error.why else error.what
        return Replay(untried=untried, is_loaded=False)
    try:
        columns = read_example_columns(folder)
    except NotFound as error:
        return Replay(untried=error.what)
    rows = row_count(columns)
    if not rows:
        return Replay(untried="it keeps none")
    try:
        answers = model.predict(columns)
    except Exception as error:
        raise _refused(f"{type(error).__name__}: {error}"[:300]) from error
    kept = read_answers(folder)
    if kept is None:
        return Replay(rows)
    if _shapes(kept) != _shapes(answers):
        raise _refused(f"it answered {_shapes(kept)} then, and {_shapes(answers)} now")
    try:
        parity = compare(kept, answers, rows)
    except ValueError as error:
        raise _refused(f"the kept answers are of another kind: {error}") from error
    if not parity.accepted:
        raise _refused(describe(parity))
    return Replay(rows, is_held=True)


def _shapes(answers: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: answers[name].shape for name in sorted(answers)}


def _refused(why: str) -> Failed:
    return Failed(
        "the package does not answer its own example rows as it should",
        why=why,
        fix="package the model again, where it was trained or in the environment it names",
    )
