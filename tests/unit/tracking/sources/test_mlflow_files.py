from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.foreign import CHILD, PARENT, T0_US, contents, mlflow_folder, unread_of
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
)
from millwright.tracking.sources.mlflow_files import MlflowFiles

MODEL = "e" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return mlflow_folder(tmp_path / "mlruns")


def heads(source: MlflowFiles) -> dict[str, FoundRun]:
    return {one.id: one for one in source.runs() if isinstance(one, FoundRun)}


def test_what_was_not_deleted_is_found(folder: Path) -> None:
    source = MlflowFiles(folder)
    assert list(source.experiments()) == [
        FoundExperiment(name="Default"),
        FoundExperiment(name="churn", tags={"team": "risk"}),
    ]
    found = list(source.runs())
    runs = [one for one in found if isinstance(one, FoundRun)]
    assert [(run.id, run.name, run.parent, run.user) for run in runs] == [
        (PARENT, "parent", None, "ada"),
        (CHILD, "child", PARENT, "ada"),
    ]
    assert unread_of(found) == [f"file://{folder}: deleted runs were left out: 1"]


def test_everything_of_a_run_is_found(folder: Path, tmp_path: Path) -> None:
    source = MlflowFiles(folder)
    found = list(source.items(heads(source)[PARENT]))
    points = [one for one in found if isinstance(one, MetricPoint)]
    assert points[:5] == [
        MetricPoint(key="loss/total", value=1 / (step + 1), step=step, time_us=T0_US + 1000 * step)
        for step in range(5)
    ]
    assert [point.value for point in points[5:]] == [None, -math.inf]
    assert FoundParams(params={"depth": "3", "deep/er": "two\nlines"}) in found
    assert FoundTags(tags={"who": "ada"}) in found
    loans = FoundDataset(name="loans", digest="abc", source_type="local", context="training")
    assert loans in found
    assert contents(found, tmp_path) == {"notes.txt": b"hello", "model/MLmodel": b"flavors: {}\n"}
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 1_000_000)
    assert unread_of(found) == []


def test_the_registry_is_found_though_the_store_was_moved(folder: Path, tmp_path: Path) -> None:
    (model,) = MlflowFiles(folder).models()
    assert isinstance(model, FoundModel)
    assert (model.name, model.description, model.tags, model.aliases) == (
        "churn",
        "leaves?",
        {"owner": "ada"},
        {"champion": 1},
    )
    (version,) = model.versions
    assert (version.version, version.run, version.stage, version.tags) == (
        1,
        PARENT,
        "",
        {"checked": "yes"},
    )
    assert contents(version.files(), tmp_path) == {"MLmodel": b"flavors: {}\n"}


def test_logged_models_are_found_with_the_run_that_made_them(folder: Path, tmp_path: Path) -> None:
    place = folder / "7" / "models" / f"m-{MODEL}"
    for name, text in {
        "meta.yaml": f"model_id: m-{MODEL}\nname: net\nstatus: 2\nsource_run_id: {PARENT}\n"
        "creation_timestamp: 7\n",
        "params/depth": "3",
        "metrics/auc": f"9 0.5 1 {CHILD} loans abc\nnot a line\n9 x 1 {CHILD}\n9 1 y {CHILD}\n",
        "artifacts/MLmodel": "net",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    source = MlflowFiles(folder)
    runs = heads(source)
    items = list(source.items(runs[PARENT]))
    (logged,) = [one for one in items if isinstance(one, FoundLoggedModel)]
    lines = [f"{place / 'metrics' / 'auc'} line {number}" for number in (2, 3, 4)]
    assert unread_of(items) == [f"{line}: the line is no point of a metric" for line in lines]
    assert (logged.uuid, logged.name, logged.status, logged.params) == (
        MODEL,
        "net",
        "ready",
        {"depth": "3"},
    )
    (measure,) = logged.measures
    assert (measure.key, measure.value, measure.run, measure.dataset_name) == (
        "auc",
        0.5,
        CHILD,
        "loans",
    )
    assert contents(logged.files(), tmp_path) == {"MLmodel": b"net"}
    assert not any(isinstance(one, FoundLoggedModel) for one in source.items(runs[CHILD]))


def test_a_damaged_file_is_named_by_its_place(folder: Path) -> None:
    (folder / "7" / PARENT / "metrics" / "odd").write_text("1 0.5 0\nnonsense\n1 abc 0\n")
    (folder / "7" / CHILD / "meta.yaml").write_text("run_name: [")
    (folder / "7" / PARENT / "inputs" / "x" / "meta.yaml").write_text("{}")
    source = MlflowFiles(folder)
    found = list(source.runs())
    (child, _) = unread_of(found)
    assert child.startswith(f"{folder}/7/{CHILD}/meta.yaml: it is no YAML")
    parent = next(one for one in found if isinstance(one, FoundRun))
    odd = f"{folder}/7/{PARENT}/metrics/odd"
    inputs = f"{folder}/7/{PARENT}/inputs/x/meta.yaml"
    assert unread_of(source.items(parent)) == [
        f"{odd} line 2: the line is no point of a metric",
        f"{odd} line 3: the line is no point of a metric",
        f"{inputs}: Object missing required field `source_id`",
    ]


def test_links_that_lead_outside_are_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    link = folder / "7" / PARENT / "params" / "link"
    link.symlink_to(tmp_path / "secret")
    meta = folder / "7" / CHILD / "meta.yaml"
    meta.unlink()
    meta.symlink_to(tmp_path / "secret")
    source = MlflowFiles(folder)
    assert f"{meta}: it is a link that leads outside" in unread_of(source.runs())
    found = list(source.items(heads(source)[PARENT]))
    assert unread_of(found) == [f"{link}: it is a link that leads outside, to {tmp_path}/secret"]


def test_a_run_that_changed_has_another_mark(folder: Path) -> None:
    source = MlflowFiles(folder)
    before = heads(source)
    with (folder / "7" / PARENT / "metrics" / "odd").open("a") as stream:
        stream.write("2 1.0 2\n")
    after = heads(source)
    assert after[PARENT].mark != before[PARENT].mark
    assert after[CHILD] == before[CHILD]


def test_what_comes_to_a_run_that_has_ended_changes_its_mark(folder: Path) -> None:
    source = MlflowFiles(folder)
    marks = [heads(source)[PARENT].mark]
    child = heads(source)[CHILD]
    run, model = folder / "7" / PARENT, folder / "7" / "models" / f"m-{MODEL}"
    meta = f"model_id: m-{MODEL}\nname: net\nstatus: 2\nsource_run_id: {PARENT}\n"
    for path, text in (
        (run / "artifacts" / "late.txt", "late"),
        (run / "inputs" / "late" / "meta.yaml", "source_id: x\n"),
        (model / "meta.yaml", meta),
        (model / "tags" / "approved", "no"),
        (model / "artifacts" / "MLmodel", "net"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        marks.append(heads(source)[PARENT].mark)
    assert len(set(marks)) == len(marks) == 6
    assert heads(source)[PARENT].mark == marks[-1]
    assert heads(source)[CHILD] == child


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_a_file_are_read_or_named(folder: Path, data: bytes) -> None:
    (folder / "7" / PARENT / "meta.yaml").write_bytes(data)
    (folder / "7" / PARENT / "metrics" / "odd").write_bytes(data)
    source = MlflowFiles(folder)
    for run in heads(source).values():
        list(source.items(run))


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no MLflow store"):
        MlflowFiles(tmp_path / "missing")
    with pytest.raises(Invalid, match="is no store of MLflow's"):
        MlflowFiles(tmp_path)
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(Invalid, match="is a file, and a store in files is a folder") as refused:
        MlflowFiles(tmp_path / "mlflow.db")
    assert refused.value.fix.endswith("mlflow.db")
