from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import CHILD, PARENT, mlflow_store
from fixtures.importing import all_runs, change, taken
from millwright.core.ids import to_hex
from millwright.doors.door import Door
from millwright.records.runs import LoggedModel
from millwright.workspace.open import Home

LOGGED = "e" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return mlflow_store(tmp_path / "store")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def with_logged(path: Path) -> Path:
    """Add a logged model, as version 3 has them; return the folder of its files."""
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
    return folder


def logged_models(door: Door) -> list[LoggedModel]:
    return door.logged_models.search(experiments=["churn"]).models


def test_a_measure_that_cannot_be_kept_is_named_and_the_others_are_there(
    door: Door, path: Path
) -> None:
    with_logged(path)
    change(
        path,
        f"INSERT INTO logged_model_metrics VALUES ('m-{LOGGED}', 'auc', {2**62}, 1, 0.5, "
        f"'{CHILD}', '', '')",
        f"INSERT INTO logged_model_metrics VALUES ('m-{LOGGED}', 'auc', 9, 2, 'high', "
        f"'{CHILD}', '', '')",
    )
    report = taken(door, path)
    assert report.ok
    (model,) = logged_models(door)
    assert [one.step for one in model.metrics] == [0]
    assert {one.why for one in report.problems} >= {
        "the time of metric 'auc' has 72 bits, beyond 64",
        "could not convert string to float: 'high'",
    }


def test_logged_models_come_with_files_and_measures_and_only_once(
    door: Door, path: Path, tmp_path: Path
) -> None:
    with_logged(path)
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


def test_a_registered_model_that_was_logged_points_at_what_was_logged(
    door: Door, path: Path
) -> None:
    with_logged(path)
    change(
        path, f"UPDATE model_versions SET source = 'models:/m-{LOGGED}', storage_location = NULL"
    )
    taken(door, path)
    (model,) = logged_models(door)
    version = door.models.show(ref="churn@v1")
    assert (version.logged_model, version.source) == (model.id, f"models:/m-{to_hex(model.id)}")


def test_a_logged_model_whose_files_are_gone_is_looked_for_again(door: Door, path: Path) -> None:
    folder = with_logged(path)
    kept = (folder / "MLmodel").read_bytes()
    (folder / "MLmodel").unlink()
    folder.rmdir()
    report = taken(door, path)
    assert (report.found.logged_models, report.kept.logged_models) == (1, 0)
    assert any("there is no such folder of artifacts" in one.why for one in report.problems)
    folder.mkdir()
    (folder / "MLmodel").write_bytes(kept)
    report = taken(door, path)
    assert (report.found.logged_models, report.kept.logged_models) == (1, 1)
    assert len(logged_models(door)) == 1
