"""What is said of models, and putting them away: `mill model describe|tag|deprecate|delete|…`."""

from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.doors.models import FoundVersions
from millwright.records.models import Model, ModelVersion


@pytest.fixture
def project(registered: Mill) -> Mill:
    return registered


def version(mill: Mill, ref: str = "churn@v1") -> ModelVersion:
    return mill.ok("model", "show", ref, "--json").record(ModelVersion)


def test_models_and_versions_are_described_and_tagged(project: Mill) -> None:
    described = project.ok("model", "describe", "churn", "who leaves", "--json").record(Model)
    assert described.description == "who leaves"
    project.ok("model", "describe", "churn@v1", "the first")
    tagged = project.ok("model", "tag", "churn", "team=risk", "old=x", "--json").record(Model)
    assert tagged.tags == {"old": "x", "team": "risk"}
    tagged = project.ok("model", "tag", "churn", "old=", "--reason", "gone")
    assert tagged.plain == (
        "model  churn\nid  mod_ID\nrisk  low\nprotected  yes\nversions  1\naliases  -\n"
        "description  who leaves\nchanged  TIME\n\ntags\n  team  risk\n"
    )
    ended = project.ok("model", "tag", "churn@v1", "a=b", "c=d", "c=")
    assert ended.plain.startswith("model  churn@v1\n")
    assert (version(project).tags, version(project).description) == ({"a": "b"}, "the first")
    assert "description  the first\n\ntags\n  a  b" in project.ok("model", "show", "churn").plain
    assert project("model", "tag", "churn", "team").code == 2
    assert project("model", "describe", "chrn", "x").code == 3


def test_a_version_is_deprecated_and_taken_back(project: Mill) -> None:
    ended = project.ok("model", "deprecate", "churn@v1", "--reason", "leaks the label")
    assert "deprecated  leaks the label" in ended.plain
    shown = project.ok("model", "show", "churn")
    assert shown.err.startswith("It is deprecated: leaks the label\n")
    project.ok("model", "deprecate", "churn@v1", "--take-back")
    assert version(project).deprecated is None
    assert project("model", "deprecate", "churn@v1").code == 2
    assert project("model", "deprecate", "churn", "--reason", "x").code == 2


def test_models_are_put_away_and_taken_back(project: Mill) -> None:
    mill = project
    assert "1 version" in mill.ok("model", "delete", "churn", "--dry-run").out
    ended = mill.ok("model", "delete", "churn@v1", "--reason", "wrong data")
    assert (ended.out, ended.err) == (
        "deleted churn@v1\n",
        "Take it back: mill model restore 'churn@v1'\n",
    )
    assert mill("model", "show", "churn@v1").code == 3
    restored = mill.ok("model", "restore", "churn@v1", "--json").record(ModelVersion)
    assert restored.deleted_us is None

    ended = mill.ok("model", "delete", "churn")
    assert ended.out == "deleted churn with 1 version\n"
    assert mill("model", "restore", "churn@champion").code == 2
    back = mill.ok("model", "restore", "churn", "--reason", "a mistake", "--json").record(Model)
    assert (back.name, back.versions) == ("churn", 1)
    assert mill("model", "restore", "churn").code == 3

    renamed = mill.ok("model", "rename", "churn", "leavers", "--json").record(Model)
    assert renamed.name == "leavers"


def test_a_model_is_unprotected_and_protected_again(project: Mill) -> None:
    assert project("model", "promote", "churn@v1").code == 5
    assert "protected  no" in project.ok("model", "unprotect", "churn", "--reason", "demo").plain
    project.ok("model", "promote", "churn@v1")
    assert "governed" in project.ok("model", "protect", "churn", "--dry-run").out
    assert "protected  yes" in project.ok("model", "protect", "churn").plain


@pytest.mark.parametrize("verb", ["describe", "rename", "tag"])
def test_a_dry_run_changes_nothing(project: Mill, verb: str) -> None:
    before = project.ok("model", "search", "--json").out
    ended = project.ok("model", verb, "churn", "a=b", "--dry-run")
    assert ended.out.startswith("would ")
    assert project.ok("model", "search", "--json").out == before
    found = project.ok("model", "search", "--versions", "--json").record(FoundVersions)
    assert len(found.versions) == 1


def test_a_project_without_models_or_deployments_says_so(mill: Mill) -> None:
    assert "why: it has none yet\n" in mill("model", "delete", "nope").err
    assert "why: there are none yet\n" in mill("deploy", "show", "nope").err
