"""scikit-learn models as skops files: no pickle, an allow-list, one spelling.

A skops file names every type it holds. It is loaded only when skops itself trusts the type
(scikit-learn's estimators, numpy's and Python's plain types) or it stands in `TRUSTED`; any
other is refused by name, and nothing of it is constructed. skops leaves a tree's nodes out of
what it trusts, since scikit-learn follows their child and column numbers without looking
whether these are in range; so they are looked at here, before the first row is answered.
LightGBM's and XGBoost's models at the end of a pipeline are let in once `boosted` has followed
their trees.

A pickle, which other tools write, is loaded by those alone that hold a permission for it.
"""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.boosted import BOOSTED_TYPES, check_boosters
from millwright.registry.fitted import (
    Estimator,
    answer,
    class_name,
    forget_frames,
    split_pipeline,
    walk,
)
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.outside import points_outside
from millwright.registry.pickles import PicklePermission, refuse_pickle, unpickle
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Columns, Frame, Label
from millwright.registry.skopsfile import BROKEN, canonical_skops

FILE = "model.skops"
DISTRIBUTION = "scikit-learn"

TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""What a file may hold beyond the types skops trusts by itself."""

_LEAF = -1


class SklearnPredictor:
    """A scikit-learn model that answers plain columns."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator

    @property
    def classes(self) -> tuple[Label, ...]:
        """A classifier's labels; empty for others."""
        return _classes(self.estimator)

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        return _named(*answer(self.estimator, columns))


class SklearnFlavor:
    """Reads and writes `model.skops`; also a codec from models to bytes for pipeline steps."""

    name = "sklearn"

    def handles(self, model: object) -> bool:
        """Tell whether scikit-learn made the class of `model`, and it can predict."""
        return class_name(model) != "" and hasattr(model, "predict")

    def dumps(self, model: object) -> bytes:
        """Return `model` as the bytes of a skops file; the same fit gives the same bytes.

        Raises Unsupported, naming the type, when it holds something that `loads` would refuse.
        """
        try:
            data = canonical_skops(skops.io.dumps(model))
        except (UnsupportedTypeException, TypeError, AttributeError) as error:
            raise Unsupported(
                f"a {type(model).__name__} cannot be written without pickle",
                why=str(error)[:300],
                fix="use scikit-learn's own transformers, without functions of your own",
            ) from error
        foreign = _foreign_types(data)
        if foreign - BOOSTED_TYPES:
            raise Unsupported(
                f"the model holds types that no loader would trust: {_listed(foreign)}",
                why="what a model file may construct is a fixed list",
                fix="use scikit-learn's own classes, and put code of your own into a pipeline step",
            )
        return data

    def loads(self, data: bytes) -> Estimator:
        """Return the model in the bytes of a skops file.

        Raises Refused, naming the types, when it holds one that is not allowed, or trees that
        point outside themselves, and Corrupt when it is no skops file.
        """
        foreign = _foreign_types(data)
        if foreign - BOOSTED_TYPES:
            raise Refused(
                f"the model file asks for types that are not allowed: {_listed(foreign)}",
                why="constructing them could run code",
                fix="package the model anew from scikit-learn's own classes",
            )
        if foreign:
            check_boosters(data)
        try:
            with warnings.catch_warnings():
                # The minor version was compared before; scikit-learn warns at each patch.
                warnings.simplefilter("ignore")
                model: Estimator = skops.io.loads(data, trusted=sorted(TRUSTED | foreign))
        except BROKEN as error:
            raise Corrupt("the model file cannot be read", why=_reason(error)) from error
        for part in walk(model):
            _check_trees(part)
        return model

    def know(self, model: object) -> Known:
        """Return the columns and classes of a fitted model."""
        names = cast("Sequence[object] | None", getattr(model, "feature_names_in_", None))
        return Known(
            names=() if names is None else tuple(str(name) for name in names),
            width=cast("int | None", getattr(model, "n_features_in_", None)),
            classes=_classes(model),
        )

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what the model answers, asked in its own way where it was fitted on a frame."""
        if frame is None or not hasattr(model, "feature_names_in_"):
            nameless: Estimator = copy.deepcopy(model)
            forget_frames(nameless)
            return _named(*answer(nameless, rows))
        asked: Estimator = model
        prediction = np.asarray(asked.predict(frame)).reshape(-1)
        if not hasattr(asked, "predict_proba"):
            return _named(prediction, None)
        return _named(prediction, np.asarray(asked.predict_proba(frame)))

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model.skops` into `folder`."""
        del signature, classes  # the file says it all by itself
        data = self.dumps(model)
        (folder / FILE).write_bytes(data)
        boosted = _foreign_types(data)
        libraries = {name.partition(".")[0] for name in boosted} & {"lightgbm", "xgboost"}
        needed = {name: version(name) for name in ("numpy", DISTRIBUTION, "scipy", "skops")}
        return Dumped(
            weights=(FILE,),
            distributions=needed | {name: _module_version(name) for name in libraries},
            section={
                # The key's name is MLflow's; the file is no pickle, as the next key says.
                "pickled_model": FILE,
                "serialization_format": "skops",
                "sklearn_version": version(DISTRIBUTION),
                "skops_trusted_types": cast("list[JsonValue]", sorted(TRUSTED | boosted)),
                "predict_fn": "predict",
                "code": None,
            },
            pyfunc={"loader_module": "mlflow.sklearn", "model_path": FILE, "predict_fn": "predict"},
        )

    def load(self, folder: Path, *, signature: Signature, section: Section) -> SklearnPredictor:
        """Return the model in `folder`, ready for plain columns."""
        del signature
        file = str(section.get("pickled_model") or FILE)
        if section.get("serialization_format") != "skops":
            raise refuse_pickle(self.name, file)
        _check_version(str(section.get("sklearn_version", "")))
        model = self.loads(read_weight(folder, file))
        forget_frames(model)
        return SklearnPredictor(model)

    def load_pickle(
        self,
        folder: Path,
        *,
        signature: Signature,
        section: Section,
        permission: PicklePermission,
    ) -> SklearnPredictor:
        """Return the model that is a pickle in `folder`, running the code in it."""
        if section.get("serialization_format") == "skops":
            return self.load(folder, signature=signature, section=section)
        file = str(section.get("pickled_model") or "model.pkl")
        _check_version(str(section.get("sklearn_version", "")))
        model: Estimator = unpickle(read_weight(folder, file), file, permission)
        if not hasattr(model, "predict"):
            raise Corrupt(f"{file} holds no model", why=f"it holds a {type(model).__name__}")
        forget_frames(model)
        return SklearnPredictor(model)


def _classes(model: Estimator) -> tuple[Label, ...]:
    _, last = split_pipeline(model)
    labels = getattr(last, "classes_", None)
    return () if labels is None else tuple(cast("list[Label]", np.asarray(labels).tolist()))


def _named(prediction: Array, probabilities: Array | None) -> dict[str, Array]:
    if probabilities is None:
        return {PREDICTION: prediction}
    two = probabilities.shape[1] == 2
    return {
        PREDICTION: prediction,
        PROBABILITY: np.ascontiguousarray(probabilities[:, 1]) if two else probabilities,
    }


def _listed(types: set[str]) -> str:
    return ", ".join(sorted(types - BOOSTED_TYPES))


def _module_version(name: str) -> str:
    # Under whatever name it was installed: `xgboost-cpu` is the same module.
    module: Mapping[str, object] = vars(importlib.import_module(name))
    return str(module["__version__"])


def _foreign_types(data: bytes) -> set[str]:
    try:
        return set(skops.io.get_untrusted_types(data=data)) - TRUSTED
    except BROKEN as error:
        raise Corrupt("this is not a skops file", why=_reason(error)) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _check_version(packaged: str) -> None:
    installed = version(DISTRIBUTION)
    if packaged.split(".")[:2] != installed.split(".")[:2]:
        raise Unsupported(
            f"the model was packaged with scikit-learn {packaged or '(not stated)'}",
            why=f"{installed} is installed, which may read it into something that answers "
            "differently",
            fix=f"pip install 'scikit-learn=={packaged}', or train and package it anew",
        )


def _check_trees(part: Estimator) -> None:
    """Raise Refused when a tree held directly by `part` points outside itself or the row."""
    width = getattr(part, "n_features_in_", None)
    for owner in _members(part):
        tree = getattr(owner, "tree_", None)
        if tree is not None and hasattr(tree, "children_left"):
            _check_nodes(
                left=tree.children_left,
                right=tree.children_right,
                feature=tree.feature,
                is_leaf=tree.children_left == _LEAF,
                width=width,
            )
        nodes = getattr(owner, "nodes", None)
        if class_name(owner) == "TreePredictor" and isinstance(nodes, np.ndarray):
            _check_predictor(owner, cast("npt.NDArray[np.void]", nodes), width)


def _members(part: Estimator) -> list[Estimator]:
    """Return `part` and what an ensemble holds its trees in, one level down."""
    found: list[Estimator] = [part]
    for name in ("estimators_", "_predictors"):
        held = getattr(part, name, None)
        if isinstance(held, np.ndarray):
            found.extend(cast("list[Estimator]", held.reshape(-1).tolist()))
        elif isinstance(held, list):
            for item in cast("list[Estimator]", held):
                found.extend(cast("list[Estimator]", item) if isinstance(item, list) else [item])
    return found


def _check_predictor(owner: Estimator, nodes: npt.NDArray[np.void], width: int | None) -> None:
    is_leaf = nodes["is_leaf"] != 0
    _check_nodes(
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        feature=nodes["feature_idx"],
        is_leaf=is_leaf,
        width=width,
    )
    split_by_set = ~is_leaf & (nodes["is_categorical"] != 0)
    if split_by_set.any():
        highest = int(nodes["bitset_idx"][split_by_set].max())
        if highest >= min(len(owner.raw_left_cat_bitsets), len(owner.binned_left_cat_bitsets)):
            raise points_outside("scikit-learn", "a split has no set of categories")


def _check_nodes(
    *,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    feature: npt.NDArray[np.int64],
    is_leaf: npt.NDArray[np.bool_],
    width: int | None,
) -> None:
    own = np.arange(len(left))
    inner = ~is_leaf
    # Children stand after their parent, so that no walk goes round in a circle.
    in_range = (left > own) & (left < len(own)) & (right > own) & (right < len(own))
    known = (feature >= 0) & (feature < (np.iinfo(np.int64).max if width is None else width))
    if len(own) == 0 or not (in_range & known)[inner].all():
        raise points_outside("scikit-learn", "a node leads outside the tree or the row")
