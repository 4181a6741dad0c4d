"""`mill runs list`: by filter and order, in columns, page by page, and where a filter errs."""

from __future__ import annotations

import math

import pytest

from fixtures.command_line import Mill
from millwright.cli import text
from millwright.cli.run_search import RunList
from millwright.core.ids import to_hex
from millwright.records.runs import MetricPoint, RunSource
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")
FITS = {"a": (0.95, "3"), "b": (0.92, "5"), "c": (0.97, "3"), "d": (0.5, "3")}


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with four fits, and one that is deleted."""
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        for name, (auc, depth) in FITS.items():
            run = door.runs.start(name=name, source=SOURCE, experiment="churn").id
            door.runs.log_batch(
                run=run,
                points=[MetricPoint(key="auc", value=auc, step=1)],
                params={"max_depth": depth},
                tags={"who": "ada"},
            )
            door.runs.finish(run=run)
        gone = door.runs.start(name="gone", source=SOURCE, experiment="other").id
        door.runs.delete(run=gone)
    return mill


def names(mill: Mill, *words: str) -> list[str]:
    found = mill.ok("runs", "list", *words, "--json").record(RunList)
    return [run.name for run in found.runs]


def test_a_filter_and_an_order_find_runs(project: Mill) -> None:
    words = ("--filter", "metrics.auc > 0.9 and params.max_depth = '3'")
    assert names(project, *words, "--order", "metrics.auc desc") == ["c", "a"]
    assert names(project, *words, "--order", "metrics.auc") == ["a", "c"]
    assert names(project, "--experiment", "#1") == ["d", "c", "b", "a"]
    assert names(project, "--experiment", "churn", "--experiment", "other") == ["d", "c", "b", "a"]
    assert project.ok("runs", "list", *words, "--count").out == "2\n"
    assert project.ok("runs", "list", "--count", "--json").out == "4\n"


def test_columns_are_chosen(project: Mill) -> None:
    ended = project.ok(
        "runs",
        "list",
        "--filter",
        "metrics.auc > 0.9",
        "--order",
        "metrics.auc desc",
        "--columns",
        "name,metrics.auc,params.max_depth",
        "--columns",
        "tags.who,params.none",
    )
    assert ended.plain == (
        "name  metrics.auc  params.max_depth  tags.who  params.none\n"
        "c  0.97  3  ada  -\n"
        "a  0.95  3  ada  -\n"
        "b  0.92  5  ada  -\n"
    )
    bad = project("runs", "list", "--columns", "stattus")
    assert (bad.code, bad.err.splitlines()[2]) == (2, "fix: did you mean 'status'?")


def test_pages_are_read_on_by_a_token(project: Mill) -> None:
    words = ("runs", "list", "--order", "metrics.auc", "--limit", "3")
    first = project.ok(*words, "--json").record(RunList)
    assert [run.name for run in first.runs] == ["d", "b", "a"]
    token = str(first.next_token)
    assert project.ok(*words).err == f"There are more; add: --token {token}\n"
    assert names(project, *words[2:], "--token", token) == ["c"]
    assert names(project, "--limit", "1") == ["d"]
    ended = project.ok("runs", "list", "--limit", "1")
    assert "There are more; add: --before run_" in ended.err
    bad = project("runs", "list", "--before", "latest", "--filter", "metrics.auc > 0")
    assert bad.code == 2


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["--filter", "metrics.auc >> 0.9"],
            ["  metrics.auc >> 0.9", "               ^"],
        ),
        (["--filter", "metrics.auc >"], ["  metrics.auc >", "               ^"]),
        (["--order", "metric.auc down"], ["  metric.auc down", "             ^"]),
        (["--filter", "metricks.auc > 1", "--count"], ["  metricks.auc > 1", "  ^"]),
        (["--filter", "tags.a = 'x", "--pipeline", "p"], ["  tags.a = 'x", "           ^"]),
    ],
)
def test_where_a_filter_errs_is_shown_under_it(
    project: Mill, words: list[str], lines: list[str]
) -> None:
    ended = project("runs", "list", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[2:4] == lines


def test_an_unknown_experiment_is_said(project: Mill) -> None:
    ended = project("runs", "list", "--experiment", "chrn", "--order", "metrics.auc")
    assert (ended.code, ended.err.splitlines()[-1]) == (3, "fix: did you mean 'churn'?")


def test_deleted_runs_are_listed_apart_and_taken_back(project: Mill) -> None:
    assert names(project, "--deleted") == ["gone"]
    listed = project.ok("runs", "list", "--deleted", "--json").record(RunList)
    ref = listed.runs[0].id
    assert project.ok("runs", "restore", ref[:-3], "--reason", "mine").plain == (
        "restored run_ID gone\n"
    )
    assert names(project, "--experiment", "other") == ["gone"]
    assert "would delete runs\n" in project.ok("runs", "delete", ref, "--dry-run").out
    ended = project.ok("runs", "delete", ref, ref)
    assert ended.plain == "deleted run_ID gone\n"
    assert ended.err == f"Take them back: mill runs restore {ref}\n"
    assert names(project, "--experiment", "other") == []


def test_the_digits_of_a_run_in_an_address_of_mlflow_name_that_run(project: Mill) -> None:
    newest = project.ok("runs", "list", "--json").record(RunList).runs[0]
    digits = to_hex(newest.id)
    for words in (("show", digits), ("lineage", digits.upper()), ("delete", digits)):
        assert newest.id in project.ok("runs", *words).out
    assert names(project, "--before", digits) == ["c", "b", "a"]
    other = project("runs", "show", digits[:-1] + "x")
    assert (other.code, "such ids begin with run_" in other.err) == (2, True)


def test_a_page_of_one_experiment_tells_how_to_read_on_in_that_one(project: Mill) -> None:
    words = ("runs", "list", "--experiment", "churn", "--limit", "3")
    added = project.ok(*words).err.removeprefix("There are more; add: ").split()
    assert names(project, *words[2:], *added) == ["a"]


def test_what_is_not_a_number_looks_the_same_everywhere(project: Mill) -> None:
    with Workspace.open(load_config(environment={}, folder=project.folder)) as door:
        run = door.runs.start(name="odd", source=SOURCE).id
        for key, value in (("a", math.nan), ("b", math.inf), ("c", -math.inf)):
            door.runs.log_batch(run=run, points=[MetricPoint(key=key, value=value, step=1)])
    listed = project.ok("runs", "list", "--limit", "1").plain
    assert "a NaN, b Infinity, c -Infinity" in listed
    shown = project.ok("runs", "show", run).plain
    assert "metrics\n  a  NaN\n  b  Infinity\n  c  -Infinity\n" in shown
    columns = project.ok(
        "runs", "list", "--limit", "1", "--columns", "metrics.a,metrics.b,metrics.d"
    )
    assert columns.plain.splitlines()[1] == "NaN  Infinity  -"
    assert [text.number(one) for one in (math.nan, math.inf, -math.inf)] == [
        "NaN",
        "Infinity",
        "-Infinity",
    ]


def test_a_search_that_finds_nothing_does_not_say_how_to_make_a_run(project: Mill) -> None:
    for words in (["--filter", "metrics.auc > 2"], ["--pipeline", "p"], ["--kind", "step"]):
        assert project.ok("runs", "list", *words).err == "Nothing fits.\n"


def test_a_run_names_who_made_it(project: Mill) -> None:
    who = project.ok("whoami", "--json").record(dict[str, object])
    assert f"actor  {who['name']}\n" in project.ok("runs", "show", "latest").plain
