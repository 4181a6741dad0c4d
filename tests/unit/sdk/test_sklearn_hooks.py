from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.sdk.current import Options, start_in
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.sklearn_hooks import estimator_classes, hook, params_of, unhook
from millwright.workspace.config import Config

# Of these there are no types.
BaggingClassifier = import_module("sklearn.ensemble").BaggingClassifier
GridSearchCV = import_module("sklearn.model_selection").GridSearchCV
KMeans = import_module("sklearn.cluster").KMeans
LogisticRegression = import_module("sklearn.linear_model").LogisticRegression

QUIET = Options(console=False, system=False)
ROWS = np.array([[float(n % 7), float(n % 3)] for n in range(90)])
LABELS = (ROWS[:, 0] > 3).astype(np.int64)


@pytest.fixture(autouse=True)
def hooked(embedded: Config, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(embedded.home))
    assert hook(log_models=False) > 100
    yield
    unhook()


def newest(door: Door, count: int) -> list[Run]:
    """Return the newest runs, oldest first."""
    return list(reversed(door.runs.page(limit=count).runs))


def test_a_fit_is_a_run(door: Door) -> None:
    model = LogisticRegression(C=0.5)
    assert model.fit(ROWS, LABELS) is model
    (run,) = newest(door, 1)
    assert (run.name, run.status) == ("LogisticRegression", "finished")
    assert run.params["C"] == "0.5"
    assert run.tags == {"estimator": "sklearn.linear_model._logistic.LogisticRegression"}
    assert run.metrics["training_score"] == model.score(ROWS, LABELS)
    assert float(run.metrics["fit_seconds"] or -1) >= 0


def test_fits_within_a_fit_are_part_of_it(door: Door) -> None:
    before = door.runs.page(limit=1).runs[0].id
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(ROWS, LABELS)
    search, previous = door.runs.page(limit=2).runs
    assert previous.id == before
    assert search.name == "GridSearchCV"
    assert search.params["best_logisticregression__C"] in {"0.1", "1.0"}
    assert "best_cv_score" in search.metrics
    pipeline.fit(ROWS, LABELS)
    run = door.runs.page(limit=1).runs[0]
    assert run.name == "Pipeline"
    assert run.params["logisticregression__C"] == "1.0"
    assert "logisticregression" not in run.params


def test_threads_that_work_for_a_fit_are_part_of_it(door: Door) -> None:
    joblib = import_module("joblib")
    before = door.runs.page(limit=1).runs[0].id
    with joblib.parallel_backend("threading", n_jobs=2):
        BaggingClassifier(LogisticRegression(), n_estimators=4).fit(ROWS, LABELS)
    bagging, previous = door.runs.page(limit=2).runs
    assert (bagging.name, previous.id) == ("BaggingClassifier", before)


def test_a_fit_that_fails_fails_its_run(door: Door) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LogisticRegression().fit(ROWS, LABELS[:3])
    (run,) = newest(door, 1)
    assert run.status == "failed"
    assert run.error is not None
    assert "inconsistent numbers of samples" in run.error.what


def test_without_labels_there_is_no_score(door: Door) -> None:
    KMeans(2, n_init=1).fit(ROWS)
    (run,) = newest(door, 1)
    assert list(run.metrics) == ["fit_seconds"]


def test_the_active_run_takes_the_first_fit(embedded: Config, door: Door) -> None:
    with start_in(embedded, "mine", options=QUIET) as run:
        LogisticRegression(C=0.5).fit(ROWS, LABELS)
        LogisticRegression(C=0.25).fit(ROWS, LABELS)
    assert door.runs.show(ref=run.id).params["C"] == "0.5"
    (inner,) = newest(door, 1)
    assert (inner.parent, inner.params["C"]) == (run.id, "0.25")


def test_the_model_is_kept_where_that_was_asked_for(door: Door) -> None:
    unhook()
    hook()
    LogisticRegression().fit(ROWS, LABELS)
    (run,) = newest(door, 1)
    assert [link.name for link in run.links] == ["model"]


def test_what_breaks_in_the_log_breaks_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLWRIGHT_PROJECT", "nothing")
    model = LogisticRegression()
    with pytest.warns(LoggingWarning, match="autolog: NotFound"):
        model.fit(ROWS, LABELS)
    assert model.score(ROWS, LABELS) > 0.5


def test_everything_is_put_back(door: Door) -> None:
    unhook()
    before = door.runs.page(limit=1).runs[0].id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression().fit(ROWS, LABELS)
    assert door.runs.page(limit=1).runs[0].id == before
    for kind in estimator_classes():
        assert not hasattr(kind.__dict__.get("fit"), "__millwright_original__")


def test_hooking_twice_hooks_once() -> None:
    assert hook() == 0


def test_parameters_are_short_texts_of_leaves() -> None:
    class Odd(BaseEstimator):
        def __init__(self, inner: object = None, text: str = "x" * 9000) -> None:
            self.inner = inner
            self.text = text

    found = params_of(Odd(inner=LogisticRegression(C=2.0)))
    assert found["inner__C"] == "2.0"
    assert "inner" not in found
    assert len(found["text"]) == 8000
