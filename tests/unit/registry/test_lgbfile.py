from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.boosters import lgb_booster, lgb_classifier, matrix, numbers, three
from fixtures.estimators import labels
from millwright.core.errors import Corrupt, MillwrightError, Refused
from millwright.registry.lgbfile import LgbFacts, check_lightgbm

pd: Any = importlib.import_module("pandas")  # it has no types

TEXT = lgb_booster(objective="binary").model_to_string()


def test_what_a_text_says() -> None:
    names = tuple(f"Column_{place}" for place in range(7))
    assert check_lightgbm(TEXT) == LgbFacts("binary", names, 1, has_categories=False)
    many = check_lightgbm(lgb_classifier(three()).booster_.model_to_string())
    assert (many.objective, many.groups) == ("multiclass", 3)


def test_categories_of_pandas_are_told() -> None:
    frame = pd.DataFrame(numbers())
    frame["kind"] = pd.Categorical(np.array(list("abcdef"))[np.arange(300) % 6])
    target = labels().astype(np.int64) * (np.arange(300) % 6 > 2)
    model = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, min_data_per_group=5)
    model.fit(frame, target)
    text = model.booster_.model_to_string()
    assert "cat_threshold" in text
    assert check_lightgbm(text).has_categories
    start = text.index("cat_boundaries=") + len("cat_boundaries=")
    length = len(text[start : text.index("\n", start)].split())
    bounds = " ".join(["0", *["9"] * (length - 1)])
    end = text.index("\n", start)
    if len(bounds) == end - start:
        with pytest.raises(Refused, match="points outside itself"):
            check_lightgbm(text[:start] + bounds + text[end:])


@pytest.mark.parametrize("kind", ["dart", "rf", "linear", "stump", "regression", "latin"])
def test_every_kind_of_model_passes(kind: str) -> None:
    parameters: dict[str, dict[str, object]] = {
        "dart": {"boosting": "dart"},
        "rf": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        "linear": {"linear_tree": True},
        "stump": {"min_data_in_leaf": 1000},
        "regression": {"objective": "l1"},
    }
    if kind == "latin":
        frame = pd.DataFrame(matrix(), columns=[f"grö{place}" for place in range(7)])
        model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(frame, labels())
        assert check_lightgbm(model.booster_.model_to_string()).names[0] == "grö0"
        return
    check_lightgbm(lgb_booster(**parameters[kind]).model_to_string())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("left_child", "9"),
        ("left_child", "0"),
        ("right_child", "-9"),
        ("split_feature", "7"),
        ("split_feature", "-1"),
        ("decision_type", "1"),
    ],
)
def test_what_points_outside_is_refused(key: str, value: str) -> None:
    with pytest.raises(Refused, match="points outside itself"):
        check_lightgbm(replaced(key, value))


def replaced(key: str, value: str) -> str:
    """Return the text with the first value of a tree's line replaced, its size set right."""
    start = TEXT.index(f"\n{key}=") + len(key) + 2
    end = TEXT.index(" ", start)
    longer = len(value) - (end - start)
    text = TEXT[:start] + value + TEXT[end:]
    sizes = text.index("tree_sizes=") + len("tree_sizes=")
    stop = text.index(" ", sizes)
    return text[:sizes] + str(int(text[sizes:stop]) + longer) + text[stop:]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree\n", "forest\n"),
        ("num_leaves=", "num_loaves="),
        ("num_leaves=7", "num_leaves=70"),
        ("num_leaves=7", "num_leaves=-7"),
        ("tree_sizes=", "tree_sizes=9"),
        ("Tree=1", "Tree=7"),
        ("end of trees", "no end"),
        ("max_feature_idx=6", "max_feature_idx=5"),
        ("num_class=1", "num_class=2"),
        ("num_class=1", "num_class=1\nnum_class=1"),
        ("leaf_value=", "leaf_value=x"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0"),
    ],
)
def test_what_is_not_whole_is_corrupt(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(Corrupt, match="not a whole LightGBM model"):
        check_lightgbm(TEXT.replace(old, new, 1))


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.3, 0.5])
def test_a_text_cut_short_is_corrupt(share: float) -> None:
    cut = int(TEXT.index("end of trees") * share * 2)
    with pytest.raises(Corrupt):
        check_lightgbm(TEXT[:cut])


@settings(max_examples=100)
@given(st.integers(0, len(TEXT) - 1), st.text(min_size=1, max_size=4))
def test_a_changed_text_passes_or_fails_with_an_error_of_ours(place: int, change: str) -> None:
    with suppress(MillwrightError):
        check_lightgbm(TEXT[:place] + change + TEXT[place + len(change) :])
