from __future__ import annotations

import pytest

from fixtures.homes import MODEL, Place
from millwright.core.errors import Denied, NotFound
from millwright.records.purges import Kept


def count(place: Place, table: str) -> int:
    with place.home.database.read() as tx:
        return tx.value(int, f"SELECT count(*) FROM {table}") or 0


def test_a_version_and_then_its_model_go(place: Place) -> None:
    first, second = place.version(0), place.version(1)
    place.me.models.set_version_tags(ref=first, tags={"a": "b"})
    place.me.models.set_tags(name=MODEL, tags={"c": "d"})
    place.me.models.delete_version(ref=first)
    assert place.me.models.purge().versions == 0
    place.clock.sleep(30 * 86_400.0)
    counted = place.me.models.purge(dry_run=True)
    assert (counted.versions, counted.models, counted.kept) == (1, 0, [])
    done = place.me.models.purge(reason="too old")
    assert (done.versions, done.models) == (1, 0)
    assert (count(place, "model_version"), count(place, "model_version_tag")) == (1, 0)
    with pytest.raises(NotFound):
        place.me.models.restore_version(name=MODEL, version="1")
    # Its number is not given again.
    assert place.version(0) == f"{MODEL}@v3"
    assert place.me.models.show(ref=second).version == 2

    place.me.models.delete(name=MODEL)
    counted = place.me.models.purge(older_than_days=0, dry_run=True)
    done = place.me.models.purge(older_than_days=0)
    assert (counted.versions, counted.models) == (done.versions, done.models) == (2, 1)
    assert count(place, "model") == count(place, "model_tag") == 0
    with pytest.raises(NotFound):
        place.me.models.restore(name=MODEL)
    events = place.events("ModelsPurged")
    assert [[subject.kind for subject in event.subjects] for event in events] == [
        ["model_version"],
        ["model_version", "model_version"],
        ["model"],
    ]
    assert place.me.audit.verify().ok


def test_what_accounts_for_decisions_keeps_a_version(place: Place) -> None:
    place.deployed()
    judged = place.version(1)
    place.judged(judged)
    unnamed = place.version(2)
    for ref in (judged, unnamed):
        place.me.models.delete_version(ref=ref)
    counted = place.me.models.purge(older_than_days=0, dry_run=True)
    done = place.me.models.purge(older_than_days=0)
    assert (done.versions, done.models) == (counted.versions, counted.models) == (1, 0)
    assert done.kept == counted.kept
    assert done.kept == [Kept(what=judged, why="a gate's verdict names it")]
    place.me.models.restore_version(name=MODEL, version="2")
    assert place.me.models.show(ref=judged).version == 2
    with pytest.raises(NotFound):
        place.me.models.show(ref=unnamed)


def test_the_history_of_an_alias_keeps_whom_it_pointed_at(place: Place) -> None:
    first, second = place.version(0), place.version(1)
    place.me.models.promote(ref=first, alias="shadow")
    place.me.models.promote(ref=second, alias="shadow")
    place.me.models.delete_version(ref=first)
    done = place.me.models.purge(older_than_days=0)
    assert done.kept == [Kept(what=first, why="the history of an alias names it")]
    place.me.models.remove_alias(name=MODEL, alias="shadow")
    place.me.models.delete(name=MODEL)
    done = place.me.models.purge(older_than_days=0)
    assert done.kept[-1] == Kept(what=f"model {MODEL}", why="it has a history of aliases")
    assert place.me.models.purge(older_than_days=0).versions == 0


def test_an_approval_keeps_what_it_is_for(place: Place) -> None:
    ref = place.version(0, risk="high")
    place.judged(ref)
    with place.home.database.write() as tx:
        tx.run("DELETE FROM gate_verdict")
        tx.run(
            "INSERT INTO approval (id, project_id, version_pk, alias, digest, state, requested_by,"
            " requested_us, reason, expires_us) VALUES ('apr_1', :project, :pk, 'champion', 'b3:1',"
            " 'waiting', 'act_1', 0, '', 1)",
            project=place.key,
            pk=place.row(ref).pk,
        )
    place.me.models.delete(name=MODEL)
    done = place.me.models.purge(older_than_days=0)
    assert done.kept == [
        Kept(what=ref, why="an approval names it"),
        Kept(what=f"model {MODEL}", why="it has versions that stay"),
    ]


def test_only_an_admin_may(place: Place) -> None:
    with pytest.raises(Denied, match=r"may not do project\.write"):
        place.person("ada").models.purge(older_than_days=0)
