"""`mill runs purge` and `mill model purge`; putting away and back stand in `test_run_search`."""

from __future__ import annotations

import io

import pytest

from fixtures.command_line import Mill
from millwright.cli.run_changes import purge_lines
from millwright.records.purges import Kept, Purged
from millwright.records.runs import RunSource
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with a deleted run, and a deleted model without versions."""
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        door.runs.delete(run=door.runs.start(name="fit", source=SOURCE).id)
        door.models.create(name="churn")
        door.models.delete(name="churn")
    return mill


def test_runs_are_purged_for_good(project: Mill) -> None:
    nothing = "nothing to remove was deleted before TIME\n"
    assert project.ok("runs", "purge", "--dry-run").plain == nothing
    ended = project.ok("runs", "purge", "--older-than-days", "0", "--dry-run")
    assert ended.plain == "would remove 1 run; deleted before TIME\n"
    assert ended.err == "Nothing was changed. Leave --dry-run out to do it.\n"
    ended = project.ok("runs", "purge", "--older-than-days", "0", "--reason", "over")
    assert ended.plain == "removed 1 run; deleted before TIME\n"
    assert ended.err.startswith("The bytes of artifacts stay in the store")
    found = project.ok("runs", "purge", "--older-than-days", "0", "--json").record(Purged)
    assert found.runs == 0
    assert project("runs", "purge", "--older-than-days", "-1").code == 2


def test_models_are_purged_for_good(project: Mill) -> None:
    ended = project.ok("model", "purge", "--older-than-days", "0", "--dry-run")
    assert ended.plain == "would remove 1 model; deleted before TIME\n"
    ended = project.ok("model", "purge", "--older-than-days", "0")
    assert ended.plain == "removed 1 model; deleted before TIME\n"


class Terminal(io.StringIO):
    """A terminal at which nobody answers."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("noun", ["runs", "model"])
def test_nobody_is_asked_before_nothing_is_removed(
    project: Mill, monkeypatch: pytest.MonkeyPatch, noun: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    ended = project.ok(noun, "purge")
    assert (ended.plain, ended.err) == ("nothing to remove was deleted before TIME\n", "")
    assert not project.ok(noun, "purge", "--json").record(Purged).dry_run
    ended = project(noun, "purge", "--older-than-days", "0")
    assert (ended.code, ended.err.startswith("Remove ")) == (130, True)


def test_the_retention_of_the_project_counts(project: Mill) -> None:
    settings = project.folder / "millwright.toml"
    settings.write_text(settings.read_text() + "\n[retention]\ndays = 0\n")
    assert project.ok("runs", "purge").plain.startswith("removed 1 run; ")
    settings.write_text(settings.read_text().replace("days = 0", "dais = 0"))
    ended = project("runs", "purge")
    assert ended.code == 2
    assert "the unknown key 'retention.dais'" in ended.err
    assert ended.err.endswith("fix: did you mean 'days'?\n")


def test_a_quota_ends_a_command_with_4(project: Mill) -> None:
    settings = project.folder / "millwright.toml"
    settings.write_text(settings.read_text() + "\n[quota]\nruns_per_experiment = 0\n")
    project.write("pipes.py", PIPELINE)
    ended = project("run", "pipes.py:one")
    assert ended.code == 4
    assert "[quota] runs_per_experiment = 0" in ended.err


def test_what_was_kept_is_said_with_why() -> None:
    found = Purged(
        before_us=0,
        dry_run=False,
        runs=2,
        files=1,
        kept=[Kept(what="churn@v1", why="an alias points at it")],
    )
    assert purge_lines(found) == [
        "removed 2 runs, 1 file name; deleted before 1970-01-01 00:00:00Z",
        "kept churn@v1: an alias points at it",
    ]


PIPELINE = """
from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step


@step
def two() -> int:
    return 2


@pipeline
def one():
    two()
"""
