"""LightGBM's model text, read before LightGBM reads it.

Its library follows what a text says without asking, and parses trees in threads in which an
error ends the process: of eleven damaged texts tried with 4.7, eight did, and one went round in
a circle for ever. So lengths, children, columns and categories are looked at here first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Corrupt
from millwright.registry.outside import points_outside

Integers: TypeAlias = "npt.NDArray[np.int64]"

_END = "end of trees"
_CATEGORIES = "pandas_categorical:"
_BY_SET = 1

# The lines of a tree and how many values each has, by what there are of in the tree. The library
# counts the values of every line, used or not, and ends the process where they are not right.
_SPLIT_LINES = ("split_gain", "internal_value", "internal_weight", "internal_count")
_LEAF_LINES = ("leaf_weight", "leaf_count")
_LINES = frozenset(
    {
        *_SPLIT_LINES,
        *_LEAF_LINES,
        "Tree",
        "cat_boundaries",
        "cat_threshold",
        "decision_type",
        "is_linear",
        "leaf_coeff",
        "leaf_const",
        "leaf_features",
        "leaf_value",
        "left_child",
        "num_cat",
        "num_features",
        "num_leaves",
        "right_child",
        "shrinkage",
        "split_feature",
        "threshold",
    }
)
_NUMBER = r"-?(\d{1,32}(\.\d{0,32})?([eE][-+]?\d{1,3})?|inf|nan)"
_NUMBERS = re.compile(rf"{_NUMBER}( {_NUMBER})*")
# The columns of a linear tree's leaves stand in groups, with more space between them.
_GROUPED = re.compile(rf"({_NUMBER}( +{_NUMBER})*)?")


@dataclass(frozen=True, slots=True)
class LgbFacts:
    """What a model text says of its model."""

    objective: str
    """`binary`, `multiclass`, `regression` ...; empty for one of the user's own."""
    names: tuple[str, ...]
    groups: int
    """How many scores it sums: one for each class where there are more than two."""
    has_categories: bool
    """Whether it was fitted on pandas columns of categories, which only pandas can ask it."""


def check_lightgbm(text: str) -> LgbFacts:
    """Return what the model text says, after following all it points at.

    Raises Corrupt when it is no whole model, and Refused when a tree points outside itself.
    """
    try:
        return _check(text)
    except (KeyError, ValueError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise Corrupt("this is not a whole LightGBM model", why=reason) from error


def _check(text: str) -> LgbFacts:
    head, blank, _ = text.partition("\n\n")
    if not head.startswith("tree\n") or not blank:
        raise ValueError("it does not begin with 'tree'")
    # LightGBM counts the bytes of trees, and here characters are counted.
    if not text.isascii() and not _trees_are_ascii(text):
        raise ValueError("its trees hold letters beyond ASCII")
    fields = _fields(head)
    width = int(fields["max_feature_idx"]) + 1
    groups = int(fields["num_tree_per_iteration"])
    names = tuple(fields["feature_names"].split(" "))
    if len(names) != width or len(fields["feature_infos"].split(" ")) != width:
        raise ValueError(f"it has not {width} columns")
    if groups < 1 or int(fields["num_class"]) not in {1, groups}:
        raise ValueError("it does not say how many classes it has")
    place = len(head) + 1
    sizes = _integers(fields["tree_sizes"]) if fields.get("tree_sizes") else np.zeros(0, np.int64)
    if len(sizes) % groups or (sizes <= 0).any() or int(sizes.sum()) > len(text):
        raise ValueError("it has not as many trees for each class")
    place += 1
    for number, size in enumerate(cast("list[int]", sizes.tolist())):
        _check_tree(text[place : place + size], number, width)
        place += size
    if not text.startswith(_END, place):
        raise ValueError("something other than its end stands behind its last tree")
    return LgbFacts(
        objective=fields.get("objective", "").partition(" ")[0],
        names=names,
        groups=groups,
        has_categories=_has_categories(text),
    )


def _trees_are_ascii(text: str) -> bool:
    start, end = text.find("\nTree=0\n"), text.find(_END)
    return start == -1 or text[start:end].isascii()


def _has_categories(text: str) -> bool:
    _, found, tail = text.rpartition(_CATEGORIES)
    return bool(found) and bool(json.loads(tail.partition("\n")[0]))


def _check_tree(block: str, number: int, width: int) -> None:
    lines = block.split("\n", 1)
    if lines[0] != f"Tree={number}" or not block.endswith("\n"):
        raise ValueError(f"its tree {number} does not stand where it should")
    fields = _fields(lines[1].rstrip("\n"))
    unknown = set(fields) - _LINES
    if unknown:
        raise ValueError(f"its tree {number} has a line {min(unknown)[:40]!r}")
    leaves, sets = int(fields["num_leaves"]), int(fields["num_cat"])
    if leaves < 1 or sets < 0:
        raise ValueError(f"its tree {number} has {leaves} leaves")
    _floats(fields, "leaf_value", leaves, number)
    _check_linear(fields, leaves, width, number)
    for key in _LEAF_LINES:
        # A tree of one leaf has not all of them.
        if fields.get(key):
            _floats(fields, key, leaves, number)
    if not _NUMBERS.fullmatch(fields.get("shrinkage", "1")):
        raise ValueError(f"its tree {number} has no shrinkage")
    if leaves == 1:
        return
    for key in _SPLIT_LINES:
        if key in fields:
            _floats(fields, key, leaves - 1, number)
    left, right = _integers(fields["left_child"]), _integers(fields["right_child"])
    feature, decision = _integers(fields["split_feature"]), _integers(fields["decision_type"])
    threshold = _floats(fields, "threshold", leaves - 1, number)
    if not len(left) == len(right) == len(feature) == len(decision) == leaves - 1:
        raise ValueError(f"its tree {number} has not {leaves - 1} splits")
    own = np.arange(leaves - 1)
    for child in (left, right):
        # A leaf is written as -1 minus its number; a split stands behind its parent.
        inside = ((child > own) & (child < leaves - 1)) | ((child < 0) & (child >= -leaves))
        if not inside.all():
            raise points_outside("LightGBM", f"tree {number} leads to a node that it does not have")
    if not ((feature >= 0) & (feature < width)).all():
        raise points_outside(
            "LightGBM", f"tree {number} asks for a column that a row does not have"
        )
    _check_categories(fields, threshold[(decision & _BY_SET) != 0], sets, number)


def _check_categories(
    fields: Mapping[str, str], chosen: npt.NDArray[np.float64], sets: int, number: int
) -> None:
    if sets:
        bounds = _integers(fields["cat_boundaries"])
        held = _integers(fields["cat_threshold"])
        fits = len(bounds) == sets + 1 and bounds[0] == 0 and bounds[-1] == len(held)
        if not fits or (np.diff(bounds) < 0).any():
            raise points_outside(
                "LightGBM", f"tree {number} has categories that are not in the file"
            )
    if ((chosen < 0) | (chosen >= sets) | (chosen != np.floor(chosen))).any():
        raise points_outside(
            "LightGBM", f"tree {number} splits by a set of categories it does not have"
        )


def _check_linear(fields: Mapping[str, str], leaves: int, width: int, number: int) -> None:
    if fields.get("is_linear", "0") == "0":
        return
    _floats(fields, "leaf_const", leaves, number)
    counts = _integers(fields["num_features"])
    named = _integers(fields["leaf_features"])
    _floats(fields, "leaf_coeff", len(named), number)
    if len(counts) != leaves or (counts < 0).any() or int(counts.sum()) != len(named):
        raise ValueError(f"its tree {number} has not the columns of its leaves")
    if not ((named >= 0) & (named < width)).all():
        raise points_outside(
            "LightGBM", f"tree {number} asks for a column that a row does not have"
        )


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key in fields and line:
            raise ValueError(f"{key[:40]} is given twice")
        fields[key] = value
    return fields


def _integers(text: str) -> Integers:
    if not _GROUPED.fullmatch(text.strip(" ")):
        raise ValueError(f"{text[:40]!r} are no numbers")
    return np.array(text.split(), dtype=np.int64)


def _floats(
    fields: Mapping[str, str], key: str, count: int, number: int
) -> npt.NDArray[np.float64]:
    text = fields[key]
    is_grouped = key == "leaf_coeff"
    if not (_GROUPED.fullmatch(text.strip(" ")) if is_grouped else _NUMBERS.fullmatch(text)):
        raise ValueError(f"its tree {number} has no numbers as {key}")
    found = np.array(text.split(), dtype=np.float64)
    if len(found) != count:
        raise ValueError(f"its tree {number} has not {count} of {key}")
    return found
