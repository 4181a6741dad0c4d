from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from fixtures.journals import ORIGIN
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import ActorId, ProjectId, RunId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.tables.access import insert_project
from millwright.metadata.tables.telemetry import Keys
from millwright.records.events import Act
from millwright.records.runs import MetricPoint, RunSource, RunStatus
from millwright.records.studies import Choice, FloatRange, IntRange, Study, TrialCounts
from millwright.testing.clock import FakeClock
from millwright.tracking.runs import Runs
from millwright.tracking.studies import Studies

SOURCE = RunSource(command=["tune.py"], python="3.11", platform="test")
SPACE = {
    "rate": FloatRange(low=1e-4, high=0.1, log=True),
    "depth": IntRange(low=1, high=9),
    "kind": Choice(values=["gini", "entropy"]),
}


@dataclass(frozen=True)
class Tuned:
    """The studies of one project."""

    studies: Studies
    runs: Runs
    journal: Journal
    act: Act

    @property
    def key(self) -> int:
        return self.act.project_key

    def create(self, name: str = "depths") -> Study:
        return self.studies.create(
            self.act,
            name=name,
            source=SOURCE,
            metric="auc",
            direction="maximize",
            space=dict(SPACE),
            experiment="churn",
        )

    def child(self, study: Study) -> RunId:
        return self.runs.start(
            self.act, name="mine", source=SOURCE, parent=study.run, experiment="churn"
        )


@pytest.fixture
def tuned(database: Database) -> Tuned:
    clock, project, keys = FakeClock(), ProjectId(new_id("prj")), Keys()
    with database.write() as tx:
        key = insert_project(tx, project_id=project, name="default", now_us=0)
    assert key is not None
    journal = Journal(database, None, clock, origin=ORIGIN)
    runs = Runs(database, journal, clock, keys=keys)
    act = Act(actor=ActorId(new_id("act")), project=project, project_key=key)
    return Tuned(Studies(database, journal, clock, runs=runs, keys=keys), runs, journal, act)


def test_a_study_from_its_space_to_its_best_trial(tuned: Tuned) -> None:
    made = tuned.create()
    assert (made.name, made.space, made.trials, made.best) == ("depths", SPACE, TrialCounts(), None)
    assert tuned.runs.get(tuned.key, made.run).experiment == "churn"
    for number, (depth, auc) in enumerate([(3, 0.8), (5, 0.9), (7, 0.9)]):
        trial = tuned.studies.add_trial(
            tuned.act, "depths", params={"depth": str(depth), "seed": "1"}
        )
        assert (trial.number, trial.state, trial.params["depth"]) == (
            number,
            "running",
            str(depth),
        )
        ended = tuned.studies.end_trial(tuned.act, "depths", number, state="complete", value=auc)
        assert (ended.state, ended.value) == ("complete", auc)
    pruned = tuned.studies.add_trial(tuned.act, made.run, params={"kind": "gini"})
    tuned.runs.log_metrics(tuned.act, pruned.run, [MetricPoint(key="auc", value=0.99, step=1)])
    tuned.studies.end_trial(tuned.act, "depths", 3, state="pruned")
    tuned.studies.add_trial(tuned.act, "depths", params={})

    study, trials = tuned.studies.get(tuned.key, "depths")
    assert study.trials == TrialCounts(complete=3, pruned=1, running=1)
    # What was pruned is not the best, however good it looked; of equals the first is.
    assert study.best == trials[1]
    assert [one.best_so_far for one in trials] == [0.8, 0.9, 0.9, 0.9, 0.9]
    assert [one.number for one in trials] == [0, 1, 2, 3, 4]
    runs = [tuned.runs.get(tuned.key, one.run) for one in trials]
    assert {run.parent for run in runs} == {made.run}
    assert [run.status for run in runs] == ["finished"] * 4 + ["running"]
    assert [one.name for one in tuned.studies.list_all(tuned.key)] == ["depths"]
    kinds = [event.kind for event in tuned.journal.events()]
    assert kinds.count("TrialEnded") == 4
    assert "StudyCreated" in kinds


def test_a_child_that_runs_becomes_a_trial(tuned: Tuned) -> None:
    study = tuned.create()
    run = tuned.child(study)
    trial = tuned.studies.add_trial(tuned.act, "depths", params={"depth": "2"}, run=run)
    assert trial.run == run
    with pytest.raises(Conflict, match="is a trial already"):
        tuned.studies.add_trial(tuned.act, "depths", params={}, run=run)
    stranger = tuned.runs.start(tuned.act, name="other", source=SOURCE)
    with pytest.raises(Conflict, match="is no child of the study's run"):
        tuned.studies.add_trial(tuned.act, "depths", params={}, run=stranger)


def test_a_trial_whose_run_ended_by_itself_is_read_as_it_ended(tuned: Tuned) -> None:
    study = tuned.create()
    outcomes: list[tuple[RunStatus, float | None]] = [
        ("finished", 0.7),
        ("finished", None),
        ("failed", 0.9),
    ]
    for status, auc in outcomes:
        run = tuned.child(study)
        tuned.studies.add_trial(tuned.act, "depths", params={}, run=run)
        if auc is not None:
            tuned.runs.log_metrics(tuned.act, run, [MetricPoint(key="auc", value=auc)])
        tuned.runs.finish(tuned.act, run, status=status)
    found, trials = tuned.studies.get(tuned.key, "depths")
    assert [one.state for one in trials] == ["complete", "failed", "failed"]
    assert found.best == trials[0]
    # It may still be said how it ended: the run was closed before, and stays so.
    ended = tuned.studies.end_trial(tuned.act, "depths", 0, state="pruned")
    assert ended.state == "pruned"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_complete_trial_has_a_finite_value(tuned: Tuned, value: float | None) -> None:
    tuned.create()
    tuned.studies.add_trial(tuned.act, "depths", params={})
    with pytest.raises(Invalid, match="has no finite value of 'auc'"):
        tuned.studies.end_trial(tuned.act, "depths", 0, state="complete", value=value)
    assert tuned.studies.trial(tuned.key, "depths", 0).value is None
    ended = tuned.studies.end_trial(tuned.act, "depths", 0, state="failed", value=value)
    assert ended.state == "failed"
    assert tuned.runs.get(tuned.key, ended.run).status == "failed"


def test_what_cannot_be_is_refused(tuned: Tuned) -> None:
    study = tuned.create()
    with pytest.raises(Conflict, match="there is a study 'depths' already"):
        tuned.create()
    assert len(tuned.runs.list_page(tuned.key).runs) == 1
    with pytest.raises(Invalid, match="outside of the study's space"):
        tuned.studies.add_trial(tuned.act, "depths", params={"depth": "10"})
    with pytest.raises(NotFound, match="no study called 'depth'") as raised:
        tuned.studies.get(tuned.key, "depth")
    assert raised.value.fix == "did you mean 'depths'?"
    with pytest.raises(NotFound, match="has no trial 7"):
        tuned.studies.end_trial(tuned.act, "depths", 7, state="failed")
    tuned.studies.add_trial(tuned.act, "depths", params={})
    tuned.studies.end_trial(tuned.act, "depths", 0, state="failed")
    with pytest.raises(Conflict, match="trial 0 of 'depths' has ended"):
        tuned.studies.end_trial(tuned.act, "depths", 0, state="pruned")
    tuned.runs.finish(tuned.act, study.run)
    with pytest.raises(Conflict, match="nothing can be logged to it any more"):
        tuned.studies.add_trial(tuned.act, "depths", params={})


def test_a_deleted_study_is_not_seen_and_a_deleted_trial_not_counted(tuned: Tuned) -> None:
    study = tuned.create()
    trials = [tuned.studies.add_trial(tuned.act, "depths", params={}) for _ in range(2)]
    tuned.runs.delete(tuned.act, trials[1].run)
    found, left = tuned.studies.get(tuned.key, "depths")
    assert found.trials == TrialCounts(running=1)
    assert [one.number for one in left] == [0]
    # A number is not given twice.
    assert tuned.studies.add_trial(tuned.act, "depths", params={}).number == 2
    tuned.runs.delete(tuned.act, study.run)
    assert tuned.studies.list_all(tuned.key) == []
    with pytest.raises(NotFound):
        tuned.studies.get(tuned.key, "depths")


def test_trials_begun_at_once_have_numbers_of_their_own(tuned: Tuned) -> None:
    tuned.create()
    numbers: list[int] = []

    def begin() -> None:
        numbers.extend(
            tuned.studies.add_trial(tuned.act, "depths", params={}).number for _ in range(4)
        )

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(12))
