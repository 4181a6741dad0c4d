"""CatBoost models as the library writes them itself: `cbm`, a binary.

It is read by `cbmfile` first: the library verifies its structure, not what its trees point at.
The file names the moment of its training, a random id and the machine's cores; they decide no
answer, and are taken out of a copy before it is written.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import catboost
import numpy as np

from millwright.core.errors import Corrupt, Invalid, Unsupported
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.answers import labelled, one_a_row
from millwright.registry.cbmfile import check_catboost
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.matrices import matrix_of, ordered
from millwright.registry.signature import PREDICTION, Array, Columns, Frame, Label, row_count

FILE = "model.cb"
_CLASSIFIER = "CatBoostClassifier"
_KINDS = ("CatBoost", _CLASSIFIER, "CatBoostRanker", "CatBoostRegressor")


class CatboostPredictor:
    """A CatBoost model that answers plain columns; one thread a call."""

    def __init__(self, model: catboost.CatBoost) -> None:
        self._model = model
        self.classes = _classes(model)

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        rows = _rows(self._model, columns)
        try:
            if isinstance(self._model, catboost.CatBoostClassifier):
                scores = self._model.predict_proba(rows, thread_count=1)
                return labelled(scores, self.classes)
            return {PREDICTION: one_a_row(self._model.predict(rows, thread_count=1))}
        except catboost.CatBoostError as error:
            raise Invalid(
                "the CatBoost model does not take these rows",
                why=" ".join(str(error).split())[:300],
                fix="give categories as whole numbers or text, none of them missing",
            ) from error


class CatboostFlavor:
    """Reads and writes `model.cb`."""

    name = "catboost"

    def handles(self, model: object) -> bool:
        """Tell whether CatBoost made the class of `model`, and it can predict."""
        return isinstance(model, catboost.CatBoost)

    def know(self, model: object) -> Known:
        """Return the columns and classes of a fitted model."""
        fitted = cast("catboost.CatBoost", model)
        names = tuple(fitted.feature_names_)
        # Fitted on an array, it calls columns by their places.
        if names == tuple(str(place) for place in range(len(names))):
            return Known((), len(names), _classes(fitted))
        return Known(names, len(names), _classes(fitted))

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what the model answers when asked in its own way."""
        del frame  # asked in columns, which carry every kind it knows
        fitted = cast("catboost.CatBoost", model)
        given = _rows(fitted, rows)
        try:
            if not isinstance(fitted, catboost.CatBoostClassifier):
                return {PREDICTION: one_a_row(fitted.predict(given))}
            answers = labelled(fitted.predict_proba(given), _classes(fitted))
            prediction = np.asarray(fitted.predict(given)).reshape(-1)
            return answers | {PREDICTION: prediction.astype(answers[PREDICTION].dtype)}
        except catboost.CatBoostError as error:
            raise ValueError(str(error)) from error

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model.cb` into `folder`."""
        del signature, classes  # the file says it all by itself
        kind = type(model).__name__
        if kind not in _KINDS:
            raise Unsupported(
                f"a {kind} is not written", why=f"CatBoost's own are: {', '.join(_KINDS)}"
            )
        clean = cast("catboost.CatBoost", model).copy()
        _forget_training(clean)
        clean.save_model(str(folder / FILE), format="cbm")
        return Dumped(
            weights=(FILE,),
            distributions={"catboost": catboost.__version__, "numpy": version("numpy")},
            section={
                "data": FILE,
                "model_type": kind,
                "save_format": "cbm",
                "catboost_version": catboost.__version__,
                "code": None,
            },
            pyfunc={"loader_module": "mlflow.catboost", "data": FILE},
        )

    def load(self, folder: Path, *, signature: Signature, section: Section) -> CatboostPredictor:
        """Return the model in `folder`, ready for plain columns."""
        del signature
        file = str(section.get("data") or FILE)
        kind = str(section.get("model_type") or "CatBoost")
        if kind not in _KINDS or section.get("save_format", "cbm") != "cbm":
            raise Unsupported(f"{file} is a {kind} in the format {section.get('save_format')}")
        data = read_weight(folder, file)
        check_catboost(data)
        model = cast("type[catboost.CatBoost]", getattr(catboost, kind))()
        try:
            # It reads files alone; this one cannot be changed behind our back.
            with tempfile.NamedTemporaryFile(suffix=".cbm") as copy:
                copy.write(data)
                copy.flush()
                model.load_model(copy.name, format="cbm")
            return CatboostPredictor(model)
        except (catboost.CatBoostError, ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"CatBoost cannot read {file}", why=str(error)[:300]) from error


def _rows(model: catboost.CatBoost, columns: Columns) -> Array:
    names = ordered(columns, model.feature_names_)
    if len(names) != len(model.feature_names_):
        raise Unsupported(
            f"the model takes {len(model.feature_names_)} columns, and the rows have {len(names)}"
        )
    if not model.get_cat_feature_indices() and not model.get_text_feature_indices():
        return matrix_of(columns, names, np.float64)
    out = np.empty((row_count(columns), len(names)), dtype=object)
    for place, name in enumerate(names):
        out[:, place] = columns[name]
    return out


def _classes(model: catboost.CatBoost) -> tuple[Label, ...]:
    if not isinstance(model, catboost.CatBoostClassifier):
        return ()
    return tuple(cast("list[Label]", np.asarray(model.classes_).tolist()))


def _forget_training(model: catboost.CatBoost) -> None:
    metadata = model.get_metadata()
    emptied = {"model_guid": "", "train_finish_time": "", "training": "{}"}
    for key in list(metadata.keys()):  # (it is no mapping)
        if key in emptied:
            metadata[key] = emptied[key]
    params = cast("dict[str, JsonValue]", json.loads(metadata["params"]))
    params["system_options"] = {"thread_count": -1}
    metadata["params"] = json.dumps(params, sort_keys=True)
