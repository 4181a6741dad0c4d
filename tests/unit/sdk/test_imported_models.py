from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import CHILD, PARENT, mlflow_store
from fixtures.importing import all_runs
from fixtures.registries import packaged
from millwright.core.ids import to_hex
from millwright.doors.door import Door
from millwright.governance.policy import Policy
from millwright.records.runs import LoggedModel
from millwright.sdk.importing import ImportReport, import_all
from millwright.tracking.sources.mlflow_sql import MlflowDatabase
from millwright.workspace.open import Home

LOGGED = "e" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose registered model is a package that can be loaded."""
    path = mlflow_store(tmp_path / "store")
    folder = path.parent / "mlruns" / "1" / PARENT / "artifacts" / "model"
    for name, data in packaged(0).items():
        (folder / name).write_bytes(data)
    return path


@pytest.fixture(params=["guarded", "free"])
def policy(request: pytest.FixtureRequest) -> Policy:
    return Policy(needs_gate=request.param == "guarded")


@pytest.fixture
def door(tmp_path: Path, policy: Policy) -> Iterator[Door]:
    home = Home.create(tmp_path / "home", policy=policy)
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def taken(door: Door, path: Path) -> ImportReport:
    with closing(MlflowDatabase(path)) as source:
        return import_all(door, source)


def problems(report: ImportReport) -> dict[str, str]:
    return {one.where: one.why for one in report.problems if not one.where.startswith("sqlite:")}


def test_a_model_comes_with_its_version_and_the_run_that_made_it(
    door: Door, path: Path, policy: Policy
) -> None:
    report = taken(door, path)
    assert (report.kept.models, report.kept.versions) == (1, 1)
    version = door.models.show(ref="churn@v1")
    assert version.run is not None
    assert to_hex(version.run) == PARENT
    history = door.models.history(name="churn")
    if policy.needs_gate:
        # An alias that decides what answers is not moved past the gate, but named.
        (why,) = problems(report).values()
        assert why.startswith("churn@v1 cannot become champion")
        assert history.model.aliases == {}
    else:
        assert problems(report) == {}
        assert history.model.aliases == {"champion": 1}
        assert report.found == report.kept
        assert "imported from sqlite:///" in history.aliases[0].reason


def test_a_second_import_makes_no_second_version_and_moves_nothing(door: Door, path: Path) -> None:
    taken(door, path)
    before = door.models.history(name="churn")
    taken(door, path)
    assert door.models.history(name="churn") == before


def test_a_name_that_cannot_be_ours_is_made_one_and_said(door: Door, path: Path) -> None:
    names = ("registered_models", "registered_model_aliases", "model_versions")
    change(path, *[f"UPDATE {table} SET name = 'churn (EU)*'" for table in names])
    report = taken(door, path)
    assert [one.name for one in door.models.list_all()] == ["churn -EU"]
    assert problems(report)["model 'churn (EU)*'"] == (
        "a model cannot have that name; here it is called 'churn -EU'"
    )
    assert report.kept.versions == 1


def test_a_version_that_cannot_be_is_named_with_its_alias(door: Door, path: Path) -> None:
    change(path, "UPDATE model_versions SET storage_location = '/gone/model'")
    report = taken(door, path)
    assert problems(report) == {
        "model 'churn' version 1, /gone/model": "there is no such folder of artifacts",
        "alias 'champion' of model 'churn'": "version 1 could not be taken",
    }
    assert (report.kept.models, report.kept.versions, report.kept.aliases) == (1, 0, 0)


def logged_models(door: Door) -> list[LoggedModel]:
    return door.logged_models.search(experiments=["churn"]).models


def test_logged_models_come_with_files_and_measures_and_only_once(
    door: Door, path: Path, tmp_path: Path
) -> None:
    location = f"/moved/elsewhere/mlruns/1/models/m-{LOGGED}/artifacts"
    change(
        path,
        "CREATE TABLE logged_models (model_id TEXT, name TEXT, model_type TEXT, status INTEGER, "
        "creation_timestamp_ms BIGINT, artifact_location TEXT, source_run_id TEXT, "
        "lifecycle_stage TEXT)",
        "CREATE TABLE logged_model_params (model_id TEXT, param_key TEXT, param_value TEXT)",
        "CREATE TABLE logged_model_metrics (model_id TEXT, metric_name TEXT, "
        "metric_timestamp_ms BIGINT, metric_step BIGINT, metric_value FLOAT, run_id TEXT, "
        "dataset_name TEXT, dataset_digest TEXT)",
        f"INSERT INTO logged_models VALUES ('m-{LOGGED}', 'net', 'agent', 2, 7, '{location}', "
        f"'{PARENT}', 'active')",
        f"INSERT INTO logged_model_params VALUES ('m-{LOGGED}', 'depth', '3')",
        # Measured by a run that is read later than the one that made the model.
        f"INSERT INTO logged_model_metrics VALUES ('m-{LOGGED}', 'auc', 9, 0, 0.5, '{CHILD}', "
        "'loans', 'abc')",
    )
    folder = path.parent / "mlruns" / "1" / "models" / f"m-{LOGGED}" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("net")
    report = taken(door, path)
    assert (report.found.logged_models, report.kept.logged_models) == (1, 1)
    (model,) = logged_models(door)
    runs = all_runs(door)
    assert (model.name, model.type, model.status) == ("net", "agent", "ready")
    assert (model.params, model.run) == ({"depth": "3"}, runs["parent"].id)
    (measure,) = model.metrics
    assert (measure.key, measure.value, measure.run) == ("auc", 0.5, runs["child"].id)
    assert (measure.dataset_name, measure.dataset_digest) == ("loans", "abc")
    place = f"{model.experiment}/models/m-{to_hex(model.id)}/artifacts/MLmodel"
    door.artifacts.fetch(door.files.show(path=place).digest, tmp_path / "MLmodel")
    assert (tmp_path / "MLmodel").read_text() == "net"

    change(path, f"INSERT INTO tags VALUES ('more', '1', '{PARENT}')")
    assert taken(door, path).found.logged_models == 1
    assert [one.id for one in logged_models(door)] == [model.id]
