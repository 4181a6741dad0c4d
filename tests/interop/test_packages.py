"""Packages between us and MLflow, both ways: folders written here, read there, and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.house import ROOT, TESTS
from fixtures.boosters import lgb_booster, lgb_classifier, matrix, numbers, three, xgb_classifier
from fixtures.estimators import forest, frame
from fixtures.tools import python_of
from millwright.registry.package import load_package, read_package, write_package
from millwright.registry.pickles import PicklePermission
from millwright.registry.replay import Replay, replay
from millwright.registry.signature import Array

pytestmark = pytest.mark.interop

ROWS = 50

READ = """
import json, sys, warnings
import mlflow, pandas as pd
with open(sys.argv[2]) as stream:
    rows = pd.DataFrame(**json.load(stream))
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(rows)
native = sys.argv[3]
kind = ""
if native:
    kind = type(getattr(mlflow, native).load_model(sys.argv[1])).__name__
found = model.metadata
print("ANSWER", json.dumps({
    "prediction": pd.Series(list(answer)).tolist(),
    "kind": kind,
    "columns": found.get_input_schema().input_names(),
    "run": found.run_id,
}))
"""

WRITE = """
import sys, json, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np, pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
out, kind = sys.argv[1], sys.argv[2]
with open(sys.argv[3]) as stream:
    kept = json.load(stream)
rows = pd.DataFrame(kept["data"], columns=kept["columns"]).astype(float)
target = np.array(kept["target"])
X, example = rows, rows[:5]
def fit(model): return model.fit(X, target)
if kind == "sklearn":
    model = fit(make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)))
    mlflow.sklearn.save_model(model, out, input_example=example)
elif kind == "sklearn-array":
    X = rows.to_numpy()
    model = fit(RandomForestClassifier(5, random_state=0))
    types = ["sklearn.tree._tree.Tree"]
    mlflow.sklearn.save_model(model, out, input_example=X[:5], skops_trusted_types=types)
elif kind == "sklearn-pickle":
    model = fit(LogisticRegression(max_iter=5000))
    extra = {} if mlflow.__version__ < "3" else {"serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(model, out, input_example=example, **extra)
elif kind == "xgboost":
    import xgboost
    model = fit(xgboost.XGBClassifier(n_estimators=5))
    mlflow.xgboost.save_model(model, out, input_example=example)
elif kind == "xgboost-pipeline":
    import xgboost
    model = fit(make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=5)))
    types = ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"]
    mlflow.sklearn.save_model(model, out, input_example=example, skops_trusted_types=types)
elif kind == "xgboost-booster":
    import xgboost
    data = xgboost.DMatrix(X, target)
    model = xgboost.train({"objective": "reg:squarederror"}, data, num_boost_round=5)
    mlflow.xgboost.save_model(model, out, input_example=example, model_format="json")
elif kind == "lightgbm":
    import lightgbm
    model = fit(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1))
    mlflow.lightgbm.save_model(model, out, input_example=example)
elif kind == "lightgbm-booster":
    import lightgbm
    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, target), num_boost_round=5)
    mlflow.lightgbm.save_model(model, out, input_example=example)
elif kind == "onnx":
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    fitted = fit(RandomForestClassifier(5, random_state=0))
    graph = convert_sklearn(fitted, initial_types=[("X", FloatTensorType([None, X.shape[1]]))])
    small = example.astype("float32")
    signature = mlflow.models.infer_signature(small, np.zeros(5, dtype=np.int64))
    mlflow.onnx.save_model(graph, out, input_example=small, signature=signature)
    model = fitted
elif kind == "pyfunc":
    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input.iloc[:, 0]
    mlflow.pyfunc.save_model(out, python_model=Model(), input_example=example)
    model = None
answer = []
if model is not None:
    if kind == "xgboost-booster":
        answer = model.predict(data)
    else:
        answer = model.predict(rows.to_numpy() if kind == "sklearn-array" else rows)
print("ANSWER", json.dumps(np.asarray(answer).tolist()))
"""


def run(python: Path, code: str, *arguments: object, folder: Path) -> Any:
    """Run code in another environment, in `folder`, and return what it answered."""
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    return json.loads(line.removeprefix("ANSWER "))


def split(columns: dict[str, Array]) -> str:
    """Return rows as pandas' constructor takes them."""
    values = [column.tolist() for column in columns.values()]
    return json.dumps({"columns": list(columns), "data": list(zip(*values, strict=True))})


def few(columns: dict[str, Array]) -> dict[str, Array]:
    """Return the first rows."""
    return {name: values[:ROWS] for name, values in columns.items()}


MAKERS: dict[str, tuple[str, Callable[[], object]]] = {
    "sklearn": ("sklearn", forest),
    "xgboost": ("xgboost", xgb_classifier),
    "lightgbm": ("lightgbm", lambda: lgb_classifier(three())),
    "lightgbm-booster": ("lightgbm", lgb_booster),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_mlflow_loads_what_we_package_and_answers_the_same(tmp_path: Path, kind: str) -> None:
    python = python_of("mlflow3")
    flavor, make = MAKERS[kind]
    folder = tmp_path / "package"
    folder.mkdir()
    if kind == "sklearn":
        columns: dict[str, Array] = {name: frame()[name].to_numpy() for name in frame().columns}
        write_package(make(), example=frame(), folder=folder, now_us=0)
    else:
        columns = numbers()
        write_package(make(), example=columns, folder=folder, now_us=0)
    rows = tmp_path / "rows.json"
    rows.write_text(split(few(columns)))
    found = run(python, READ, folder, rows, flavor, folder=tmp_path)
    expected = load_package(folder, flavor=flavor).predict(few(columns))["prediction"]
    np.testing.assert_allclose(found["prediction"], expected.astype(float), rtol=1e-6)
    assert found["columns"] == list(columns)
    assert found["kind"] == type(make()).__name__


def written_by_mlflow(environment: str, kind: str, folder: Path) -> tuple[Path, list[float]]:
    """Return the folder in which MLflow saved a model, and what that model answers."""
    python = python_of(environment)
    kept = {
        "columns": list(numbers()),
        "data": matrix().tolist(),
        "target": (three() == 1).astype(int).tolist(),
    }
    rows = folder / "rows.json"
    rows.write_text(json.dumps(kept))
    answer = run(python, WRITE, folder / "model", kind, rows, folder=folder)
    return folder / "model", answer


def floats(names: list[str]) -> dict[str, Array]:
    """Return all rows under other names."""
    values = list(numbers().values())
    return {name: column.astype(float) for name, column in zip(names, values, strict=True)}


@pytest.mark.parametrize(
    "kind",
    [
        "sklearn",
        "sklearn-array",
        "xgboost",
        "xgboost-pipeline",
        "xgboost-booster",
        "lightgbm",
        "lightgbm-booster",
        "onnx",
    ],
)
def test_we_load_what_mlflow_saved_and_answer_the_same(tmp_path: Path, kind: str) -> None:
    folder, expected = written_by_mlflow("mlflow3", kind, tmp_path)
    package = read_package(folder)
    assert package.tool == "mlflow"
    assert package.facts.version.startswith("3.")
    assert package.facts.serve
    assert package.facts.not_served_as == {}
    loaded = load_package(folder, expected=package.digest)
    names = [column.name for column in loaded.signature.inputs]
    assert len(names) == len(numbers())
    answers = loaded.predict(floats(names))
    np.testing.assert_allclose(answers["prediction"].astype(float), expected, rtol=1e-6)
    if "booster" not in kind:
        assert answers["probability"].shape == (300,)
    # MLflow keeps no answers to its example.
    assert replay(folder) == Replay(rows=5)


@pytest.mark.parametrize("environment", ["mlflow2", "mlflow3"])
def test_a_pickle_of_mlflows_is_described_and_loaded_with_a_permission_alone(
    tmp_path: Path, environment: str
) -> None:
    folder, expected = written_by_mlflow(environment, "sklearn-pickle", tmp_path)
    package = read_package(folder)
    assert package.facts.serve == ""
    assert "is a pickle" in package.facts.not_served_as["sklearn"]
    assert "is a pickle" in replay(folder).untried
    permission = PicklePermission(package.digest, "made by this test")
    loaded = load_package(folder, permission=permission)
    names = [column.name for column in loaded.signature.inputs]
    assert loaded.predict(floats(names))["prediction"].tolist() == expected


@pytest.mark.parametrize("environment", ["mlflow2", "mlflow3"])
def test_a_python_model_is_described_and_never_run(tmp_path: Path, environment: str) -> None:
    folder, _ = written_by_mlflow(environment, "pyfunc", tmp_path)
    package = read_package(folder)
    assert (package.flavors, package.facts.serve) == ([], "")
    assert "runs only with mlflow" in package.facts.not_served_as["python_function"]
    assert len(package.facts.signature.inputs) == len(numbers())
    assert "runs only with mlflow" in replay(folder).untried


def test_the_same_model_saved_twice_is_one_model_where_its_bytes_are(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        folder, _ = written_by_mlflow("mlflow3", "lightgbm-booster", tmp_path / name)
        digests.add(read_package(folder).digest)
    assert len(digests) == 1


def test_the_formats_of_giants_pass_their_suites_in_an_environment_of_their_own() -> None:
    python = python_of("torch")
    names = ("test_catboost.py", "test_pytorch.py")
    folder = ROOT / "tests" / "unit" / "registry" / "flavors"
    done = subprocess.run(
        [python, "-m", "pytest", "-q", *(folder / name for name in names)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout, done.stdout[-500:]


TORCH = """
import sys, os, json, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import mlflow, numpy as np, torch
from fixtures.boosters import matrix, numbers
from millwright.registry.package import load_package, read_package, write_package
out = Path(sys.argv[1])
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(7, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).eval()
rows = matrix().astype(np.float32)
expected = net(torch.from_numpy(rows)).detach().numpy().reshape(-1)
(out / "ours").mkdir()
write_package(net, example=numbers(), folder=out / "ours", now_us=0)
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
theirs = mlflow.pytorch.load_model(str(out / "ours"))
there = theirs(torch.from_numpy(rows)).detach().numpy().reshape(-1)
os.environ.pop("MLFLOW_ALLOW_PICKLE_DESERIALIZATION")
mlflow.pytorch.save_model(net, str(out / "mlflow"), input_example=rows[:5])
package = read_package(out / "mlflow")
loaded = load_package(out / "mlflow")
here = loaded.predict({str(i): rows[:, i] for i in range(7)})["prediction"]
print("ANSWER", json.dumps({
    "there": bool(np.allclose(there, expected, atol=1e-4)),
    "here": bool(np.allclose(here, expected, atol=1e-4)),
    "serve": package.facts.serve,
}))
"""


def test_networks_go_both_ways_as_exported_programs(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{TORCH}"
    found = run(python_of("torch"), code, tmp_path, folder=tmp_path)
    assert found == {"there": True, "here": True, "serve": "pytorch"}
