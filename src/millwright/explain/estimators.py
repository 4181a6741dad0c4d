"""Explains a fitted scikit-learn model: picks the exact method for what it is.

Tree ensembles and linear models whose preparation keeps columns apart are explained exactly on
their raw columns. Anything else is asked, as it is, about coalitions of raw columns: all of
them for few columns, sampled ones for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.explain.columns import CONSTANT, players_of, trace
from millwright.explain.contributions import (
    MAX_EXACT_COLUMNS,
    Contributions,
    Floats,
    Scale,
    explain_by_sampling,
    explain_exactly,
    finish,
)
from millwright.explain.trees import LEAF, Ensemble, Tree, TreeExplainer
from millwright.registry.fitted import Estimator, answer, class_name, encode, split_pipeline
from millwright.registry.signature import Columns, row_count

_FORESTS = frozenset(
    {
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "RandomForestClassifier",
        "RandomForestRegressor",
    }
)
_SINGLE_TREES = frozenset(
    {
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
        "ExtraTreeClassifier",
        "ExtraTreeRegressor",
    }
)
_BOOSTERS = frozenset({"GradientBoostingClassifier", "GradientBoostingRegressor"})
_HISTOGRAM_BOOSTERS = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})
_LINEAR = frozenset(
    {
        "ElasticNet",
        "Lasso",
        "LinearRegression",
        "LinearSVC",
        "LogisticRegression",
        "Ridge",
        "RidgeClassifier",
        "SGDClassifier",
        "SGDRegressor",
    }
)
# A structure read from an estimator must answer as the estimator does; a sum over trees rounds
# differently in another order, and no more than this.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _Linear:
    coefficients: Floats
    intercept: float

    def answer(self, encoded: Floats) -> Floats:
        return encoded @ self.coefficients + self.intercept


class Explainer:
    """Explains rows by one model against background rows.

    `model` is a scikit-learn estimator that takes plain columns, as `load_package(...,
    flavor="sklearn")` has in its predictor. `background` holds the rows to compare with, in the
    model's columns. A classifier's answer is that for the class at `class_index` of its
    classes: by default the second of two. `orders` and `seed` count only where sampling is
    needed.

    Raises Invalid for a classifier of more classes without a `class_index`.
    """

    def __init__(
        self,
        model: Estimator,
        background: Columns,
        *,
        class_index: int | None = None,
        orders: int = 32,
        seed: int = 0,
    ) -> None:
        if not row_count(background):
            raise Invalid("there are no background rows", why="a contribution is a distance")
        self._model = model
        self._background = background
        self._names = list(background)
        self._orders = orders
        self._seed = seed
        _, self._last = split_pipeline(model)
        self._class_index = _class_index(self._last, class_index)
        self._trees: TreeExplainer | None = None
        self._players = players_of(trace(model, self._names))
        self._encoded = _numbers(model, background) if self._players is not None else None
        self._structure: Ensemble | _Linear | None = None
        if self._encoded is not None and self._players is not None:
            self._structure = self._read_structure(self._encoded)
            if isinstance(self._structure, Ensemble):
                self._trees = TreeExplainer(self._structure, self._players, len(self._names))

    def explain(self, row: Columns) -> Contributions:
        """Return the contributions of the raw columns to the answer to one row."""
        if row_count(row) != 1 or list(row) != self._names:
            raise Invalid(
                "one row with the background's columns, in their order, is explained at a time",
                why=f"it has {row_count(row)} rows and the columns {', '.join(row)[:200]}",
            )
        if self._structure is not None and self._encoded is not None:
            return self._explain_structure(self._structure, self._encoded, row)
        scale: Scale = "probability" if hasattr(self._last, "predict_proba") else "prediction"
        if len(row) <= MAX_EXACT_COLUMNS:
            return explain_exactly(self._ask, row, self._background, scale=scale)
        return explain_by_sampling(
            self._ask,
            row,
            self._background,
            random=np.random.default_rng(self._seed),
            orders=self._orders,
            scale=scale,
        )

    def _explain_structure(
        self, structure: Ensemble | _Linear, background: Floats, row: Columns
    ) -> Contributions:
        players = cast("npt.NDArray[np.int64]", self._players)
        x = encode(self._model, row).astype(np.float64)
        if self._trees is not None:
            values = self._trees.values(x[0], background)
        else:
            assert isinstance(structure, _Linear)
            parts = structure.coefficients * (x[0] - background.mean(axis=0))
            values = np.zeros(len(self._names))
            known = players != CONSTANT
            np.add.at(values, players[known], parts[known])
        return finish(
            dict(zip(self._names, values.tolist(), strict=True)),
            output=float(_own_answer(self._last, x, self._class_index)[0]),
            base=float(_own_answer(self._last, background, self._class_index).mean()),
            scale=_scale(self._last),
            method="trees" if self._trees is not None else "linear",
            background_rows=len(background),
        )

    def _read_structure(self, encoded: Floats) -> Ensemble | _Linear | None:
        structure = _structure(self._last, self._class_index, encoded)
        if structure is None:
            return None
        own = _own_answer(self._last, encoded, self._class_index)
        limit = _SAME * max(1.0, float(np.abs(own).max()))
        fits = np.abs(structure.answer(encoded) - own).max() <= limit
        return structure if fits else None

    def _ask(self, columns: Columns) -> Floats:
        prediction, probabilities = answer(self._model, columns)
        if probabilities is not None and self._class_index is not None:
            return probabilities[:, self._class_index].astype(np.float64)
        return prediction.astype(np.float64)


def _class_index(last: Estimator, given: int | None) -> int | None:
    classes = getattr(last, "classes_", None)
    if classes is None:
        return None
    count = len(cast("Sequence[object]", classes))
    if given is None and count != 2:
        raise Invalid(
            f"the model knows {count} classes", fix="say by class_index which one to explain"
        )
    index = 1 if given is None else given
    if not 0 <= index < count:
        raise Invalid(f"class {index} is none of the model's {count} classes, counted from 0")
    return index


def _numbers(model: Estimator, columns: Columns) -> Floats | None:
    encoded = encode(model, columns)
    return encoded.astype(np.float64) if encoded.dtype.kind in "biuf" else None


def _scale(last: Estimator) -> Scale:
    kind = class_name(last)
    if kind in _FORESTS | _SINGLE_TREES:
        return "probability" if hasattr(last, "predict_proba") else "prediction"
    if hasattr(last, "classes_") or not _has_identity_link(last):
        return "margin"
    return "prediction"


def _own_answer(last: Estimator, encoded: Floats, class_index: int | None) -> Floats:
    """Return what the estimator itself says on the scale of its structure: (n,)."""
    scale = _scale(last)
    if scale == "prediction":
        return np.asarray(last.predict(encoded)).reshape(-1).astype(np.float64)
    if scale == "probability":
        return np.asarray(last.predict_proba(encoded))[:, class_index].astype(np.float64)
    if class_index is None:  # A booster with a link, such as Poisson's: before the link.
        return np.log(np.asarray(last.predict(encoded)).astype(np.float64))
    margin = np.asarray(last.decision_function(encoded)).astype(np.float64)
    if margin.ndim == 2:
        return margin[:, class_index]
    return margin if class_index == 1 else -margin


def _structure(
    last: Estimator, class_index: int | None, encoded: Floats
) -> Ensemble | _Linear | None:
    kind = class_name(last)
    if kind in _SINGLE_TREES:
        return _forest([last], class_index)
    if kind in _FORESTS:
        return _forest(cast("Sequence[Estimator]", last.estimators_), class_index)
    if kind in _BOOSTERS:
        return _booster(last, class_index, encoded)
    if kind in _HISTOGRAM_BOOSTERS:
        return _histogram_booster(last, class_index)
    if kind in _LINEAR:
        return _linear(last, class_index)
    return None


def _forest(estimators: Sequence[Estimator], class_index: int | None) -> Ensemble | None:
    trees: list[Tree] = []
    for estimator in estimators:
        value = np.asarray(estimator.tree_.value).astype(np.float64)
        if value.shape[1] != 1:
            return None  # Several targets at once.
        if class_index is None:
            leaf = value[:, 0, 0]
        else:
            leaf = value[:, 0, class_index] / value[:, 0, :].sum(axis=1)
        trees.append(_tree(estimator.tree_, leaf / len(estimators)))
    return Ensemble(tuple(trees), 0.0, single=True)


def _booster(last: Estimator, class_index: int | None, encoded: Floats) -> Ensemble | None:
    if class_name(last.init_) not in {"DummyClassifier", "DummyRegressor", ""}:
        return None  # It begins with another model's answer, which also depends on the row.
    column, sign = _margin_column(class_index, last.estimators_.shape[1])
    trees = tuple(
        _tree(
            stage[column].tree_,
            sign * last.learning_rate * np.asarray(stage[column].tree_.value)[:, 0, 0],
        )
        for stage in last.estimators_
    )
    grown = Ensemble(trees, 0.0, single=True)
    # Where it begins is the same for all rows, and told by any of them.
    first = encoded[:1]
    start = _own_answer(last, first, class_index)[0] - grown.answer(first)[0]
    return Ensemble(trees, float(start), single=True)


def _histogram_booster(last: Estimator, class_index: int | None) -> Ensemble | None:
    state = cast("dict[str, object]", vars(last))
    is_categorical = cast("npt.NDArray[np.bool_] | None", state.get("is_categorical_"))
    if is_categorical is not None and is_categorical.any():
        return None  # Its nodes ask for members of sets, which a threshold cannot say.
    stages = cast("Sequence[Sequence[Estimator]]", state["_predictors"])
    start = np.asarray(state["_baseline_prediction"]).reshape(-1)
    column, sign = _margin_column(class_index, len(start))
    trees: list[Tree] = []
    for stage in stages:
        nodes = cast("npt.NDArray[np.void]", stage[column].nodes)
        is_leaf = nodes["is_leaf"] != 0
        trees.append(
            Tree(
                left=np.where(is_leaf, LEAF, nodes["left"].astype(np.int64)),
                right=np.where(is_leaf, LEAF, nodes["right"].astype(np.int64)),
                feature=nodes["feature_idx"].astype(np.int64),
                threshold=nodes["num_threshold"].astype(np.float64),
                missing_left=nodes["missing_go_to_left"] != 0,
                value=sign * nodes["value"].astype(np.float64),
            )
        )
    return Ensemble(tuple(trees), sign * float(start[column]), single=False)


def _linear(last: Estimator, class_index: int | None) -> _Linear | None:
    coefficients = np.atleast_2d(np.asarray(last.coef_)).astype(np.float64)
    intercepts = np.atleast_1d(np.asarray(last.intercept_)).astype(np.float64)
    if class_index is None and len(coefficients) != 1:
        return None  # Several targets at once.
    column, sign = _margin_column(class_index, len(coefficients))
    start = intercepts[column if len(intercepts) > 1 else 0]
    return _Linear(sign * coefficients[column], sign * float(start))


def _margin_column(class_index: int | None, columns: int) -> tuple[int, float]:
    """Return which column of margins tells of a class, and its sign: two classes share one."""
    if class_index is None:
        return 0, 1.0
    if columns == 1:
        return 0, 1.0 if class_index == 1 else -1.0
    return class_index, 1.0


def _has_identity_link(last: Estimator) -> bool:
    loss = cast("dict[str, object]", vars(last)).get("_loss")
    link = getattr(loss, "link", None)
    return link is None or type(link).__name__ == "IdentityLink"


def _tree(tree: Estimator, value: Floats) -> Tree:
    return Tree(
        left=np.asarray(tree.children_left),
        right=np.asarray(tree.children_right),
        feature=np.asarray(tree.feature),
        threshold=np.asarray(tree.threshold).astype(np.float64),
        missing_left=np.asarray(tree.missing_go_to_left).astype(np.bool_),
        value=value,
    )
