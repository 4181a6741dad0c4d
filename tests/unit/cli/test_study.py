from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.cli.study import tried_words
from millwright.doors.studies import StudyReport
from millwright.records.runs import RunSource
from millwright.records.studies import Choice, FloatRange, IntRange, Study
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

SOURCE = RunSource(command=["tune.py"], python="3.11", platform="test")


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with a study of three trials."""
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        door.studies.create(
            name="depths",
            source=SOURCE,
            metric="auc",
            direction="maximize",
            space={"depth": IntRange(low=1, high=9), "kind": Choice(values=["gini", "entropy"])},
            experiment="churn",
        )
        for number, (depth, auc) in enumerate([(3, 0.8), (5, 0.9)]):
            params = {"depth": str(depth), "kind": "gini", "seed": "1"}
            door.studies.add_trial(ref="depths", params=params)
            door.studies.end_trial(ref="depths", number=number, state="complete", value=auc)
        door.studies.add_trial(ref="depths", params={"depth": "9"})
        door.studies.end_trial(ref="depths", number=2, state="pruned")
    return mill


def test_without_a_study_it_is_said_how_one_begins(mill: Mill) -> None:
    assert "mw.find_config()" in mill.ok("experiment", "study", "list").err


def test_a_study_is_listed_and_shown(project: Mill) -> None:
    listed = project.ok("experiment", "study", "list")
    assert listed.plain.splitlines()[1] == "depths  churn  running  3  maximize auc  0.9  run_ID"
    shown = project.ok("experiment", "study", "show", "depths")
    assert shown.plain == (
        "study  depths\n"
        "run  run_ID\n"
        "experiment  churn\n"
        "status  running\n"
        "goal  maximize auc\n"
        "trials  2 complete, 1 pruned\n"
        "best  trial 1: 0.9 with depth 5, kind gini, seed 1\n"
        "\n"
        "parameter  tried\n"
        "depth  whole numbers, 1 to 9\n"
        "kind  gini | entropy\n"
        "\n"
        "trial  state  auc  best so far  depth  kind  seed  took  run\n"
        "  0  complete  0.8  0.8  3  gini  1  TOOK  run_ID\n"
        "  1  complete  0.9  0.9  5  gini  1  TOOK  run_ID\n"
        "  2  pruned  -  0.9  9  -  -  TOOK  run_ID\n"
    )
    report = project.ok("experiment", "study", "show", "depths", "--json").record(StudyReport)
    best = report.study.best
    assert best is not None
    assert shown.err == f"The best trial's run: mill runs show {best.run}\n"
    (study,) = project.ok("experiment", "study", "list", "--json").record(list[Study])
    assert study == report.study


def test_what_is_not_there_is_said(mill: Mill) -> None:
    assert mill.ok("experiment", "study", "list").err.startswith("There are no studies yet")
    assert mill("experiment", "study", "show", "depths").code == 3
    assert mill("experiment", "study").code == 2


def test_dimensions_in_words() -> None:
    assert tried_words(FloatRange(low=1e-4, high=0.1, log=True)) == (
        "0.0001 to 0.1, by its logarithm"
    )
    assert tried_words(FloatRange(low=0, high=1, step=0.25)) == "0 to 1, in steps of 0.25"
