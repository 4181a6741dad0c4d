from __future__ import annotations

import pytest

from fixtures.homes import SOURCE, Place
from millwright.core.errors import Denied, Invalid, NotFound
from millwright.core.ids import ExperimentId, RunId
from millwright.doors.logged_models import FoundModels
from millwright.metadata.tables.purging import DeletedExperiment
from millwright.records.runs import (
    ArtifactFile,
    LoggedDataset,
    LoggedModelMetric,
    MetricPoint,
    ModelUse,
    RunLink,
)
from millwright.records.studies import IntRange
from millwright.tracking import purge
from millwright.tracking.files import run_folder
from millwright.tracking.purge import reason_to_keep

DAY_S = 86_400.0
TABLES = (
    "run",
    "metric_point",
    "metric_latest",
    "run_param",
    "run_tag",
    "run_link",
    "run_dataset",
    "logged_dataset",
    "run_model",
    "logged_model",
    "logged_model_param",
    "logged_model_tag",
    "logged_model_metric",
    "step_run",
    "step_cache",
    "study",
    "study_trial",
    "artifact_file",
    "experiment_tag",
)


def rows(place: Place) -> dict[str, int]:
    """Return how many rows each table holds, those without any left out."""
    with place.home.database.read() as tx:
        counts = {table: tx.value(int, f"SELECT count(*) FROM {table}") or 0 for table in TABLES}
    return {table: count for table, count in counts.items() if count}


def full_run(place: Place, *, experiment: str = "churn", parent: RunId | None = None) -> RunId:
    """Make a run that has something of everything."""
    me = place.me
    run = me.runs.start(name="fit", source=SOURCE, experiment=experiment, parent=parent).id
    me.runs.log_batch(
        run=run,
        points=[MetricPoint(key="auc", value=0.5, step=at) for at in range(3)],
        params={"depth": "3"},
        tags={"who": "ada"},
    )
    digest = place.home.artifacts.put_bytes(f"bytes of {run}".encode())
    size_bytes = place.home.artifacts.size(digest)
    link = RunLink(way="output", name="plot", what="artifact", id=digest, digest=digest)
    me.runs.log_links(run=run, links=[link])
    me.runs.log_datasets(run=run, datasets=[LoggedDataset(name="iris", digest=run)])
    file = ArtifactFile(path="plots/roc.png", digest=digest, size_bytes=size_bytes)
    me.runs.log_artifacts(run=run, files=[file])
    model = me.logged_models.create(
        experiment=experiment, name="net", run=run, params={"a": "1"}, tags={"b": "2"}
    ).id
    measured = LoggedModelMetric(key="auc", value=0.5, step=0, time_us=1, run=run)
    me.logged_models.log_metrics(id=model, metrics=[measured])
    me.logged_models.log_uses(run=run, uses=[ModelUse(way="output", model=model)])
    return run


def models(place: Place) -> FoundModels:
    return place.me.logged_models.search(experiments=["churn"])


def test_a_run_goes_with_all_that_was_logged_to_it(place: Place) -> None:
    kept = full_run(place)
    before = rows(place)
    gone = full_run(place)
    folder = run_folder(place.me.runs.show(ref=gone))
    place.me.runs.delete(run=gone)
    place.clock.sleep(29 * DAY_S)
    assert place.me.runs.purge(dry_run=True).runs == 0
    place.clock.sleep(DAY_S)
    counted = place.me.runs.purge(dry_run=True)
    assert (counted.runs, counted.dry_run) == (1, True)
    assert place.me.runs.show(ref=gone).id == gone

    done = place.me.runs.purge(reason="the month is over")
    assert (done.runs, done.files, done.experiments, done.logged_models) == (1, 1, 0, 0)
    with pytest.raises(NotFound):
        place.me.runs.show(ref=gone)
    assert place.me.files.list_folder(folder=folder) == []
    assert place.me.runs.show(ref=kept).params == {"depth": "3"}
    # Its model outlives it, without what it measured; all else is as before it was made.
    after = rows(place)
    for table in ("logged_model", "logged_model_param", "logged_model_tag"):
        assert after[table] == 2
        after[table] = 1
    assert after == before
    assert {one.run for one in models(place).models} == {None, kept}
    (event,) = place.events("RunsPurged")
    assert [subject.id for subject in event.subjects] == [gone]
    assert event.detail is not None
    assert (event.detail["count"], event.detail["reason"]) == (1, "the month is over")
    assert place.me.audit.verify().ok
    assert place.me.runs.purge() == place.me.runs.purge()


def test_children_stay_when_their_parent_goes(place: Place) -> None:
    parent = full_run(place)
    child = full_run(place, parent=parent)
    place.me.runs.delete(run=parent)
    assert place.me.runs.purge(older_than_days=0).runs == 1
    assert place.me.runs.show(ref=child).parent is None


def test_a_study_goes_with_its_run_and_a_trial_alone(place: Place) -> None:
    me = place.me
    study = me.studies.create(
        name="depths", source=SOURCE, metric="auc", space={"depth": IntRange(low=1, high=9)}
    )
    trials = [me.studies.add_trial(ref="depths", params={}) for _ in range(2)]
    me.runs.delete(run=trials[0].run)
    me.runs.purge(older_than_days=0)
    assert [one.number for one in me.studies.show(ref="depths").trials] == [1]
    me.runs.delete(run=study.run)
    me.runs.purge(older_than_days=0)
    assert me.studies.list_all() == []
    assert me.runs.show(ref=trials[1].run).parent is None
    # The name is free again.
    me.studies.create(
        name="depths", source=SOURCE, metric="auc", space={"depth": IntRange(low=1, high=9)}
    )


def test_an_experiment_goes_when_its_runs_and_models_are_gone(place: Place) -> None:
    full_run(place)
    other = full_run(place, experiment="newer")
    before = place.me.experiments.show(ref="churn")
    place.me.experiments.set_tags(ref="churn", tags={"team": "risk"})
    place.me.experiments.delete(ref="churn")
    counted = place.me.runs.purge(older_than_days=0, dry_run=True)
    assert (counted.runs, counted.experiments, counted.logged_models) == (1, 1, 1)
    done = place.me.runs.purge(older_than_days=0)
    assert (done.runs, done.experiments, done.logged_models, done.kept) == (1, 1, 1, [])
    with pytest.raises(NotFound):
        place.me.experiments.show(ref=f"#{before.number}")
    place.me.runs.delete(run=other)
    place.me.experiments.delete(ref="newer")
    # A number that was given is not given again, so the newest waits for another.
    done = place.me.runs.purge(older_than_days=0)
    assert (done.runs, done.experiments) == (1, 0)
    assert [one.what for one in done.kept] == ["experiment newer"]
    place.me.experiments.create(name="newest")
    assert place.me.runs.purge(older_than_days=0).experiments == 1
    assert rows(place) == {}


def test_what_is_restored_in_time_is_whole(place: Place) -> None:
    run = full_run(place)
    before = rows(place)
    place.me.runs.delete(run=run)
    place.me.runs.restore(run=run)
    assert place.me.runs.purge(older_than_days=0).runs == 0
    assert rows(place) == before


def test_many_runs_go_in_several_transactions(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "RUNS_AT_ONCE", 3)
    monkeypatch.setattr(purge, "POINTS_AT_ONCE", 7)
    runs = [full_run(place) for _ in range(5)]
    for run in runs:
        place.me.runs.delete(run=run)
    assert place.me.runs.purge(older_than_days=0).runs == 5
    events = place.events("RunsPurged")
    # Three points each: two runs fit into a transaction of seven.
    assert [len(event.subjects) for event in events] == [2, 2, 1]
    monkeypatch.setattr(purge, "POINTS_AT_ONCE", 1)
    run = full_run(place)
    place.me.runs.delete(run=run)
    assert place.me.runs.purge(older_than_days=0).runs == 1


def test_a_pipelines_step_and_its_cached_result_go(place: Place) -> None:
    run = full_run(place)
    with place.home.database.write() as tx:
        pk = tx.value(int, "SELECT pk FROM run WHERE id = :id", id=run)
        tx.run(
            "INSERT INTO step_run VALUES (:pk, 's', 'f', '{}', 'ran', 'first time', '{}')", pk=pk
        )
        tx.run(
            "INSERT INTO step_cache VALUES (:project, 'f', :pk, '{}', 0)", pk=pk, project=place.key
        )
    place.me.runs.delete(run=run)
    assert place.me.runs.purge(older_than_days=0).runs == 1
    assert {"step_run", "step_cache"} & rows(place).keys() == set()


def test_another_project_is_left_alone(place: Place) -> None:
    place.me.access.create_project(name="other")
    other = place.home.door(place.home.principal(), "other")
    run = other.runs.start(name="fit", source=SOURCE).id
    other.runs.delete(run=run)
    assert place.me.runs.purge(older_than_days=0).runs == 0
    assert other.runs.purge(older_than_days=0).runs == 1


def test_only_an_admin_may_and_only_a_time_that_can_be(place: Place) -> None:
    with pytest.raises(Denied, match=r"may not do project\.write"):
        place.person("ada").runs.purge(older_than_days=0)
    for days in (-1.0, 1e9, float("nan")):
        with pytest.raises(Invalid, match="days old"):
            place.me.runs.purge(older_than_days=days)


def test_why_an_experiment_is_kept() -> None:
    def why(*, has_runs: bool, newest: bool) -> str:
        return reason_to_keep(
            DeletedExperiment(
                pk=1, id=ExperimentId("exp_1"), number=1, name="x", has_runs=has_runs, newest=newest
            )
        )

    assert why(has_runs=False, newest=False) == ""
    assert why(has_runs=True, newest=True).startswith("it has runs")
    assert why(has_runs=False, newest=True).startswith("it has the project's highest number")
