from __future__ import annotations

import math
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.foreign import CHILD, PARENT, T0_US, contents, mlflow_store, unread_of
from millwright.core.errors import Invalid, NotFound
from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import (
    FoundDataset,
    FoundEnd,
    FoundExperiment,
    FoundLoggedModel,
    FoundModel,
    FoundParams,
    FoundRun,
    FoundTags,
    Unread,
)
from millwright.tracking.sources.mlflow_sql import MlflowDatabase


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return mlflow_store(tmp_path / "store")


@pytest.fixture
def source(path: Path) -> Iterator[MlflowDatabase]:
    source = MlflowDatabase(path)
    yield source
    source.close()


def heads(source: MlflowDatabase) -> dict[str, FoundRun]:
    return {one.id: one for one in source.runs() if isinstance(one, FoundRun)}


def test_what_was_not_deleted_is_found(source: MlflowDatabase, path: Path) -> None:
    assert list(source.experiments()) == [
        FoundExperiment(name="Default"),
        FoundExperiment(name="churn", tags={"team": "risk"}),
    ]
    found = list(source.runs())
    runs = [one for one in found if isinstance(one, FoundRun)]
    # The parent first, though the child began before it by its clock.
    assert [(run.id, run.parent, run.name) for run in runs] == [
        (PARENT, None, "parent"),
        (CHILD, PARENT, "child"),
    ]
    assert [run.start_us for run in runs] == [T0_US, T0_US - 5000]
    assert {run.uuid for run in runs} == {PARENT, CHILD}
    assert unread_of(found) == [f"sqlite:///{path}: deleted runs were left out: 1"]


def test_everything_of_a_run_is_found(source: MlflowDatabase, tmp_path: Path) -> None:
    found = list(source.items(heads(source)[PARENT]))
    points = [one for one in found if isinstance(one, MetricPoint)]
    loss = [(one.step, one.value, one.time_us) for one in points if one.key == "loss"]
    assert loss == [(step, 1 / (step + 1), T0_US + 1000 * step) for step in range(5)]
    odd = {one.key: one.value for one in points if one.key != "loss"}
    assert odd == {"worst": None, "best": math.inf}
    assert FoundParams(params={"depth": "3"}) in found
    assert FoundTags(tags={"who": "ada"}) in found
    loans = FoundDataset(
        name="loans", digest="abc", source_type="local", source="{}", context="training"
    )
    assert loans in found
    assert contents(found, tmp_path) == {"model/MLmodel": b"flavors: {}\n", "notes.txt": b"hello"}
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 1_000_000)
    assert unread_of(found) == []
    # A time of 0 is the beginning of time, and not now.
    child = list(source.items(heads(source)[CHILD]))
    assert [one for one in child if isinstance(one, MetricPoint)] == [
        MetricPoint(key="auc", value=0.5, step=0, time_us=1)
    ]


def test_the_registry_is_found(source: MlflowDatabase, tmp_path: Path) -> None:
    (model,) = source.models()
    assert isinstance(model, FoundModel)
    assert (model.name, model.description, model.tags, model.aliases) == (
        "churn",
        "leaves?",
        {"owner": "ada"},
        {"champion": 1},
    )
    (version,) = model.versions
    assert (version.version, version.run, version.description, version.stage, version.tags) == (
        1,
        PARENT,
        "the first",
        "Production",
        {"checked": "yes"},
    )
    assert contents(version.files(), tmp_path) == {"MLmodel": b"flavors: {}\n"}


def test_a_run_that_changed_has_another_mark(source: MlflowDatabase, path: Path) -> None:
    before = heads(source)
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO tags VALUES ('more', '1', ?)", (PARENT,))
    database.close()
    after = heads(source)
    assert after[PARENT].mark != before[PARENT].mark
    assert after[CHILD] == before[CHILD]


def test_what_comes_to_a_run_that_has_ended_changes_its_mark(path: Path) -> None:
    artifacts = next(path.parent.glob(f"**/{PARENT}/artifacts"))
    model = f"m-{'e' * 32}"
    row = f"'{model}', 'net', NULL, 2, 7, '{artifacts}', '{PARENT}', 'active'"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            """
            CREATE TABLE logged_models (model_id TEXT, name TEXT, model_type TEXT, status INTEGER,
                creation_timestamp_ms BIGINT, artifact_location TEXT, source_run_id TEXT,
                lifecycle_stage TEXT);
            CREATE TABLE logged_model_params (model_id TEXT, param_key TEXT, param_value TEXT);
            CREATE TABLE logged_model_tags (model_id TEXT, tag_key TEXT, tag_value TEXT);
            """
        )
    source = MlflowDatabase(path)
    marks = [heads(source)[PARENT].mark]
    child = heads(source)[CHILD]

    def look() -> None:
        assert heads(source)[PARENT].mark == heads(source)[PARENT].mark
        marks.append(heads(source)[PARENT].mark)

    (artifacts / "late.txt").write_text("late")
    look()
    os.utime(artifacts / "late.txt", ns=(1, 1))
    look()
    for statement in (
        "UPDATE datasets SET digest = 'another'",
        f"INSERT INTO logged_models VALUES ({row})",
        f"INSERT INTO logged_model_tags VALUES ('{model}', 'approved', 'no')",
        "UPDATE logged_model_tags SET tag_value = 'yes'",
        "UPDATE logged_models SET status = 3",
    ):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(statement)
        look()
    assert len(set(marks)) == len(marks) == 8
    assert heads(source)[CHILD] == child
    source.close()


def test_logged_models_and_workspaces_of_version_three(path: Path, tmp_path: Path) -> None:
    model = "e" * 32
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            ALTER TABLE experiments ADD COLUMN workspace TEXT DEFAULT 'default';
            ALTER TABLE registered_models ADD COLUMN workspace TEXT DEFAULT 'default';
            ALTER TABLE registered_model_aliases ADD COLUMN workspace TEXT DEFAULT 'default';
            INSERT INTO registered_models VALUES ('churn', 1, '', 'other');
            CREATE TABLE logged_models (model_id TEXT, name TEXT, model_type TEXT, status INTEGER,
                creation_timestamp_ms BIGINT, artifact_location TEXT, source_run_id TEXT,
                lifecycle_stage TEXT);
            CREATE TABLE logged_model_params (model_id TEXT, param_key TEXT, param_value TEXT);
            CREATE TABLE logged_model_tags (model_id TEXT, tag_key TEXT, tag_value TEXT);
            """
        )
        location = f"/moved/elsewhere/mlruns/1/models/m-{model}/artifacts"
        for uuid in (model, "no digits"):
            row = (f"m-{uuid}", "net", None, 2, 7, location, PARENT, "active")
            database.execute("INSERT INTO logged_models VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute(
            "INSERT INTO logged_model_params VALUES (?, 'depth', '3')", (f"m-{model}",)
        )
        database.execute(
            "INSERT INTO inputs VALUES ('i2', 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, 4)",
            (PARENT, f"m-{model}"),
        )
        database.execute(
            "UPDATE model_versions SET source = ?, storage_location = NULL", (f"models:/m-{model}",)
        )
    database.close()
    folder = path.parent / "mlruns" / "1" / "models" / f"m-{model}" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("three")
    source = MlflowDatabase(path)
    found = list(source.items(heads(source)[PARENT]))
    (logged,) = [one for one in found if isinstance(one, FoundLoggedModel)]
    assert (logged.uuid, logged.name, logged.type, logged.status) == (model, "net", "", "ready")
    assert (logged.created_us, logged.step, logged.params) == (7000, 4, {"depth": "3"})
    assert contents(logged.files(), tmp_path) == {"MLmodel": b"three"}
    assert unread_of(found) == [f"{source.place}, model m-no digits: its id is none"]
    models = [one for one in source.models() if isinstance(one, FoundModel)]
    assert [(one.name, one.aliases) for one in models] == [
        ("churn", {"champion": 1}),
        ("other.churn", {}),
    ]
    (version,) = models[0].versions
    assert version.logged_model == model
    assert contents(version.files(), tmp_path) == {"MLmodel": b"three"}
    source.close()


def test_what_lies_elsewhere_is_read_from_the_folder_that_is_named(
    path: Path, tmp_path: Path
) -> None:
    shutil.move(path.parent / "mlruns", tmp_path / "artifacts")
    bare = MlflowDatabase(path)
    (model,) = bare.models()
    assert isinstance(model, FoundModel)
    (unread,) = unread_of(model.versions[0].files())
    assert unread.endswith("there is no such folder of artifacts")
    bare.close()
    source = MlflowDatabase(path, artifacts=[tmp_path / "artifacts"])
    (model,) = source.models()
    assert isinstance(model, FoundModel)
    assert contents(model.versions[0].files(), tmp_path) == {"MLmodel": b"flavors: {}\n"}
    source.close()


def test_a_model_that_a_run_names_is_found(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE model_versions SET storage_location = NULL, source = ?",
            (f"runs:/{PARENT}/model",),
        )
    database.close()
    source = MlflowDatabase(path)
    (model,) = source.models()
    assert isinstance(model, FoundModel)
    assert contents(model.versions[0].files(), tmp_path) == {"MLmodel": b"flavors: {}\n"}
    source.close()


def test_a_model_whose_numbers_are_none_is_named(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE registered_model_aliases SET version = 'last'")
    with closing(MlflowDatabase(path)) as source:
        (unread,) = source.models()
    assert isinstance(unread, Unread)
    assert unread.where == f"sqlite:///{path}, model 'churn'"


def test_a_row_that_makes_no_sense_is_named(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO metrics VALUES ('odd', 'abc', 1, ?, 0, 0)",
            (PARENT,),
        )
        database.execute("INSERT INTO tags VALUES ('bytes', ?, ?)", (b"\xff\xfe", PARENT))
    database.close()
    source = MlflowDatabase(path)
    found = list(source.items(heads(source)[PARENT]))
    assert unread_of(found) == [
        f"{source.place}, metric 'odd' of run {PARENT}: could not convert string to float: 'abc'"
    ]
    source.close()


def test_the_store_is_never_written_to(source: MlflowDatabase, path: Path) -> None:
    before = path.read_bytes()
    for run in heads(source).values():
        list(source.items(run))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        source._database.execute("DELETE FROM runs")  # pyright: ignore[reportPrivateUsage]
    assert path.read_bytes() == before


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no MLflow database"):
        MlflowDatabase(tmp_path / "missing.db")
    (tmp_path / "text.db").write_text("no database at all, and long enough to be looked at" * 20)
    with pytest.raises(Invalid, match="is no SQLite database"):
        MlflowDatabase(tmp_path / "text.db")
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE runs (x)")
    database.close()
    with pytest.raises(Invalid, match="is no store of MLflow's") as refused:
        MlflowDatabase(tmp_path / "other.db")
    assert refused.value.why == "it has no tables experiments, metrics, params, tags"
    with sqlite3.connect(tmp_path / "early.db") as database:
        for table in ("experiments", "runs", "params", "tags"):
            database.execute(f"CREATE TABLE {table} (x)")
        database.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid)")
    database.close()
    with pytest.raises(Invalid, match="was written by an early version of MLflow") as refused:
        MlflowDatabase(tmp_path / "early.db")
    assert "mlflow db upgrade" in refused.value.fix
