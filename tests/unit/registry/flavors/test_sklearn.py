from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fixtures.estimators import forest, frame, labels, mixed_pipeline, rows, sample
from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.registry.flavors.sklearn import SklearnFlavor
from millwright.registry.signature import infer_signature
from millwright.testing.flavors import Sample, TrainedFlavorSuite

FIT = """
    import numpy as np
    from fixtures.estimators import forest
    from millwright.core.digest import digest_bytes
    from millwright.registry.flavors.sklearn import SklearnFlavor
    print(digest_bytes(SklearnFlavor().dumps(forest(seed={seed}))))
"""


class Mine(BaseEstimator):
    def predict(self, X: Any) -> Any:  # noqa: N803 (scikit-learn's name)
        return np.zeros(len(X))


class TestSklearnFlavor(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> SklearnFlavor:
        return SklearnFlavor()

    @pytest.fixture
    def sample(self) -> Sample:
        return sample()


def digest_in_another_process(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIT.format(seed=seed))],
        check=True,
        capture_output=True,
        text=True,
        cwd="tests",
        env={"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
    )
    return done.stdout.strip()


def test_the_same_fit_in_another_process_has_the_same_digest_and_another_seed_another() -> None:
    here = digest_bytes(SklearnFlavor().dumps(forest(seed=0)))
    assert digest_in_another_process(0, "7") == here
    assert digest_bytes(SklearnFlavor().dumps(forest(seed=1))) != here


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(max_depth=3, random_state=0),
        RandomForestClassifier(3, random_state=0, n_jobs=2),
        RandomForestRegressor(3, random_state=0),
        ExtraTreesClassifier(3, random_state=0),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=2, random_state=0),
        HistGradientBoostingRegressor(max_iter=2, random_state=0),
        LogisticRegression(max_iter=5000),
        LinearRegression(),
        Ridge(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_common_models_come_back_and_answer_the_same(model: BaseEstimator) -> None:
    fitted = mixed_pipeline(make_pipeline(StandardScaler(), model)).fit(frame(), labels())
    flavor = SklearnFlavor()
    data = flavor.dumps(fitted)
    loaded = flavor.loads(data)
    np.testing.assert_array_equal(loaded.predict(frame()), fitted.predict(frame()))
    assert flavor.dumps(loaded) == data


class TestRefusals:
    def test_a_function_of_ones_own_is_named_when_written(self) -> None:
        model = make_pipeline(FunctionTransformer(np.square), LinearRegression())
        model.fit(np.ones((3, 1)), np.ones(3))
        SklearnFlavor().dumps(model)
        model = make_pipeline(FunctionTransformer(labels), LinearRegression())
        with pytest.raises(Unsupported, match=r"fixtures\.estimators\.labels"):
            SklearnFlavor().dumps(model)

    def test_a_class_of_ones_own_is_named_and_never_made(self) -> None:
        data = skops.io.dumps(Mine())
        with pytest.raises(Refused, match=r"not allowed: .*\.Mine"):
            SklearnFlavor().loads(data)
        assert not SklearnFlavor().handles(Mine())

    @pytest.mark.parametrize("change", ["child", "circle", "column"])
    def test_a_tree_that_points_outside_is_refused(self, change: str) -> None:
        model: Any = DecisionTreeClassifier(max_depth=2).fit(np.eye(4), np.arange(4))
        tree = model.tree_
        state = tree.__getstate__()
        nodes = state["nodes"].copy()
        if change == "child":
            nodes["left_child"][0] = 1_000_000
        elif change == "circle":
            nodes["right_child"][0] = 0
        else:
            nodes["feature"][0] = 4
        tree.__setstate__(state | {"nodes": nodes})
        with pytest.raises(Refused, match="points outside itself"):
            SklearnFlavor().loads(SklearnFlavor().dumps(model))

    def test_a_booster_whose_nodes_point_outside_is_refused(self) -> None:
        data = np.random.default_rng(0).normal(size=(100, 2))
        model: Any = HistGradientBoostingClassifier(max_iter=2, random_state=0)
        model.fit(data, data[:, 0] > 0)
        nodes = model._predictors[0][0].nodes
        nodes["left"][0] = 4_000_000_000
        with pytest.raises(Refused, match="points outside itself"):
            SklearnFlavor().loads(SklearnFlavor().dumps(model))

    def test_bytes_that_are_no_file_are_corrupt(self) -> None:
        with pytest.raises(Corrupt, match="not a skops file"):
            SklearnFlavor().loads(b"garbage")

    def test_another_version_of_scikit_learn_is_refused(self, tmp_path: Any) -> None:
        flavor = SklearnFlavor()
        signature = infer_signature(rows(), {"prediction": labels()})
        dumped = flavor.dump(forest(), signature=signature, classes=[0, 1], folder=tmp_path)
        section = dict(dumped.section) | {"sklearn_version": "0.24.2"}
        with pytest.raises(Unsupported, match=r"packaged with scikit-learn 0\.24\.2"):
            flavor.load(tmp_path, signature=signature, section=section)
