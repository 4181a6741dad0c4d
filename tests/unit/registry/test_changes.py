from __future__ import annotations

import pickle

import pytest

from fixtures.registries import Home
from millwright.core.errors import Conflict, NotFound, Refused
from millwright.metadata.database import Writer
from millwright.metadata.tables.models import ModelRow
from millwright.records.events import Act
from millwright.records.models import ModelVersion, Stage
from millwright.registry.changes import Changes, NameTaken
from millwright.registry.search import Searches


def no_production(tx: Writer, act: Act, version: ModelVersion, stage: Stage) -> None:
    del tx, act, version
    if stage == "Production":
        raise Refused("the gate said no")


def any_name(tx: Writer, model: ModelRow) -> None:
    """Let every name be given up."""


@pytest.fixture
def changes(home: Home) -> Changes:
    return Changes(
        home.database, home.journal, home.clock, guard=no_production, guard_name=any_name
    )


def registered(home: Home, *seeds: int) -> None:
    home.models.create(home.act, name="churn")
    for seed in seeds:
        home.models.register(home.act, name="churn", package_digest=home.package(seed))


def test_what_is_said_of_a_model_changes_and_is_journaled(home: Home, changes: Changes) -> None:
    registered(home)
    changes.describe(home.act, "churn", "who leaves")
    changes.set_tags(home.act, "churn", {"team": "risk", "x": "1"})
    changes.delete_tag(home.act, "churn", "x")
    changes.delete_tag(home.act, "churn", "x")
    changes.rename(home.act, "churn", "leavers")
    changes.govern(home.act, "leavers", governed=False)
    changes.govern(home.act, "leavers", governed=False)
    model = home.models.model(home.act.project_key, "leavers")
    assert (model.description, model.tags, model.governed) == (
        "who leaves",
        {"team": "risk"},
        False,
    )
    assert home.kinds() == [
        "ModelCreated",
        *["ModelChanged"] * 3,
        "ModelRenamed",
        "ModelGoverned",
    ]
    assert home.journal.events()[-1].detail == {
        "reason": "for the test",
        "name": "leavers",
        "governed": False,
    }


def test_a_deleted_model_frees_its_name_and_comes_back(home: Home, changes: Changes) -> None:
    registered(home, 0)
    changes.delete(home.act, "churn")
    with pytest.raises(NotFound):
        home.models.model(home.act.project_key, "churn")
    assert home.models.list(home.act.project_key) == []
    home.models.create(home.act, name="churn")
    with pytest.raises(NameTaken) as caught:
        changes.restore(home.act, "churn")
    assert caught.value.fix == "call that one otherwise first: mill model rename churn NEW"
    assert pickle.loads(pickle.dumps(caught.value)).fix == caught.value.fix
    changes.rename(home.act, "churn", "other")
    changes.restore(home.act, "churn")
    assert home.models.get(home.act.project_key, "churn@v1").version == 1
    with pytest.raises(NotFound):
        changes.restore(home.act, "churn")


def test_a_number_is_not_given_twice(home: Home, changes: Changes) -> None:
    registered(home, 0, 1)
    changes.delete_version(home.act, "churn@v2")
    with pytest.raises(NotFound) as caught:
        home.models.get(home.act.project_key, "churn@v2")
    assert (caught.value.why, caught.value.fix) == (
        "it was deleted",
        "take it back: mill model restore 'churn@v2'",
    )
    with pytest.raises(NotFound) as caught:
        changes.restore_version(home.act, "churn", 9)
    assert caught.value.why == "the newest version of model churn was v2"
    assert home.models.get(home.act.project_key, "churn@latest").version == 1
    # The same fit again is a new version: the one that was is deleted.
    again = home.models.register(home.act, name="churn", package_digest=home.package(1))
    assert again.version == 3
    changes.restore_version(home.act, "churn", 2)
    assert [one.version for one in home.models.versions(home.act.project_key, "churn")] == [1, 2, 3]
    with pytest.raises(Conflict, match="is not deleted"):
        changes.restore_version(home.act, "churn", 2)


def test_a_model_whose_versions_were_all_deleted_says_so(home: Home, changes: Changes) -> None:
    registered(home, 0)
    changes.delete_version(home.act, "churn@v1")
    for ref in ("churn", "churn@latest"):
        with pytest.raises(NotFound) as caught:
            home.models.get(home.act.project_key, ref)
        assert (caught.value.why, caught.value.fix) == (
            "all versions of model churn were deleted",
            "take one back: mill model restore 'churn@v1'",
        )


def test_a_version_that_an_alias_points_at_stays(home: Home, changes: Changes) -> None:
    registered(home, 0)
    for alias in ("champion", "blue"):
        home.aliases.set_alias(home.act, name="churn", alias=alias, version=1)
    with pytest.raises(Conflict, match="champion points at it") as caught:
        changes.delete_version(home.act, "churn@v1")
    for alias in ("champion", "blue"):
        assert f"mill model promote churn@vN --alias {alias}" in caught.value.fix


def test_a_version_is_described_tagged_and_deprecated(home: Home, changes: Changes) -> None:
    registered(home, 0)
    changes.describe_version(home.act, "churn@v1", "the first")
    changes.set_version_tags(home.act, "churn@v1", {"a": "1"})
    changes.deprecate(home.act, "churn@v1", "it leaks the label")
    version = home.models.get(home.act.project_key, "churn@v1")
    assert (version.description, version.tags) == ("the first", {"a": "1"})
    assert version.deprecated == "it leaks the label"
    changes.deprecate(home.act, "churn@v1", "")
    changes.delete_version_tag(home.act, "churn@v1", "a")
    version = home.models.get(home.act.project_key, "churn@v1")
    assert (version.deprecated, version.tags) == (None, {})


def test_a_stage_asks_its_guard_and_archives_the_others(home: Home, changes: Changes) -> None:
    registered(home, 0, 1)
    with pytest.raises(Refused):
        changes.move_stage(home.act, "churn@v1", "Production", archive_others=False)
    changes.move_stage(home.act, "churn@v1", "Staging", archive_others=False)
    changes.move_stage(home.act, "churn@v2", "Staging", archive_others=True)
    stages = [one.stage for one in home.models.versions(home.act.project_key, "churn")]
    assert stages == ["Archived", "Staging"]
    latest = Searches(home.database).latest(home.act.project_key, "churn")
    assert [(one.version, one.stage) for one in latest] == [(1, "Archived"), (2, "Staging")]
    assert home.kinds().count("StageMoved") == 3
