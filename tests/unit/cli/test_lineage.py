from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from fixtures.command_line import Mill, plain
from fixtures.homes import SOURCE, Place, table
from millwright.cli.lineage import lineage_lines, lineage_of_run, lineage_of_version
from millwright.core.errors import NotFound
from millwright.core.ids import LoggedModelId, RunId, new_id
from millwright.doors.door import Door
from millwright.records.data import DatasetVersion
from millwright.records.runs import LoggedDataset, ModelUse


@pytest.fixture
def place(sqlite_place: Place) -> Place:
    return sqlite_place


@pytest.fixture
def data(place: Place, tmp_path: Path) -> DatasetVersion:
    table().write_csv(tmp_path / "rows.csv")
    digest = place.me.artifacts.put_file(tmp_path / "rows.csv")
    return place.me.data.add(name="rows", digest=digest, format="csv", source="rows.csv")


def door_of(place: Place) -> Door:
    return cast("Door", place.me)


def seen(lines: list[str]) -> str:
    return plain("\n".join(line.strip() for line in lines))


def test_a_version_is_followed_to_its_data_and_to_where_it_answers(
    place: Place, data: DatasetVersion
) -> None:
    ref = place.trained(0, data=data)
    place.judged(ref)
    place.me.models.promote(ref=ref)
    place.me.deployments.create(name="web", model=ref)
    place.me.models.deprecate(ref=ref, reason="old")
    lines = lineage_lines(lineage_of_version(door_of(place), ref))
    assert seen(lines) == (
        "model version churn@v1 (deprecated)  mov_ID\n"
        "< run fit (script, finished, experiment Default)  run_ID\n"
        "< dataset version rows@v1 (569 rows)  dsv_ID\n"
        "> alias champion\n"
        "> deployment web (champion, 100 % of the keys)  dep_ID"
    )
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 2, 2]


def test_a_run_is_followed_to_what_it_made(place: Place, data: DatasetVersion) -> None:
    ref = place.trained(0, data=data)
    run = str(place.me.models.show(ref=ref).run)
    assert seen(lineage_lines(lineage_of_run(door_of(place), run))) == (
        "run fit (script, finished, experiment Default)  run_ID\n"
        "< dataset version rows@v1 (569 rows)  dsv_ID\n"
        "> model version churn@v1  mov_ID\n"
        "> artifact training_rows  DIGEST"
    )


def test_children_logged_models_and_described_data_are_shown(place: Place) -> None:
    me = place.me
    parent = me.runs.start(name="tune", source=SOURCE).id
    child = me.runs.start(name="trial", source=SOURCE, parent=parent).id
    model = me.logged_models.create(experiment="Default", name="net", run=child).id
    me.logged_models.log_uses(run=child, uses=[ModelUse(way="output", model=model)])
    me.logged_models.log_uses(run=parent, uses=[ModelUse(way="input", model=model)])
    datasets = [
        LoggedDataset(name="iris", digest="77", context="training"),
        LoggedDataset(name="more", digest="78"),
    ]
    me.runs.log_datasets(run=child, datasets=datasets)
    assert seen(lineage_lines(lineage_of_run(door_of(place), parent))) == (
        "run tune (script, running, experiment Default)  run_ID\n"
        "< logged model net (pending)  lgm_ID\n"
        "> run trial (script, running, experiment Default)  run_ID\n"
        "< dataset iris (training, 77)\n"
        "< dataset more (78)\n"
        "> logged model net (pending)  lgm_ID"
    )
    me.logged_models.delete(id=LoggedModelId(model))
    above = lineage_lines(lineage_of_run(door_of(place), child))
    assert "< run tune (script" in above[1]
    assert "> logged model deleted" in above[-1]


def test_a_version_outlives_the_run_that_made_it(place: Place) -> None:
    ref = place.trained(0)
    version = place.me.models.show(ref=ref)
    with place.home.database.write() as tx:
        tx.run(
            "UPDATE model_version SET run_id = :run, source = 'runs:/x/model' WHERE id = :id",
            run=RunId(new_id("run")),
            id=version.id,
        )
    assert seen(lineage_lines(lineage_of_version(door_of(place), ref))) == (
        "model version churn@v1  mov_ID\n< run purged  run_ID\n< source runs:/x/model"
    )
    with pytest.raises(NotFound):
        lineage_of_version(door_of(place), "churn@v9")


PIPELINE = """
from pathlib import Path

from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step


@step
def count(data: Path) -> int:
    return len(data.read_text().splitlines())


@pipeline
def lines(data: Path):
    count(data)
"""


def test_the_command_line_shows_both(mill: Mill) -> None:
    mill.write("pipes.py", PIPELINE)
    mill.write("loans.csv", "a\n1\n2\n")
    mill.ok("data", "add", "loans.csv")
    mill.ok("run", "pipes.py:lines", "-p", "data=loans", "--workers", "1")
    ended = mill.ok("runs", "lineage", "latest")
    assert ended.plain == (
        "run lines (pipeline, finished, experiment Default)  run_ID\n"
        "  < dataset version loans@v1 (2 rows)  dsv_ID\n"
        "  > run count (step, finished, experiment Default)  run_ID\n"
        "  < dataset version loans@v1 (2 rows)  dsv_ID\n"
    )
    assert mill("model", "lineage", "churn").code == 3
