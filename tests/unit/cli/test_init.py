from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.records.access import Project


@pytest.fixture
def mill_below(nowhere: Mill, monkeypatch: pytest.MonkeyPatch) -> Mill:
    """The command line in a folder below that of the test."""
    nowhere.folder = nowhere.folder / "below"
    nowhere.folder.mkdir()
    monkeypatch.chdir(nowhere.folder)
    return nowhere


def test_a_project_is_made_once_and_then_left_alone(nowhere: Mill) -> None:
    first = nowhere.ok("init", "--project", "churn")
    assert first.plain == (
        f"project  churn\nsettings  {nowhere.folder}/millwright.toml\n"
        f"home  {nowhere.folder}/.millwright\nid  hom_ID\n"
    )
    assert first.err == "Add data: mill data add FILE\n"
    written = (nowhere.folder / "millwright.toml").read_text()
    assert 'project = "churn"' in written
    second = nowhere.ok("init", "--json").record(dict[str, object])
    assert (second["project"], second["settings_written"]) == ("churn", False)
    assert str(second["id"]) in first.out
    assert (nowhere.folder / "millwright.toml").read_text() == written
    names = [one.name for one in nowhere.ok("project", "list", "--json").record(list[Project])]
    assert names == ["churn", "default"]
    assert nowhere("init", "--project", "other").code == 6


def test_it_may_be_another_folder(nowhere: Mill) -> None:
    nowhere.ok("init", "work/churn")
    assert (nowhere.folder / "work/churn/.millwright/millwright.db").is_file()
    assert (nowhere.folder / "work/churn/.millwright/.gitignore").read_text().endswith("*\n")


def test_a_dry_run_makes_nothing(nowhere: Mill) -> None:
    nowhere.ok("init", "--dry-run")
    assert list(nowhere.folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_denied(nowhere: Mill) -> None:
    closed = nowhere.folder / "closed"
    closed.mkdir(mode=0o500)
    ended = nowhere("init", "closed")
    assert (ended.code, ended.err.splitlines()[-1]) == (
        4,
        "fix: choose a folder you may write to",
    )


def test_a_folder_whose_name_is_a_file_is_denied(nowhere: Mill) -> None:
    nowhere.write("file", "x")
    ended = nowhere("init", str(Path("file/below")))
    assert ended.code == 4
    assert "cannot be written" in ended.err


@pytest.mark.parametrize(
    ("given", "written"), [("tracking", "tracking"), ("./a b/c", "a b/c"), ("../out", None)]
)
def test_the_home_that_was_named_is_found_by_the_next_command(
    mill_below: Mill, given: str, written: str | None
) -> None:
    folder = mill_below.folder
    mill_below.ok("init", "--home", given)
    home = written or str(folder.parent / "out")
    assert f'home = "{home}"\n' in (folder / "millwright.toml").read_text()
    assert mill_below.ok("runs", "list", "--count").out == "0\n"
    assert not (folder / ".millwright").exists()
    mill_below.ok("init", "--home", given)
    ended = mill_below("init", "--home", "other")
    assert (ended.code, ended.err.splitlines()[1]) == (6, "why: other was asked for")
    assert not (folder / "other").exists()


@pytest.mark.parametrize("inside_a_project", [False, True])
def test_where_the_named_home_is_missing_the_advice_makes_that_very_home(
    nowhere: Mill, *, inside_a_project: bool
) -> None:
    if inside_a_project:
        nowhere.ok("init")
    ended = nowhere("--home", "./it is", "runs", "list")
    assert ended.code == 3
    fix = ended.err.splitlines()[-1].removeprefix("fix: make one: mill ")
    nowhere.ok(*shlex.split(fix))
    nowhere.ok("--home", "./it is", "runs", "list")
