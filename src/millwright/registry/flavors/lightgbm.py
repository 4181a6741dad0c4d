"""LightGBM models without pickle: a booster's own text, or a wrapper as a skops file.

Both as MLflow keeps them. The text is read by `lgbfile` before the library sees it, since a
damaged one would end the process. Written, it is first brought into one form: what a booster
remembers of its training (scores, cores of the machine) decides no answer and is left out.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import lightgbm
import numpy as np
import skops.io
from lightgbm.basic import LightGBMError
from skops.io.exceptions import UnsupportedTypeException

from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.answers import labelled, one_a_row
from millwright.registry.boosted import LIGHTGBM_TYPES, check_boosters
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.lgbfile import check_lightgbm
from millwright.registry.matrices import matrix_of, ordered
from millwright.registry.pickles import PicklePermission, refuse_pickle, unpickle
from millwright.registry.signature import PREDICTION, Array, Columns, Frame, Label
from millwright.registry.skopsfile import BROKEN, canonical_skops

TEXT = "model.lgb"
SKOPS = "model.skops"
_BOOSTER = "lightgbm.basic.Booster"
_TRUSTED = LIGHTGBM_TYPES | {"numpy.dtype"}
# What a text remembers of the machine it was made on.
_CORES = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)
_MADE_UP = re.compile(r"Column_\d+")


class LightgbmPredictor:
    """A LightGBM model that answers plain columns; one thread a call."""

    def __init__(self, booster: lightgbm.Booster, classes: tuple[Label, ...]) -> None:
        facts = check_lightgbm(booster.model_to_string())
        if facts.has_categories:
            raise Unsupported(
                "the model was fitted on pandas columns of categories",
                why="only pandas can give it rows with the same numbers for the same words",
                fix="encode categories as numbers, in a scikit-learn pipeline",
            )
        if classes and not facts.objective:
            raise Unsupported("a classifier with an objective of one's own is not supported")
        self._booster = booster
        self.classes = classes
        self._names = facts.names

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        matrix = matrix_of(columns, ordered(columns, self._names), np.float64)
        if matrix.shape[1] != len(self._names):
            raise Unsupported(
                f"the model takes {len(self._names)} columns, and the rows have {matrix.shape[1]}"
            )
        scores = self._booster.predict(matrix, num_threads=1)
        if self.classes:
            return labelled(scores, self.classes)
        return {PREDICTION: one_a_row(scores)}


class LightgbmFlavor:
    """Reads and writes `model.lgb`, and `model.skops` for scikit-learn's kind of models."""

    name = "lightgbm"

    def handles(self, model: object) -> bool:
        """Tell whether LightGBM made the class of `model`, and it can predict."""
        return isinstance(model, lightgbm.Booster | lightgbm.LGBMModel)

    def know(self, model: object) -> Known:
        """Return the columns and classes of a fitted model."""
        names = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
        # Fitted on an array, it makes names up.
        if all(_MADE_UP.fullmatch(name) for name in names):
            names = ()
        return Known(names, _booster(model).num_feature(), _classes(model))

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what the model answers when asked in its own way."""
        del frame  # the library takes the numbers alone
        matrix = matrix_of(rows, ordered(rows, _booster(model).feature_name()), np.float64)
        if isinstance(model, lightgbm.LGBMClassifier):
            with warnings.catch_warnings():
                # scikit-learn warns that the array has no names; its columns are in order.
                warnings.simplefilter("ignore")
                answers = labelled(model.predict_proba(matrix), _classes(model))
                return answers | {PREDICTION: np.asarray(model.predict(matrix))}
        return {PREDICTION: one_a_row(_booster(model).predict(matrix))}

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model.lgb` for a booster, and `model.skops` for a wrapper."""
        del signature, classes  # the file says it all by itself
        text = _CORES.sub("[num_threads: 0]", _booster(model).model_to_string())
        booster = lightgbm.Booster(model_str=text)
        LightgbmPredictor(booster, _classes(model))
        needed = {"lightgbm": lightgbm.__version__, "numpy": version("numpy")}
        section: dict[str, JsonValue] = {"lgb_version": lightgbm.__version__, "code": None}
        if isinstance(model, lightgbm.Booster):
            file = TEXT
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
            section |= {"model_class": _BOOSTER}
        else:
            file = SKOPS
            (folder / file).write_bytes(_wrapper_bytes(model, booster))
            kind = type(model)
            section |= {
                "model_class": f"{kind.__module__}.{kind.__name__}",
                "serialization_format": "skops",
                "skops_trusted_types": cast("list[JsonValue]", sorted(_TRUSTED)),
            }
            needed |= {name: version(name) for name in ("scikit-learn", "skops")}
        section["data"] = file
        pyfunc: Section = {"loader_module": "mlflow.lightgbm", "data": file}
        return Dumped(weights=(file,), distributions=needed, section=section, pyfunc=pyfunc)

    def load(self, folder: Path, *, signature: Signature, section: Section) -> LightgbmPredictor:
        """Return the model in `folder`, ready for plain columns."""
        del signature
        kind = str(section.get("model_class") or _BOOSTER)
        if kind == _BOOSTER:
            return _load_text(read_weight(folder, str(section.get("data") or TEXT)))
        file = str(section.get("data") or SKOPS)
        if section.get("serialization_format") != "skops":
            raise refuse_pickle(self.name, file)
        return _predictor(_load_skops(read_weight(folder, file)))

    def load_pickle(
        self,
        folder: Path,
        *,
        signature: Signature,
        section: Section,
        permission: PicklePermission,
    ) -> LightgbmPredictor:
        """Return the wrapper that is a pickle in `folder`, running the code in it."""
        file = str(section.get("data") or "model.pkl")
        if section.get("serialization_format") == "skops" or not file.endswith(".pkl"):
            return self.load(folder, signature=signature, section=section)
        return _predictor(unpickle(read_weight(folder, file), file, permission))


def _load_text(data: bytes) -> LightgbmPredictor:
    try:
        text = data.decode()
        check_lightgbm(text)
        return LightgbmPredictor(lightgbm.Booster(model_str=text), ())
    except (LightGBMError, UnicodeDecodeError) as error:
        raise Corrupt("LightGBM cannot read the model", why=str(error)[:300]) from error


def _load_skops(data: bytes) -> object:
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - _TRUSTED)
        if foreign:
            raise Refused(
                f"the model file asks for types that are not allowed: {', '.join(foreign)}",
                why="constructing them could run code",
                fix="package the model anew from LightGBM's own classes",
            )
        check_boosters(data)
        with warnings.catch_warnings():
            # scikit-learn warns at each patch of the version that wrote it.
            warnings.simplefilter("ignore")
            return skops.io.loads(data, trusted=sorted(_TRUSTED))
    except (*BROKEN, LightGBMError, UnsupportedTypeException) as error:
        raise Corrupt("the model file cannot be read", why=_reason(error)) from error


def _predictor(model: object) -> LightgbmPredictor:
    if not isinstance(model, lightgbm.LGBMModel):
        raise Corrupt(
            "the model file holds no LightGBM model", why=f"it holds a {type(model).__name__}"
        )
    return LightgbmPredictor(model.booster_, _classes(model))


def _wrapper_bytes(model: object, booster: lightgbm.Booster) -> bytes:
    """Return the skops file of a wrapper around `booster`, without what training left in it."""
    clean = copy.copy(model)
    state = cast("dict[str, object]", vars(clean))
    state |= {"_Booster": booster, "_evals_result": {}, "_best_score": {}}
    try:
        return canonical_skops(skops.io.dumps(clean))
    except (UnsupportedTypeException, TypeError, AttributeError) as error:
        raise Unsupported(
            f"a {type(model).__name__} cannot be written without pickle", why=_reason(error)
        ) from error


def _booster(model: object) -> lightgbm.Booster:
    if isinstance(model, lightgbm.Booster):
        return model
    return cast("lightgbm.LGBMModel", model).booster_


def _classes(model: object) -> tuple[Label, ...]:
    if not isinstance(model, lightgbm.LGBMClassifier):
        return ()
    return tuple(cast("list[Label]", np.asarray(model.classes_).tolist()))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
