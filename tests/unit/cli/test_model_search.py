"""Models and versions found, and which version an alias meant when."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.cli.model_search import parse_time
from millwright.core.errors import Invalid
from millwright.doors.models import AliasAt, FoundModels, ModelCard
from millwright.registry.compare import Comparison
from millwright.workspace.open import system_user


@pytest.fixture
def project(mill: Mill, packages: list[Path]) -> Mill:
    """A project with two versions of one model, and a model without any."""
    for n, folder in enumerate(packages):
        shutil.copytree(folder, mill.folder / f"m{n}")
        mill.ok("model", "register", f"m{n}", "--name", "churn")
    mill.ok("model", "unprotect", "churn")
    return mill


def test_models_and_versions_are_found(project: Mill) -> None:
    ended = project.ok("model", "search", "--filter", "name LIKE 'ch%'")
    assert ended.plain.endswith("churn  low  2  -  TIME  mod_ID\n")
    words = ("model", "search", "--versions", "--filter", "version > 1")
    assert project.ok(*words).plain.endswith("churn@v2  None  -  -  TIME  -  mov_ID\n")
    assert project.ok("model", "search", "--filter", "name = 'x'").err == "Nothing fits.\n"
    words = ("model", "search", "--versions", "--order", "version", "--limit", "1")
    ended = project.ok(*words)
    assert "churn@v1" in ended.out
    token = ended.err.split()[-1]
    assert "churn@v2" in project.ok(*words, "--token", token).out
    assert project.ok("model", "search", "--json").record(FoundModels).next_token is None


def test_a_filter_that_errs_is_shown(project: Mill) -> None:
    ended = project("model", "search", "--filter", "nme = 'x'")
    assert ended.code == 2
    assert ended.err.splitlines()[2:4] == ["  nme = 'x'", "  ^"]
    ended = project("model", "search", "--versions", "--filter", "version = 'x'")
    assert ended.err.splitlines()[3] == "            ^"


def test_which_version_was_champion_when(project: Mill) -> None:
    project.ok("model", "promote", "churn@v1", "--reason", "the first")
    history = project.ok("model", "history", "churn")
    assert f"TIME  champion  -  v1  {system_user()}  the first" in history.plain
    later = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    ended = project.ok("model", "history", "churn", "--at", later)
    assert ended.plain == (
        f"model  churn\nalias  champion\nat  TIME\nversion  v1\nsince  TIME\n"
        f"by  {system_user()}\nreason  the first\n"
    )
    before = project.ok("model", "history", "churn", "--at", "2001-01-01", "--json")
    assert before.record(AliasAt) == AliasAt(version=None, since=None)
    other = project.ok("model", "history", "churn", "--at", later, "--alias", "shadow")
    assert re.search(r"version +-\n", other.out)
    assert project("model", "history", "churn", "--at", "noon").code == 2


@pytest.mark.parametrize(
    ("words", "us"),
    [
        ("1970-01-01", 0),
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T02:00+02:00", 0),
        ("1970-01-01 00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59", -1_000_000),
    ],
)
def test_times_are_utc_where_they_do_not_say(words: str, us: int) -> None:
    assert parse_time(words) == us


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(Invalid, match=r"'31\.1\.2026' is no time"):
        parse_time("31.1.2026")


def test_two_versions_are_held_against_each_other(project: Mill) -> None:
    ended = project.ok("model", "compare", "churn@v1", "churn@v2")
    assert ended.plain == (
        "left  churn@v1\nright  churn@v2\none model  no\n\n"
        "digest  churn@v1  churn@v2\nmodel  DIGEST  DIGEST\npackage  DIGEST  DIGEST\n"
    )
    same = project.ok("model", "compare", "churn@v1", "churn@v1", "--json").record(Comparison)
    assert (same.same_model, same.digests, same.breaks) == (True, [], False)
    assert project("model", "compare", "churn@v1", "churn@v9").code == 3


def test_a_card_is_drafted(project: Mill) -> None:
    project.ok("model", "tag", "churn", "card.limits=only for the north")
    ended = project.ok("model", "card", "churn@v2")
    assert ended.out.startswith("# churn v2\n")
    assert "## Limits\n\nonly for the north\n" in ended.out
    found = project.ok("model", "card", "churn@v2", "--json").record(ModelCard)
    assert (found.version, f"{found.text}") == (2, ended.out)
