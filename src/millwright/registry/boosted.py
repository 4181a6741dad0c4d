"""Boosters inside skops files: read by us before skops hands them to their libraries.

LightGBM's and XGBoost's scikit-learn models, alone or at the end of a pipeline, keep their trees
as the library's own text or bytes inside the file. Those types may be constructed only after
their trees were followed by `lgbfile` and `xgbfile`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import cast

from millwright.core.errors import Corrupt, Refused
from millwright.registry.lgbfile import check_lightgbm
from millwright.registry.skopsfile import SCHEMA, Json
from millwright.registry.ubjson import decode_ubjson
from millwright.registry.xgbfile import check_xgboost, check_xgboost_model

LIGHTGBM_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
    }
)
XGBOOST_TYPES = frozenset(
    {
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
        "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRegressor",
    }
)
BOOSTED_TYPES = LIGHTGBM_TYPES | XGBOOST_TYPES
"""What a skops file may hold, once `check_boosters` has let it through."""

_HANDLES = {("lightgbm.basic", "Booster"): "_handle", ("xgboost.core", "Booster"): "handle"}


def check_boosters(data: bytes) -> None:
    """Follow every booster's trees in the skops file `data`, constructing nothing.

    Raises Corrupt when one is damaged, and Refused when one points outside itself or is not
    written as its library writes it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(set(archive.namelist())) != len(archive.namelist()):
                # Two readers could each see another of two members of one name.
                raise Refused("the model file holds two members of one name")
            schema = cast("Json", json.loads(archive.read(SCHEMA)))
            for module, handle in _boosters(schema):
                _check(module, handle, archive)
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise Corrupt("this is not a skops file", why=str(error)[:200]) from error


def _boosters(value: Json) -> Iterator[tuple[str, Json]]:
    """Iterate over (module, what holds the trees) of every booster in the schema."""
    if isinstance(value, list):
        for item in value:
            yield from _boosters(item)
    elif isinstance(value, dict):
        module, kind = value.get("__module__"), value.get("__class__")
        attribute = (
            _HANDLES.get((module, kind))
            if isinstance(module, str) and isinstance(kind, str)
            else None
        )
        if attribute is not None and isinstance(module, str):
            yield module, _handle(value, attribute)
        for item in value.values():
            yield from _boosters(item)


def _handle(node: dict[str, Json], attribute: str) -> Json:
    state = node.get("content")
    attributes = state.get("content") if isinstance(state, dict) else None
    held = attributes.get(attribute) if isinstance(attributes, dict) else None
    if node.get("__loader__") != "ObjectNode" or held is None:
        raise _unusual()
    return held


def _check(module: str, handle: Json, archive: zipfile.ZipFile) -> None:
    if not isinstance(handle, dict):
        raise _unusual()
    loader, content, file = handle.get("__loader__"), handle.get("content"), handle.get("file")
    if module == "lightgbm.basic" and loader == "JsonNode" and isinstance(content, str):
        text = json.loads(content)
        if not isinstance(text, str):
            raise _unusual()
        check_lightgbm(text)
    elif module == "xgboost.core" and loader == "BytearrayNode" and isinstance(file, str):
        _check_snapshot(archive.read(file))
    else:
        raise _unusual()


def _check_snapshot(data: bytes) -> None:
    """Follow the trees of what `Booster.__getstate__` gives: a model and its settings."""
    whole = decode_ubjson(data) if data else None
    model = whole.get("Model") if isinstance(whole, dict) else None
    if isinstance(model, dict):
        check_xgboost_model(model)
    else:
        check_xgboost(data)


def _unusual() -> Refused:
    return Refused(
        "the model file holds a booster that its library did not write",
        why="its trees cannot be followed before they are loaded",
        fix="package the model again from the fitted model",
    )
