"""MLflow's own autolog, of two of its generations, arrives in our runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from contracts.house import ROOT
from fixtures.example_host import serving
from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.server.host import Host
from millwright.workspace.open import Home

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

ENVIRONMENTS = ("mlflow3", "mlflow2")

SCRIPT = """
import warnings
warnings.simplefilter("ignore")
import millwright as mw
assert mw.autolog() == "mlflow"
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

X, y = load_iris(return_X_y=True, as_frame=True)
with mw.start_run("mine", experiment="flowers", system_metrics=False) as run:
    LogisticRegression(max_iter=300).fit(X, y)
    mw.log_metric("mine", 1.0)
    LogisticRegression(max_iter=200).fit(X, y)
GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
try:
    LogisticRegression(max_iter=300).fit(X, y[:3])
except ValueError:
    pass
with mlflow.start_run(run_name="by hand"):
    mlflow.log_param("depth", 3)
    for step in range(5):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/note.txt")
    mlflow.set_tag("who", "ada")
mw.autolog(disable=True)
LogisticRegression(max_iter=300).fit(X, y)
"""

BOOSTERS = """
import warnings
warnings.simplefilter("ignore")
import millwright as mw
mw.autolog()
from sklearn.datasets import load_iris
import lightgbm, xgboost
X, y = load_iris(return_X_y=True, as_frame=True)
xgboost.XGBClassifier(n_estimators=5).fit(X, y, eval_set=[(X, y)], verbose=False)
lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


def run_script(script: str, environment: str, home: Home, folder: Path) -> list[Run]:
    """Run a script in an environment that logs to the home; return its runs, oldest first."""
    python = ROOT / ".interop" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment .interop/{environment}")
    (folder / "train.py").write_text(script)
    with serving(cast("Host", home), open_on_loopback=True) as address:
        done = subprocess.run(
            [python, "train.py"],
            capture_output=True,
            text=True,
            cwd=folder,
            env=os.environ | {"MILLWRIGHT_URL": address, "PYTHONPATH": str(ROOT / "src")},
            check=False,
            timeout=300,
        )
    if "No module named" in done.stderr and "msgspec" in done.stderr:
        pytest.skip(f".interop/{environment} lacks what our client needs: msgspec, httpx, blake3")
    assert done.returncode == 0, done.stderr
    door = cast("Door", home.door(home.local_principal(), "default"))
    return [door.runs.show(ref=run.id) for run in reversed(door.runs.page().runs)]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_fits_and_calls_arrive(environment: str, home: Home, tmp_path: Path) -> None:
    mine, second, search, *trials, broken, by_hand = run_script(SCRIPT, environment, home, tmp_path)
    assert (mine.name, mine.experiment, mine.status) == ("mine", "flowers", "finished")
    assert mine.params["max_iter"] == "300"
    assert mine.metrics["mine"] == 1.0
    assert cast("float", mine.metrics["training_accuracy_score"]) > 0.9
    assert "model" in {link.name for link in mine.links}
    assert (second.parent, second.params["max_iter"]) == (mine.id, "200")
    assert search.parent is None
    assert cast("float", search.metrics["best_cv_score"]) > 0.9
    assert {trial.params["C"] for trial in trials} == {"0.1", "1.0"}
    assert {trial.parent for trial in trials} == {search.id}
    assert broken.status == "failed"
    assert (by_hand.name, by_hand.status) == ("by hand", "finished")
    assert (by_hand.params, by_hand.tags) == ({"depth": "3"}, {"who": "ada"})
    door = cast("Door", home.door(home.local_principal(), "default"))
    history = door.runs.history(ref=by_hand.id, key="loss")
    assert [(point.step, point.value) for point in history] == [
        (step, 1.0 / (step + 1)) for step in range(5)
    ]
    (entry,) = door.runs.artifacts(ref=by_hand.id, folder="notes")
    assert entry.digest is not None
    door.artifacts.fetch(entry.digest, tmp_path / "note")
    assert (tmp_path / "note").read_text() == "hello"


def test_boosters_arrive(home: Home, tmp_path: Path) -> None:
    xgboost, lightgbm = run_script(BOOSTERS, "mlflow3", home, tmp_path)
    assert xgboost.params["objective"] == "multi:softprob"
    assert "validation_0-mlogloss" in xgboost.metrics
    assert lightgbm.params["boosting_type"] == "gbdt"
    for run in (xgboost, lightgbm):
        assert run.status == "finished"
        assert "model" in {link.name for link in run.links}
