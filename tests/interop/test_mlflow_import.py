"""Stores made by the real MLflow, of version 2 and 3, read from their database and by REST."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from fixtures.example_host import serving
from fixtures.importing import all_runs, artifacts, points
from fixtures.tools import free_port, python_of, run_tool, serving_tool
from millwright.core.ids import to_hex
from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.sdk.importing import ImportReport, import_all
from millwright.server.host import Host
from millwright.tracking.sources.mlflow_store import open_mlflow
from millwright.workspace.open import Home

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

FILL = """
import sys
import numpy as np
import mlflow
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
location = sys.argv[2] or None
mlflow.create_experiment("exp a", artifact_location=location, tags={"team": "risk"})
mlflow.set_experiment("exp a")
with mlflow.start_run(run_name="parent / 1"):
    mlflow.log_params({"a": 1, "b": "two", "long": "x" * 5000})
    for step in range(60):
        mlflow.log_metric("loss/total", 1 / (step + 1), step=step)
    for name, value in (("nan", "nan"), ("inf", "inf"), ("ninf", "-inf")):
        mlflow.log_metric(name, float(value))
    mlflow.set_tags({"k": "v", "mlflow.note.content": "a note"})
    mlflow.log_text("hello", "notes/a b.txt")
    mlflow.log_input(
        mlflow.data.from_numpy(np.arange(6).reshape(3, 2), name="nums"), context="training"
    )
    for number in range(5):
        with mlflow.start_run(run_name=f"child {number}", nested=True):
            mlflow.log_metric("acc", number / 5)
    X = np.random.RandomState(0).rand(30, 3)
    model = LogisticRegression().fit(X, (X[:, 0] > 0.5).astype(int))
    for name in ("model", "again"):
        mlflow.sklearn.log_model(model, name, registered_model_name="iris", input_example=X[:2])
        model = LogisticRegression(C=0.1).fit(X, (X[:, 1] > 0.5).astype(int))
client.set_registered_model_alias("iris", "champion", 1)
client.set_registered_model_alias("iris", "shadow", 2)
client.set_registered_model_tag("iris", "owner", "ada")
client.set_model_version_tag("iris", "1", "checked", "yes")
client.update_registered_model("iris", description="leaves")
try:
    with mlflow.start_run(run_name="failing"):
        raise ValueError
except ValueError:
    pass
gone = client.create_run(client.get_experiment_by_name("exp a").experiment_id)
client.delete_run(gone.info.run_id)
"""


@dataclass(frozen=True)
class Store:
    """What MLflow made, and its database, to be asked what there is."""

    database: Path
    folder: Path
    python: Path
    version: int

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute(sql).fetchall()


def made(name: str, folder: Path, *, version: int) -> Store:
    # Its server's module needs a SQLAlchemy that fits it, which its client does not.
    python = python_of(name, "mlflow, mlflow.store.db.utils")
    uri, location = f"sqlite:///{folder}/mlflow.db", str(folder / "art")
    own = {"HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    run_tool(python, FILL, uri, location, cwd=folder, environment=own)
    return Store(folder / "mlflow.db", folder, python, version)


@pytest.fixture(scope="module", params=["mlflow3", "mlflow2-store"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    name: str = request.param
    return made(name, tmp_path_factory.mktemp(name), version=int(name[6]))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def door(home: Home) -> Door:
    return cast("Door", home.door(home.local_principal(), "default"))


def taken(door: Door, address: str) -> ImportReport:
    with closing(open_mlflow(address)) as source:
        return import_all(door, source)


def check(store: Store, door: Door, report: ImportReport, folder: Path) -> None:
    """Compare what came over with what MLflow's own tables say."""
    assert report.ok, report.differences
    alive = "(SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active')"
    counted = {
        "experiments": "experiments WHERE lifecycle_stage = 'active'",
        "runs": "runs WHERE lifecycle_stage = 'active'",
        "params": f"params WHERE run_uuid IN {alive}",
        "tags": f"tags WHERE run_uuid IN {alive}",
        "points": f"metrics WHERE run_uuid IN {alive}",
        "datasets": "inputs WHERE source_type = 'DATASET'",
        "models": "registered_models",
        "versions": "model_versions",
        "aliases": "registered_model_aliases",
    }
    if store.version == 3:
        counted["logged_models"] = "logged_models"
    for name, where in counted.items():
        (count,) = store.rows(f"SELECT count(*) FROM {where}")[0]
        assert getattr(report.found, name) == count, name
        assert getattr(report.kept, name) == count, name

    by_uuid = {to_hex(run.id): run for run in all_runs(door).values()}
    for uuid, name, status, start, end in store.rows(
        "SELECT run_uuid, name, status, start_time, end_time FROM runs "
        "WHERE lifecycle_stage = 'active'"
    ):
        run = by_uuid[str(uuid)]
        states = {"FINISHED": "finished", "FAILED": "failed"}
        assert (run.name, run.status) == (name, states[str(status)])
        assert (run.start_us, run.end_us) == (1000 * cast("int", start), 1000 * cast("int", end))
        check_run(store, door, run, str(uuid))
    parent = all_runs(door)["parent / 1"]
    children = [run for name, run in all_runs(door).items() if name.startswith("child")]
    assert {run.parent for run in children} == {parent.id}
    assert artifacts(door, parent, folder)["notes/a b.txt"] == b"hello"
    check_models(store, door, folder)


def check_run(store: Store, door: Door, run: Run, uuid: str) -> None:
    params, tags = (
        {str(key): str(value) for key, value in store.rows(sql)}
        for sql in (
            f"SELECT key, value FROM params WHERE run_uuid = '{uuid}'",
            f"SELECT key, value FROM tags WHERE run_uuid = '{uuid}'",
        )
    )
    assert run.params == params
    assert tags.items() <= run.tags.items()
    largest = 1.7976931348623157e308
    wanted: Counter[tuple[object, ...]] = Counter()
    for key, value, time_ms, step, is_nan in store.rows(
        f"SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = '{uuid}'"
    ):
        number = cast("float", value)
        if abs(number) == largest:
            number = math.copysign(math.inf, number)
        wanted[key, None if is_nan else number, step, 1000 * cast("int", time_ms)] += 1
    held = Counter(
        (point.key, None if point.value is None else float(point.value), point.step, point.time_us)
        for point in points(door, run)
    )
    assert held == wanted


def check_models(store: Store, door: Door, folder: Path) -> None:
    model = door.models.find(name="iris").model
    assert (model.aliases, model.description) == ({"champion": 1, "shadow": 2}, "leaves")
    assert model.tags["owner"] == "ada"
    checked = door.models.search_versions(filter="tags.checked = 'yes'").versions
    assert [one.version for one in checked] == [1]
    history = door.models.history(name="iris")
    assert [one.version for one in history.versions] == [1, 2]
    assert all("sklearn" in one.flavors for one in history.versions)
    for version in history.versions:
        door.artifacts.fetch_folder(version.package_digest, folder / f"v{version.version}")
        kept = folder / f"v{version.version}"
        (where,) = store.rows(
            "SELECT storage_location FROM model_versions "
            f"WHERE name = 'iris' AND version = {version.version}"
        )[0]
        place = Path(str(where))
        if place.is_absolute():
            files = {path.name: path.read_bytes() for path in place.iterdir()}
            assert {path.name: path.read_bytes() for path in kept.iterdir()} == files
        assert (kept / "MLmodel").is_file()


def test_a_store_is_imported_from_its_database(store: Store, door: Door, tmp_path: Path) -> None:
    address = f"sqlite:///{store.database}"
    report = taken(door, address)
    assert [one.why for one in report.problems] == ["deleted runs were left out: 1"]
    check(store, door, report, tmp_path)
    again = taken(door, address)
    assert (again.found.runs, again.unchanged) == (0, report.found.runs)
    assert len(door.models.history(name="iris").versions) == 2


def test_a_store_is_imported_from_its_server(store: Store, door: Door, tmp_path: Path) -> None:
    with server(store) as address:
        report = taken(door, address)
        assert report.problems == []
        check(store, door, report, tmp_path)
        assert taken(door, address).unchanged == report.found.runs


def test_artifacts_behind_the_servers_proxy_come_too(
    store: Store, door: Door, tmp_path: Path
) -> None:
    script = """
import sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment(sys.argv[2])
with mlflow.start_run(run_name="proxied"):
    mlflow.log_text("behind", "deep/er/x.txt")
"""
    with server(store) as address:
        run_tool(store.python, script, address, f"proxied {os.getpid()}", cwd=store.folder)
        report = taken(door, address)
    assert report.ok
    run = all_runs(door)["proxied"]
    assert artifacts(door, run, tmp_path) == {"deep/er/x.txt": b"behind"}
    # The same from the database, which finds them in the server's folder.
    address, beside = f"sqlite:///{store.database}", [store.folder / "proxied"]
    with closing(open_mlflow(address, artifacts=beside)) as source:
        again = import_all(door, source)
    assert again.ok
    assert [one.why for one in again.problems] == ["deleted runs were left out: 1"]


def test_an_import_that_is_killed_goes_on(store: Store, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "millwright", "init"], cwd=tmp_path, check=True, capture_output=True
    )
    words = ["import", "mlflow", "--from", f"sqlite:///{store.database}", "--json"]
    command = [sys.executable, "-m", "millwright", *words]
    for wait_s in (0.5, 0.8, 1.1):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(wait_s)
        process.kill()
        process.communicate()
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    report = json.loads(done.stdout)
    assert report["differences"] == []
    home = Home.open(tmp_path / ".millwright")
    with closing(home):
        door = cast("Door", home.door(home.local_principal(), "default"))
        (count,) = store.rows("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")[0]
        by_uuid = {to_hex(run.id): run for run in all_runs(door).values()}
        assert len(by_uuid) == count
        for uuid, run in by_uuid.items():
            check_run(store, door, run, uuid)


@contextmanager
def server(store: Store) -> Generator[str]:
    """Run the store's own server and yield its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = {
        "--backend-store-uri": f"sqlite:///{store.database}",
        "--artifacts-destination": str(store.folder / "proxied"),
        "--port": str(port),
        "--workers": "1",
    }
    words = [word for option in options.items() for word in option]
    command = [store.python.parent / "mlflow", "server", *words]
    with serving_tool(command, f"{address}/health", cwd=store.folder):
        yield address


CLIENT = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
parent = next(run for run in runs if run.info.run_name == "parent / 1")
children = client.search_runs(
    [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
)
model = mlflow.sklearn.load_model("models:/iris@champion")
print(json.dumps({
    "runs": sorted(run.info.run_id for run in runs),
    "parent": parent.info.run_id,
    "children": len(children),
    "history": [
        (one.step, one.value, one.timestamp)
        for one in client.get_metric_history(parent.info.run_id, "loss/total")
    ],
    "artifact": mlflow.artifacts.load_text(f"runs:/{parent.info.run_id}/notes/a b.txt"),
    "predicted": model.predict([[0.9, 0.5, 0.5], [0.1, 0.5, 0.5]]).tolist(),
    "shadow": client.get_model_version_by_alias("iris", "shadow").version,
    "checked": client.get_model_version("iris", "1").tags["checked"],
}))
"""


def test_an_unmodified_client_finds_what_was_imported_by_its_own_ids(
    store: Store, door: Door, home: Home, tmp_path: Path
) -> None:
    assert taken(door, f"sqlite:///{store.database}").ok
    with serving(cast("Host", home), open_on_loopback=True) as address:
        said = json.loads(run_tool(store.python, CLIENT, address, cwd=tmp_path))
    alive = store.rows("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'")
    assert said["runs"] == sorted(str(uuid) for (uuid,) in alive)
    points = store.rows(
        "SELECT step, value, timestamp FROM metrics WHERE key = 'loss/total' ORDER BY step"
    )
    assert said["history"] == [list(point) for point in points]
    assert (said["children"], said["artifact"], said["predicted"]) == (5, "hello", [1, 0])
    assert (str(said["shadow"]), said["checked"]) == ("2", "yes")


DUMP = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
found = {}
for run in mlflow.search_runs(search_all_experiments=True, output_format="list"):
    history = [
        (key, one.step, repr(one.value), one.timestamp)
        for key in run.data.metrics
        for one in client.get_metric_history(run.info.run_id, key)
    ]
    found[run.info.run_id] = {
        "name": run.info.run_name,
        "start": run.info.start_time,
        "end": run.info.end_time,
        "status": run.info.status,
        "params": run.data.params,
        "tags": {key: run.data.tags[key] for key in run.data.tags},
        "history": sorted(history),
    }
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", ["mlflow3", "mlflow2-store"])
def test_a_store_in_files_is_imported_as_its_client_reads_it(
    name: str, door: Door, tmp_path: Path
) -> None:
    python = python_of(name, "mlflow")
    folder = tmp_path / "mlruns"
    own = {"HOME": str(tmp_path), "MLFLOW_ALLOW_FILE_STORE": "true"}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    address = f"file://{folder}"
    run_tool(python, FILL, address, "", cwd=tmp_path, environment=own)
    said = json.loads(run_tool(python, DUMP, address, cwd=tmp_path, environment=own))
    report = taken(door, address)
    assert report.ok
    assert [one.why for one in report.problems] == ["deleted runs were left out: 1"]
    assert report.found == report.kept
    runs = {to_hex(run.id): run for run in all_runs(door).values()}
    assert set(runs) == set(said)
    states = {"FINISHED": "finished", "FAILED": "failed"}
    for uuid, run in runs.items():
        expected = said[uuid]
        assert (run.name, run.status) == (expected["name"], states[expected["status"]])
        assert (run.start_us, run.end_us) == (1000 * expected["start"], 1000 * expected["end"])
        assert run.params == expected["params"]
        assert expected["tags"].items() <= run.tags.items()
        held = {
            (
                point.key,
                point.step,
                repr(math.nan if point.value is None else float(point.value)),
                point.time_us // 1000,
            )
            for point in points(door, run)
        }
        # Version 3 writes some points of a run twice; here a point is one.
        assert held == {(key, step, value, at) for key, step, value, at in expected["history"]}
    kept = artifacts(door, all_runs(door)["parent / 1"], tmp_path)
    assert kept["notes/a b.txt"] == b"hello"
    history = door.models.history(name="iris")
    assert history.model.aliases == {"champion": 1, "shadow": 2}
    assert all("sklearn" in one.flavors for one in history.versions)
    assert taken(door, address).unchanged == len(runs)
