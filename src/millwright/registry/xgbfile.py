"""XGBoost's model files, read before XGBoost reads them.

Its library follows the children and columns of a tree without asking whether they exist: a
changed file ends the process, or reads memory that is not the model's (tried with 3.2: six of
fourteen damaged files did). So what it will follow is looked at here first, in the file's own
JSON or UBJSON, and whatever points outside is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt

from millwright.core.errors import Corrupt, Unsupported
from millwright.registry.outside import points_outside
from millwright.registry.ubjson import Ubj, decode_ubjson

Node: TypeAlias = "Mapping[str, Ubj]"
Integers: TypeAlias = "npt.NDArray[np.int64]"

_LEAF = -1
_NOBODY = 2**31 - 1
_MAX_COUNT = 1 << 31


@dataclass(frozen=True, slots=True)
class XgbFacts:
    """What a model file says of its model."""

    booster: str
    """`gbtree`, `dart` or `gblinear`."""
    objective: str
    width: int
    """How many columns a row has."""
    names: tuple[str, ...]
    """The columns' names; empty when it was fitted on an array."""
    kinds: tuple[str, ...]
    """`float`, `int`, `q`, `i` or, for categories, `c`; empty as `names`."""
    groups: int
    """How many scores it sums: one for each class where there are more than two."""
    attributes: Mapping[str, str]


def check_xgboost(data: bytes) -> XgbFacts:
    """Return what the model file `data`, JSON or UBJSON, says, after following all it points at.

    Raises Corrupt when it is no whole model file, Refused when a tree points outside itself or
    the row, and Unsupported for what is not read here: trees whose leaves are vectors.
    """
    return check_xgboost_model(_decode(data))


def check_xgboost_model(model: Node) -> XgbFacts:
    """Return what a decoded model says; raises as `check_xgboost`."""
    try:
        return _check(model)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise Corrupt("this is not a whole XGBoost model", why=reason) from error


def _decode(data: bytes) -> Node:
    # Both begin with a brace; behind it JSON has a quotation mark, UBJSON the type of a length.
    if data[:1] == b"{" and data[1:].lstrip()[:1] == b'"':
        try:
            return msgspec.json.decode(data, type=dict[str, object])  # pyright: ignore[reportReturnType] (JSON is part of Ubj)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Corrupt("this is not a whole XGBoost model", why=str(error)) from error
    if not data:
        raise Corrupt("the XGBoost model file is empty")
    decoded = decode_ubjson(data)
    if not isinstance(decoded, dict):
        raise Corrupt("this is not an XGBoost model", why="it is no object")
    return decoded


def _check(model: Node) -> XgbFacts:
    learner = _node(model["learner"])
    params = _node(learner["learner_model_param"])
    width, classes = _count(params["num_feature"]), _count(params["num_class"])
    groups = max(classes, 1) * max(_count(params.get("num_target", "1")), 1)
    names = tuple(str(name) for name in _list(learner.get("feature_names", [])))
    kinds = tuple(str(kind) for kind in _list(learner.get("feature_types", [])))
    if any(given and len(given) != width for given in (names, kinds)):
        raise Corrupt("the XGBoost model names other columns than it has")
    boosting = _node(learner["gradient_booster"])
    booster = "gblinear"
    if "gbtree" in boosting:
        booster = "dart"
        trees = _check_forest(_node(boosting["gbtree"])["model"], width, groups)
        if len(_list(boosting["weight_drop"])) != trees:
            raise Corrupt("the XGBoost model has not one weight for each of its trees")
    elif "weights" in _node(boosting["model"]):
        if len(_list(_node(boosting["model"])["weights"])) != (width + 1) * groups:
            raise Corrupt("the XGBoost model has not one weight for each column and class")
    else:
        booster = "gbtree"
        _check_forest(boosting["model"], width, groups)
    return XgbFacts(
        booster=booster,
        objective=str(_node(learner["objective"])["name"]),
        width=width,
        names=names,
        kinds=kinds,
        groups=groups,
        attributes={key: str(value) for key, value in _node(learner.get("attributes", {})).items()},
    )


def _check_forest(found: Ubj, width: int, groups: int) -> int:
    forest = _node(found)
    trees = _list(forest["trees"])
    info = _integers(forest["tree_info"])
    if len(trees) != _count(_node(forest["gbtree_model_param"])["num_trees"]):
        raise Corrupt("the XGBoost model holds other trees than it counts")
    if len(info) != len(trees) or not ((info >= 0) & (info < groups)).all():
        raise points_outside("XGBoost", "a tree adds to a class that does not exist")
    if "iteration_indptr" in forest:
        rounds = _integers(forest["iteration_indptr"])
        ends = len(rounds) > 0 and rounds[0] == 0 and rounds[-1] == len(trees)
        if not ends or (np.diff(rounds) < 0).any():
            raise points_outside("XGBoost", "its rounds hold trees that do not exist")
    for tree in trees:
        _check_tree(_node(tree), width)
    return len(trees)


def _check_tree(tree: Node, width: int) -> None:
    params = _node(tree["tree_param"])
    n = _count(params["num_nodes"])
    if _count(params.get("size_leaf_vector", "1")) > 1:
        raise Unsupported(
            "the XGBoost model has leaves of more than one value",
            fix="train it with multi_strategy='one_output_per_tree'",
        )
    left, right = _integers(tree["left_children"]), _integers(tree["right_children"])
    feature = _integers(tree["split_indices"])
    for key in ("split_conditions", "default_left", "base_weights", "sum_hessian", "parents"):
        if len(_list(tree[key])) != n:
            raise Corrupt(f"a tree of the XGBoost model has not {n} {key}")
    if n == 0 or not len(left) == len(right) == len(feature) == n:
        raise Corrupt(f"a tree of the XGBoost model has not {n} nodes")
    inner = (left != _LEAF) | (right != _LEAF)
    own = np.arange(n)
    # Children stand behind their parent, so that no walk goes round in a circle.
    inside = (left > own) & (left < n) & (right > own) & (right < n)
    if not (inside & (feature >= 0) & (feature < width))[inner].all():
        raise points_outside("XGBoost", "a node leads outside the tree or the row")
    # The library walks upward too, to find how deep a tree is.
    above = _integers(tree["parents"])
    at = np.flatnonzero(inner)
    known = ((above >= 0) & (above < n)) | (above == _NOBODY)
    if not (known.all() and (above[left[at]] == at).all() and (above[right[at]] == at).all()):
        raise points_outside("XGBoost", "a node has another parent than leads to it")
    _check_categories(tree, inner)


def _check_categories(tree: Node, inner: npt.NDArray[np.bool_]) -> None:
    kinds = _integers(tree["split_type"]) if "split_type" in tree else np.zeros(0, np.int64)
    if len(kinds) not in {0, len(inner)}:
        raise Corrupt("a tree of the XGBoost model has not one kind of split for each node")
    by_set = np.flatnonzero((kinds != 0) & inner) if len(kinds) else np.zeros(0, np.int64)
    nodes = _integers(tree.get("categories_nodes", []))
    starts, sizes = (
        _integers(tree.get("categories_segments", [])),
        _integers(tree.get("categories_sizes", [])),
    )
    held = _integers(tree.get("categories", []))
    fits = len(nodes) == len(starts) == len(sizes) and (np.diff(nodes) > 0).all()
    if not fits or not np.isin(by_set, nodes).all() or not np.isin(nodes, by_set).all():
        raise points_outside("XGBoost", "a split has no set of categories")
    if ((starts < 0) | (sizes < 0) | (starts + sizes > len(held))).any():
        raise points_outside("XGBoost", "a split has categories that are not in the file")
    if ((held < 0) | (held >= _MAX_COUNT)).any():
        raise points_outside("XGBoost", "a category has no number")


def _node(value: Ubj) -> Node:
    if not isinstance(value, dict):
        raise TypeError(f"an object is due, not {type(value).__name__}")
    return value


def _list(value: Ubj) -> Sequence[Ubj]:
    if isinstance(value, np.ndarray):
        return cast("Sequence[Ubj]", value)
    if not isinstance(value, list):
        raise TypeError(f"a list is due, not {type(value).__name__}")
    return value


def _integers(value: Ubj) -> Integers:
    array = np.asarray(_list(value))
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise TypeError("whole numbers are due")
    return array.astype(np.int64)


def _count(value: Ubj) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise ValueError(f"a count is due, not {value!r:.40}")
    count = int(value[:20])
    if count >= _MAX_COUNT:
        raise ValueError(f"{count} is no count")
    return count
