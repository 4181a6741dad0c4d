from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.records.access import Project


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
