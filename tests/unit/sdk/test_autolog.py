from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import millwright.sdk.autolog as module
from millwright.core.errors import Unsupported
from millwright.doors.door import Door
from millwright.sdk.autolog import autolog
from millwright.workspace.config import Config

ROWS = np.array([[float(n % 7)] for n in range(50)])
LABELS = (ROWS[:, 0] > 3).astype(np.int64)


def only(*names: str):
    """Return a `find_spec` for a machine that has these modules."""

    def find_spec(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name in names else None

    return find_spec


def test_without_mlflow_fits_of_scikit_learn_are_logged(
    embedded: Config, door: Door, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(embedded.home))
    monkeypatch.setattr(module, "find_spec", only("sklearn"))
    assert autolog(log_models=False) == "sklearn"
    LogisticRegression().fit(ROWS, LABELS)
    assert autolog(disable=True) == "sklearn"
    LogisticRegression(C=0.5).fit(ROWS, LABELS)
    run = door.runs.page(limit=1).runs[0]
    assert (run.name, run.params["C"]) == ("LogisticRegression", "1.0")


def test_where_nothing_can_be_logged_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", only())
    with pytest.raises(Unsupported, match="nothing here whose fits could be logged"):
        autolog()


def test_where_mlflow_is_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # That its hooks really log is shown in tests/interop/test_autolog.py.
    monkeypatch.setattr(module, "find_spec", only("mlflow", "sklearn"))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError):
        autolog()
