from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.cli.run_search import RunList
from millwright.records.runs import MetricPoint, RunSource
from millwright.records.views import View
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace, system_user

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with three runs."""
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        for name, auc in (("a", 0.5), ("b", 0.9), ("c", 0.7)):
            run = door.runs.start(name=name, source=SOURCE).id
            door.runs.log_metrics(run=run, points=[MetricPoint(key="auc", value=auc)])
    return mill


def test_a_search_is_saved_and_seen_again(project: Mill) -> None:
    words = ("--filter", "metrics.auc > 0.6", "--order", "metrics.auc desc")
    ended = project.ok(
        "runs", "list", *words, "--columns", "name,metrics.auc", "--save-view", "good ones"
    )
    assert ended.plain == "name  metrics.auc\nb  0.9\nc  0.7\n"
    assert ended.err == "Saved; see it again: mill runs list --view 'good ones'\n"
    assert project.ok("runs", "list", "--view", "good ones").plain == ended.plain
    counted = project.ok("runs", "list", "--view", "good ones", "--count")
    assert counted.out == "2\n"
    one = project.ok("runs", "list", "--view", "good ones", "--limit", "1", "--json")
    first = one.record(RunList)
    assert [run.name for run in first.runs] == ["b"]
    rest = project.ok(
        "runs", "list", "--view", "good ones", "--token", str(first.next_token), "--json"
    )
    assert [run.name for run in rest.record(RunList).runs] == ["c"]

    listed = project.ok("runs", "views", "list")
    assert listed.plain.splitlines()[1] == (
        f"good ones  metrics.auc > 0.6  metrics.auc desc  -  {system_user()}  TIME"
    )
    shown = project.ok("runs", "views", "show", "good ones")
    assert "columns      name, metrics.auc" in shown.out
    view = project.ok("runs", "views", "show", "good ones", "--json").record(View)
    assert view.spec.kinds == ["script", "pipeline"]
    assert (
        "would delete view" in project.ok("runs", "views", "delete", "good ones", "--dry-run").out
    )
    assert project.ok("runs", "views", "delete", "good ones").out == "removed good ones\n"
    assert project.ok("runs", "views", "list").err.startswith("No view is saved.")


def test_a_view_of_all_runs_goes_on_by_token(project: Mill) -> None:
    project.ok("runs", "list", "--save-view", "all")
    ended = project.ok("runs", "list", "--view", "all", "--limit", "2")
    assert "There are more; add: --token " in ended.err


def test_what_does_not_fit_together_is_said(project: Mill) -> None:
    project.ok("runs", "list", "--save-view", "all")
    assert project("runs", "list", "--view", "all", "--filter", "metrics.auc > 1").code == 2
    assert project("runs", "list", "--view", "all", "--before", "latest").code == 2
    assert project("runs", "list", "--view", "al").err.endswith("fix: did you mean 'all'?\n")
    bad = project("runs", "list", "--filter", "metrics.auc >", "--save-view", "bad")
    assert (bad.code, bad.err.splitlines()[3]) == (2, "               ^")
