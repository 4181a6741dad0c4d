from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import PARENT, T0_US, mlflow_store
from fixtures.importing import change, failing, taken
from fixtures.registries import packaged
from millwright.core.clock import to_text
from millwright.core.errors import Unreachable
from millwright.core.ids import to_hex
from millwright.core.refs import check_model_name
from millwright.doors.door import Door
from millwright.sdk.imported_models import model_name
from millwright.sdk.importing import ImportReport, import_all
from millwright.tracking.sources.mlflow_sql import MlflowDatabase
from millwright.workspace.open import Home


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose registered model is a package that can be loaded."""
    path = mlflow_store(tmp_path / "store")
    folder = path.parent / "mlruns" / "1" / PARENT / "artifacts" / "model"
    for name, data in packaged(0).items():
        (folder / name).write_bytes(data)
    return path


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def problems(report: ImportReport) -> dict[str, str]:
    return {one.where: one.why for one in report.problems if not one.where.startswith("sqlite:")}


def test_a_model_comes_with_its_version_and_the_run_that_made_it(
    door: Door, path: Path, tmp_path: Path
) -> None:
    report = taken(door, path)
    assert problems(report) == {}
    assert report.found == report.kept
    model = door.models.find(name="churn").model
    assert (model.description, model.tags, model.aliases) == (
        "leaves?",
        {"owner": "ada"},
        {"champion": 1},
    )
    version = door.models.show(ref="churn@champion")
    assert version.run is not None
    assert to_hex(version.run) == PARENT
    assert (version.version, version.description, version.stage) == (1, "the first", "Production")
    assert version.source == f"runs:/{PARENT}/model"
    assert "sklearn" in version.flavors
    door.artifacts.fetch_folder(version.package_digest, tmp_path / "package")
    kept = {file.name: file.read_bytes() for file in (tmp_path / "package").iterdir()}
    assert kept == packaged(0)
    (found,) = door.models.search_versions(filter="tags.checked = 'yes'").versions
    assert found.tags["import.id"] == "churn/1"
    assert found.tags["import.created"] == to_text(T0_US)
    assert "imported from sqlite:///" in door.models.history(name="churn").aliases[0].reason


def test_a_second_import_makes_no_second_version_and_moves_nothing(door: Door, path: Path) -> None:
    taken(door, path)
    before = door.models.history(name="churn"), door.models.find(name="churn")
    n_events = door.jobs.status().events
    report = taken(door, path)
    assert (report.kept.models, report.kept.versions, report.kept.aliases) == (1, 1, 1)
    assert (door.models.history(name="churn"), door.models.find(name="churn")) == before
    assert door.jobs.status().events == n_events


def test_a_governed_alias_is_not_moved_past_its_gate_but_named(door: Door, path: Path) -> None:
    door.models.create(name="churn")
    report = taken(door, path)
    said = problems(report)
    assert set(said) == {
        "alias 'champion' of model 'churn'",
        "stage Production of model 'churn' version 1",
    }
    assert all("the project's gate has not judged it" in why for why in said.values())
    model = door.models.find(name="churn").model
    assert (model.aliases, model.description) == ({}, "leaves?")
    assert (report.kept.versions, report.kept.aliases) == (1, 0)


def test_numbers_are_kept_though_versions_were_deleted_between(door: Door, path: Path) -> None:
    change(
        path,
        "INSERT INTO model_versions SELECT name, 2, creation_time, '', 'Deleted_Internal', '', "
        "NULL, NULL FROM model_versions",
        "INSERT INTO model_versions SELECT name, 5, creation_time, 'fifth', 'None', source, "
        "run_id, storage_location FROM model_versions WHERE version = 1",
        "UPDATE registered_model_aliases SET version = 5",
    )
    report = taken(door, path)
    assert problems(report) == {}
    history = door.models.history(name="churn")
    assert [one.version for one in history.versions] == [1, 5]
    assert door.models.show(ref="churn@champion").description == "fifth"
    taken(door, path)
    assert door.models.history(name="churn") == history


def test_numbers_are_kept_wherever_the_import_is_stopped(door: Door, path: Path) -> None:
    change(
        path,
        "INSERT INTO model_versions SELECT name, 6, creation_time, 'sixth', 'None', source, "
        "run_id, storage_location FROM model_versions WHERE version = 1",
        "UPDATE model_versions SET version = 3 WHERE version = 1",
        "UPDATE registered_model_aliases SET version = 3",
    )
    report = None
    for calls in range(1, 200):
        try:
            with closing(MlflowDatabase(path)) as source:
                report = import_all(failing(door, calls), source)
            break
        except Unreachable:
            continue
    assert report is not None
    assert problems(report) == {}
    history = door.models.history(name="churn")
    assert [one.version for one in history.versions] == [3, 6]
    assert history.model.aliases == {"champion": 3}


def test_another_number_is_said_where_the_models_name_was_taken(door: Door, path: Path) -> None:
    door.models.create(name="churn", governed=False)
    door.models.register_source(name="churn", address="elsewhere")
    report = taken(door, path)
    assert problems(report) == {"model 'churn' version 1": "here it is version 2"}
    assert door.models.find(name="churn").model.aliases == {"champion": 2}


def test_an_alias_follows_the_store_until_somebody_here_moves_it(door: Door, path: Path) -> None:
    change(
        path,
        "INSERT INTO model_versions SELECT name, 2, creation_time, '', 'None', source, run_id, "
        "storage_location FROM model_versions",
    )
    taken(door, path)
    change(path, "UPDATE registered_model_aliases SET version = 2")
    assert problems(taken(door, path)) == {}
    assert door.models.find(name="churn").model.aliases == {"champion": 2}
    door.models.promote(ref="churn@v1", reason="v2 is slow")
    report = taken(door, path)
    assert problems(report) == {
        "alias 'champion' of model 'churn'": (
            "here it points at v1, and stays there: it was moved here since: v2 is slow"
        )
    }
    assert report.kept.aliases == 0
    assert door.models.find(name="churn").model.aliases == {"champion": 1}


def test_what_was_said_here_is_not_said_otherwise_by_the_store(door: Door, path: Path) -> None:
    taken(door, path)
    door.models.set_tags(name="churn", tags={"owner": "grace"})
    door.models.describe(name="churn", description="ours")
    door.experiments.set_tags(ref="churn", tags={"team": "ours"})
    change(path, "INSERT INTO registered_model_tags VALUES ('more', 'yes', 'churn')")
    taken(door, path)
    model = door.models.find(name="churn").model
    assert (model.description, model.tags) == ("ours", {"owner": "grace", "more": "yes"})
    assert door.experiments.show(ref="churn").tags == {"team": "ours"}


def test_a_prompt_is_kept_by_what_is_said_about_it(door: Door, path: Path) -> None:
    change(
        path,
        "INSERT INTO registered_models VALUES ('greet', 1, '')",
        "INSERT INTO registered_model_tags VALUES ('mlflow.prompt.is_prompt', 'true', 'greet')",
        "INSERT INTO model_versions VALUES ('greet', 1, 1, '', 'None', 'dummy-source', NULL, NULL)",
        "INSERT INTO model_version_tags VALUES ('mlflow.prompt.text', 'Hi {{n}}', 'greet', 1)",
    )
    report = taken(door, path)
    assert (report.found.models, report.kept.versions) == (2, 2)
    (version,) = (
        door.models.search_versions(
            filter="name = 'greet' AND tags.`mlflow.prompt.is_prompt` = 'true'"
        ).versions
        or door.models.history(name="greet").versions
    )
    assert (version.name, version.source) == ("greet", "dummy-source")


def test_a_model_from_a_place_of_its_own_gets_one_here(
    door: Door, path: Path, tmp_path: Path
) -> None:
    folder = path.parent / "elsewhere"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights.bin").write_bytes(b"weights")
    change(path, f"UPDATE model_versions SET storage_location = '{folder}', run_id = NULL")
    assert problems(taken(door, path)) == {}
    version = door.models.show(ref="churn@v1")
    assert version.source.startswith("mlflow-artifacts:/imported/")
    place = version.source.removeprefix("mlflow-artifacts:/") + "/deep/weights.bin"
    door.artifacts.fetch(door.files.show(path=place).digest, tmp_path / "weights")
    assert (tmp_path / "weights").read_bytes() == b"weights"


def test_a_name_that_cannot_be_ours_is_made_one_and_said(door: Door, path: Path) -> None:
    names = ("registered_models", "registered_model_aliases", "model_versions")
    change(path, *[f"UPDATE {table} SET name = '.churn@EU'" for table in names])
    report = taken(door, path)
    (model,) = [one.model for one in door.models.search().models]
    assert (model.name, model.tags["import.name"]) == ("churn-EU-0d55cafc", ".churn@EU")
    assert problems(report)["model '.churn@EU'"] == (
        "a model cannot have that name; here it is called 'churn-EU-0d55cafc'"
    )
    assert report.kept.versions == 1


def test_two_names_that_read_alike_stay_two_models(door: Door, path: Path) -> None:
    for alike in ("ch-rn", "ch@rn", "ch:rn"):
        change(
            path,
            f"INSERT INTO registered_models SELECT '{alike}', creation_time, '' "
            "FROM registered_models WHERE name = 'churn'",
            f"INSERT INTO registered_model_aliases SELECT alias, version, '{alike}' "
            "FROM registered_model_aliases WHERE name = 'churn'",
            f"INSERT INTO model_versions SELECT '{alike}', version, creation_time, '{alike}', "
            "current_stage, source, run_id, storage_location FROM model_versions "
            "WHERE name = 'churn'",
        )
    for _ in range(2):
        report = taken(door, path)
        assert (report.kept.models, report.kept.versions, report.kept.aliases) == (4, 4, 4)
        there = [one.model for one in door.models.search().models]
        models = {one.tags.get("import.name", one.name): one for one in there}
        assert sorted(models) == ["ch-rn", "ch:rn", "ch@rn", "churn"]
        for alike in ("ch-rn", "ch@rn", "ch:rn"):
            assert models[alike].aliases == {"champion": 1}
            assert door.models.show(ref=f"{models[alike].name}@champion").description == alike


@given(st.text(max_size=300))
def test_any_text_becomes_the_name_of_a_model(text: str) -> None:
    check_model_name(model_name(text))


def test_a_version_that_cannot_be_is_named_with_its_alias(door: Door, path: Path) -> None:
    change(path, "UPDATE model_versions SET storage_location = '/gone/model'")
    report = taken(door, path)
    assert problems(report) == {
        "model 'churn' version 1, /gone/model": "there is no such folder of artifacts",
        "alias 'champion' of model 'churn'": "version 1 could not be taken",
    }
    assert (report.kept.models, report.kept.versions, report.kept.aliases) == (1, 0, 0)
