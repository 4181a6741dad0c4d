from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.boosters import matrix, xgb_classifier
from fixtures.estimators import labels
from millwright.core.errors import Corrupt, MillwrightError, Refused, Unsupported
from millwright.registry.xgbfile import check_xgboost

BOOSTER = xgb_classifier().get_booster()
WRITTEN: dict[str, Any] = json.loads(bytes(BOOSTER.save_raw("json")))
UBJ = bytes(BOOSTER.save_raw("ubj"))


def with_categories() -> xgboost.Booster:
    codes = np.column_stack([matrix()[:, 0], np.arange(300) % 6])
    data = xgboost.DMatrix(codes, labels(), feature_types=["float", "c"], enable_categorical=True)
    settings = {"max_cat_to_onehot": 1, "nthread": 1, "max_depth": 4}
    return xgboost.train(settings, data, num_boost_round=3)


def test_what_a_file_says_is_the_same_in_both_spellings() -> None:
    found = [check_xgboost(bytes(BOOSTER.save_raw(kind))) for kind in ("ubj", "json")]
    assert found[0] == found[1]
    facts = found[0]
    assert (facts.booster, facts.objective, facts.width, facts.groups) == (
        "gbtree",
        "binary:logistic",
        7,
        1,
    )


def test_sets_of_categories_are_followed() -> None:
    written = json.loads(bytes(with_categories().save_raw("json")))
    assert check_xgboost(json.dumps(written).encode()).kinds == ("float", "c")
    trees = written["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(tree for tree in trees if tree["categories"])
    tree["categories_sizes"][0] = 1000
    with pytest.raises(Refused, match="points outside itself"):
        check_xgboost(json.dumps(written).encode())


def test_leaves_of_several_values_are_not_read() -> None:
    model = xgboost.XGBRegressor(n_estimators=2, multi_strategy="multi_output_tree")
    model.fit(matrix(), matrix()[:, :2])
    with pytest.raises(Unsupported, match="leaves of more than one value"):
        check_xgboost(bytes(model.get_booster().save_raw("ubj")))


FOREST = ("learner", "gradient_booster", "model")
TREE = (*FOREST, "trees", 0)
GONE = "gone"


def changed(place: tuple[str | int, ...], value: object) -> bytes:
    """Return the model with another value at a place, or without it."""
    written: Any = copy.deepcopy(WRITTEN)
    holder = written
    for key in place[:-1]:
        holder = holder[key]
    if value == GONE:
        holder.pop(place[-1])
    else:
        holder[place[-1]] = value
    return json.dumps(written).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*TREE, "left_children", 0), 1_000_000),
        ((*TREE, "right_children", 1), 0),
        ((*TREE, "left_children", 0), -2),
        ((*TREE, "split_indices", 0), 7),
        ((*TREE, "split_indices", 0), -1),
        ((*TREE, "split_type", 0), 1),
        ((*TREE, "parents", 1), 2),
        ((*TREE, "parents", 2), 10**9),
        ((*FOREST, "tree_info", 0), 5),
        ((*FOREST, "iteration_indptr", 5), 99),
    ],
)
def test_what_points_outside_is_refused(place: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(Refused, match="points outside itself"):
        check_xgboost(changed(place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*TREE, "split_conditions", 0), GONE),
        ((*TREE, "left_children", 0), GONE),
        ((*TREE, "tree_param", "num_nodes"), "0"),
        ((*TREE, "tree_param", "num_nodes"), "9" * 30),
        ((*TREE, "tree_param", "num_nodes"), GONE),
        ((*TREE, "left_children", 0), 1.5),
        (("learner", "learner_model_param", "num_feature"), "x"),
        ((*FOREST, "trees", 0), GONE),
        (("learner", "feature_names"), ["a"]),
        (("learner", "objective"), GONE),
    ],
)
def test_what_is_not_whole_is_corrupt(place: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(Corrupt):
        check_xgboost(changed(place, value))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"learner": 1}', b'{"a"', UBJ[:-1]])
def test_what_is_no_model_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        check_xgboost(data)


@settings(max_examples=100)
@given(st.integers(0, len(UBJ) - 1), st.binary(min_size=1, max_size=4))
def test_a_changed_file_passes_or_fails_with_an_error_of_ours(place: int, change: bytes) -> None:
    with suppress(MillwrightError):
        check_xgboost(UBJ[:place] + change + UBJ[place + len(change) :])
