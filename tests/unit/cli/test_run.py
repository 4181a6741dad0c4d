from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.doors.runs import RunPage
from millwright.records.pipelines import PipelineRun, PlannedStep
from millwright.records.runs import Experiment, Run

PIPELINES = """
from pathlib import Path

from millwright.pipelines.context import StepContext
from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step


@step
def count(data: Path, ctx: StepContext) -> int:
    print("counting")
    found = len(data.read_text().splitlines())
    ctx.log_metric("lines", found)
    return found


@step
def check(n: int, most: int) -> int:
    if n > most:
        raise ValueError(f"{n} lines")
    return n


@step
def double(n: int) -> int:
    return 2 * n


@pipeline
def lines(data: Path, most: int = 100):
    double(check(count(data), most))


@pipeline
def other():
    double(1)
"""


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with two pipelines and a dataset of three lines."""
    mill.write("pipes.py", PIPELINES)
    mill.write("loans.csv", "a\n1\n2\n")
    mill.ok("data", "add", "loans.csv")
    return mill


def test_a_pipeline_runs_once_is_cached_then_and_shown(project: Mill) -> None:
    planned = project.ok("run", "pipes.py:lines", "-p", "data=loans", "--dry-run")
    assert planned.plain == (
        "step  action  why\n"
        "count  run  first time\n"
        "check  unknown  depends on count\n"
        "double  unknown  depends on check\n"
        "1 of 3 steps must run, 2 may have to\n"
    )
    ended = project.ok("run", "pipes.py:lines", "-p", "data=loans", "--workers", "1")
    assert ended.plain == (
        "step  outcome  took  why  run\n"
        "count  ran  TOOK  first time  run_ID\n"
        "check  ran  TOOK  first time  run_ID\n"
        "double  ran  TOOK  first time  run_ID\n"
        "lines finished: 3 ran\n"
    )
    said = ended.err.splitlines()
    assert said[0].startswith("lines: run run_")
    assert "|        count  counting" in said
    assert "…        count  lines 3" in said
    assert said[-1].startswith("More on it: mill runs show run_")

    again = project.ok("run", "pipes.py:lines", "-p", "data=loans", "--json").record(PipelineRun)
    assert [one.outcome for one in again.steps] == ["cached"] * 3
    planned = project.ok("run", "pipes.py:lines", "-p", "data=loans", "--dry-run", "--json")
    assert {one.action for one in planned.record(list[PlannedStep])} == {"reuse"}

    listed = project.ok("runs", "list", "--json").record(RunPage)
    assert [(one.kind, one.name) for one in listed.runs] == [("pipeline", "lines")] * 2
    shown = project.ok("runs", "show", "latest", "--json").record(Run)
    assert (shown.id, shown.status) == (again.run, "finished")
    assert f"run          {again.run}\n" in project.ok("runs", "show", again.run[:20]).out
    steps = project.ok("runs", "steps", "latest")
    assert steps.out.endswith("lines finished: 3 cached\n")
    first = listed.runs[1].id
    assert project.ok("runs", "logs", first).out == "counting\n"
    assert project.ok("runs", "logs", first, "--json").record(dict[str, str]) == {
        "count": "counting\n"
    }
    assert project("runs", "logs", again.run).code == 3
    counted = project.ok("runs", "list", "--kind", "step", "--json").record(RunPage).runs[-1]
    assert counted.metrics == {"lines": 3.0}
    assert (
        counted.links[0].digest
        == project.ok("data", "show", "loans", "--json").record(dict[str, object])["digest"]
    )
    page = project.ok("runs", "list", "--limit", "1")
    assert page.err == f"There are more; add: --before {again.run}\n"
    older = project.ok("runs", "list", "--before", again.run, "--json").record(RunPage)
    assert [one.id for one in older.runs] == [first]
    names = [
        one.name for one in project.ok("experiment", "list", "--json").record(list[Experiment])
    ]
    assert names == ["Default"]


def test_a_failed_step_exits_1_says_why_and_skips_what_needs_it(project: Mill) -> None:
    ended = project("run", "pipes.py:lines", "-p", "data=loans", "-p", "most=1")
    assert ended.code == 1
    assert ended.plain.splitlines()[-1] == "lines failed: 1 ran, 1 failed, 1 skipped"
    assert "FAILED   check  " in ended.err
    assert "  ValueError: 3 lines" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.py"], 3, "there is no file"),
        (["pipes.py"], 2, "has 2 pipelines"),
        (["pipes.py:lnes"], 3, "has no pipeline called 'lnes'"),
        (["pipes.py:lines"], 2, "needs the parameter 'data'"),
        (["pipes.py:lines", "-p", "data=nothing"], 3, "no dataset nothing"),
        (["pipes.py:lines", "-p", "data=loans", "-p", "mst=1"], 2, "has no parameter 'mst'"),
        (["pipes.py:lines", "-p", "data"], 2, "'data' is not a parameter"),
        (["pipes.py:other", "--executor", "nope"], 3, "nothing called 'nope'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_recorded(
    project: Mill, words: list[str], code: int, said: str
) -> None:
    ended = project("run", *words)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert said in ended.err.splitlines()[0]
    assert project.ok("runs", "list").err == "There are no runs yet. Make one: mill run FILE.py\n"


def test_a_kind_of_run_that_there_is_not_is_refused(project: Mill) -> None:
    ended = project("runs", "list", "--kind", "stp")
    assert (ended.code, ended.out) == (2, "")
    assert "'stp' is none of script, pipeline, step" in ended.err
