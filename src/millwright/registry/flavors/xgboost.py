"""XGBoost models as the library writes them itself: UBJSON, or JSON when it was asked for.

Boosters and scikit-learn's kind of models alike. The file is read by `xgbfile` before the
library sees it, since it would follow a damaged one out of its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import xgboost

from millwright.core.errors import Corrupt, Unsupported
from millwright.records.schema import Signature
from millwright.registry.answers import labelled, one_a_row, softmax
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.matrices import matrix_of, ordered
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Columns, Frame, Label
from millwright.registry.xgbfile import XgbFacts, check_xgboost

FILE = "model.ubj"

# Of a classifier's objectives those whose scores are probabilities, or (softmax) can be made so.
_TWO, _MANY, _SOFTMAX = "binary:logistic", "multi:softprob", "multi:softmax"


class XgboostPredictor:
    """An XGBoost model that answers plain columns; one thread a call."""

    def __init__(self, booster: xgboost.Booster, facts: XgbFacts, kind: str) -> None:
        # Throughput comes from requests side by side; threads for each would only fight.
        booster.set_param({"nthread": 1})
        self._booster = booster
        self._facts = facts
        self._is_classifier = _is_classifier(kind, facts)
        # The library's own rule: a wrapper stops at its best round, a booster uses all.
        best = facts.attributes.get("best_iteration")
        is_early = best is not None and kind != "Booster" and facts.booster != "gblinear"
        self._rounds = (0, int(best) + 1) if is_early and best is not None else (0, 0)

    @property
    def classes(self) -> tuple[Label, ...]:
        """A classifier's labels, which XGBoost counts from 0; empty for others."""
        return tuple(range(max(self._facts.groups, 2))) if self._is_classifier else ()

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        matrix = matrix_of(columns, ordered(columns, self._facts.names), np.float32)
        if matrix.shape[1] != self._facts.width:
            raise Unsupported(
                f"the model takes {self._facts.width} columns, and the rows have {matrix.shape[1]}"
            )
        if not self._is_classifier:
            return {PREDICTION: one_a_row(self._score(matrix, margin=False))}
        is_softmax = self._facts.objective == _SOFTMAX
        scores = self._score(matrix, margin=is_softmax)
        if is_softmax:
            scores = softmax(scores)
        return labelled(scores.astype(np.float64), self.classes)

    def _score(self, matrix: npt.NDArray[np.float32], *, margin: bool) -> npt.NDArray[np.float32]:
        if self._facts.booster == "gblinear":  # which cannot predict in place
            rows = xgboost.DMatrix(matrix, nthread=1)
            return self._booster.predict(rows, output_margin=margin, validate_features=False)
        return self._booster.inplace_predict(
            matrix,
            iteration_range=self._rounds,
            predict_type="margin" if margin else "value",
            validate_features=False,
        )


class XgboostFlavor:
    """Reads `model.ubj` and `model.json`, and writes `model.ubj`."""

    name = "xgboost"

    def handles(self, model: object) -> bool:
        """Tell whether XGBoost made the class of `model`, and it can predict."""
        return isinstance(model, xgboost.Booster | xgboost.XGBModel)

    def know(self, model: object) -> Known:
        """Return the columns and classes of a fitted model."""
        booster = _booster(model)
        classes: tuple[Label, ...] = ()
        if isinstance(model, xgboost.XGBClassifier):
            classes = tuple(cast("list[Label]", np.asarray(model.classes_).tolist()))
        return Known(tuple(booster.feature_names or ()), booster.num_features(), classes)

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what the model answers when asked in its own way."""
        del frame  # the library takes the numbers alone
        names = ordered(rows, self.know(model).names)
        matrix = matrix_of(rows, names, np.float64)
        if isinstance(model, xgboost.Booster):
            given = xgboost.DMatrix(matrix)
            return {PREDICTION: one_a_row(model.predict(given, validate_features=False))}
        wrapper = cast("xgboost.XGBModel", model)
        prediction = one_a_row(wrapper.predict(matrix, validate_features=False))
        if not isinstance(model, xgboost.XGBClassifier):
            return {PREDICTION: prediction}
        found = model.predict_proba(matrix, validate_features=False).astype(np.float64)
        return {
            PREDICTION: prediction.astype(np.int64),
            PROBABILITY: found[:, 1] if found.shape[1] == 2 else found,
        }

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model.ubj` into `folder`."""
        del signature, classes  # the file says it all by itself
        path = folder / FILE
        cast("xgboost.Booster", model).save_model(path)
        kind = type(model)
        _is_classifier(kind.__name__, check_xgboost(path.read_bytes()))
        return Dumped(
            weights=(FILE,),
            # Not asked by the name it was installed under: `xgboost-cpu` is the same model's.
            distributions={
                "numpy": version("numpy"),
                "scikit-learn": version("scikit-learn"),
                "xgboost": xgboost.__version__,
            },
            section={
                "data": FILE,
                "model_format": "ubj",
                "model_class": f"{kind.__module__}.{kind.__name__}",
                "xgb_version": xgboost.__version__,
                "code": None,
            },
            pyfunc={"loader_module": "mlflow.xgboost", "data": FILE},
        )

    def load(self, folder: Path, *, signature: Signature, section: Section) -> XgboostPredictor:
        """Return the model in `folder`, ready for plain columns."""
        del signature
        file = str(section.get("data") or FILE)
        data = read_weight(folder, file)
        facts = check_xgboost(data)
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(data))
        except xgboost.core.XGBoostError as error:
            # Behind the first line stands a stack of addresses.
            reason = str(error).strip().partition("\n")[0][:300]
            raise Corrupt(f"XGBoost cannot read {file}", why=reason) from error
        kind = str(section.get("model_class") or "Booster").rpartition(".")[2]
        return XgboostPredictor(booster, facts, kind)


def _booster(model: object) -> xgboost.Booster:
    if isinstance(model, xgboost.Booster):
        return model
    return cast("xgboost.XGBModel", model).get_booster()


def _is_classifier(kind: str, facts: XgbFacts) -> bool:
    if kind not in {"XGBClassifier", "XGBRFClassifier"}:
        return False
    if facts.objective not in {_TWO, _MANY, _SOFTMAX}:
        raise Unsupported(
            f"a classifier with the objective {facts.objective} is not supported",
            why="its scores are no probabilities",
            fix=f"train it with {_TWO} or {_MANY}",
        )
    return True
