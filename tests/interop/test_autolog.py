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
from fixtures.tools import python_of
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

LIGHTNING = """
# Before ours: MLflow's hook on a later import fails (seen with 3.17).
import lightning
import millwright as mw
mw.autolog()
import torch
class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 2)
    def training_step(self, batch, index):
        loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
rows = torch.utils.data.TensorDataset(torch.rand(64, 4), torch.arange(64) % 2)
trainer = lightning.Trainer(
    max_epochs=2, accelerator="cpu", logger=False,
    enable_progress_bar=False, enable_checkpointing=False,
)
trainer.fit(Net(), torch.utils.data.DataLoader(rows, batch_size=16))
"""

KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import millwright as mw
mw.autolog()
import keras, numpy
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(numpy.ones((64, 4)), numpy.arange(64) % 2, epochs=2, verbose=0)
"""

TRANSFORMERS = """
import millwright as mw
mw.autolog()
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
model = BertForSequenceClassification(BertConfig(
    vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, max_position_embeddings=16, num_labels=2,
))
rows = [{"input_ids": torch.randint(0, 32, (8,)), "labels": number % 2} for number in range(16)]
Trainer(
    model=model,
    args=TrainingArguments(
        output_dir="out", num_train_epochs=1, logging_steps=1, use_cpu=True, disable_tqdm=True
    ),
    train_dataset=rows,
).train()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


def run_script(script: str, environment: str, home: Home, folder: Path) -> list[Run]:
    """Run a script in an environment that logs to the home; return its runs, oldest first."""
    python = python_of(environment)
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


@pytest.mark.parametrize(
    ("script", "param", "metric"),
    [
        (LIGHTNING, "epochs", "train_loss"),
        (KERAS, "optimizer_name", "accuracy"),
        (TRANSFORMERS, "num_train_epochs", "loss"),
    ],
    ids=["lightning", "keras", "transformers"],
)
def test_networks_arrive(script: str, param: str, metric: str, home: Home, tmp_path: Path) -> None:
    (run,) = run_script(script, "torch", home, tmp_path)
    assert run.status == "finished"
    assert param in run.params
    assert metric in run.metrics
