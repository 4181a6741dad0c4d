from __future__ import annotations

import pytest

from fixtures.journals import write
from millwright.core.errors import Conflict, Invalid
from millwright.journal.followers import Follower
from millwright.journal.log import Journal

EFFECT = "INSERT INTO project (id, name, created_us) VALUES (:id, :id, 0)"


def do(follower: Follower, journal: Journal, event_id: str, place: int) -> None:
    with journal.database.write() as tx:
        tx.run(EFFECT, id=event_id)
        follower.advance(tx, place)


def effects(journal: Journal) -> list[str]:
    with journal.database.read() as tx:
        return tx.column(str, "SELECT id FROM project ORDER BY pk")


def test_events_are_taken_in_order_and_once(journal: Journal) -> None:
    written = write(journal, 5)
    follower = Follower(journal, "rules")
    taken = follower.take(3)
    assert [event.id for event in taken] == written[:3]
    for event in taken:
        do(follower, journal, event.id, event.place)
    # Another process goes on where the first one ended.
    assert [event.id for event in Follower(journal, "rules").take(10)] == written[3:]
    assert effects(journal) == written[:3]


def test_what_was_not_advanced_is_taken_again(journal: Journal) -> None:
    written = write(journal, 2)
    follower = Follower(journal, "rules")
    (event,) = follower.take(1)
    with pytest.raises(ZeroDivisionError), journal.database.write() as tx:
        tx.run(EFFECT, id=event.id)
        follower.advance(tx, event.place)
        raise ZeroDivisionError
    assert effects(journal) == []
    assert [again.id for again in follower.take(5)] == written


def test_of_two_processes_with_one_name_only_one_does_an_event(journal: Journal) -> None:
    written = write(journal, 3)
    one, two = Follower(journal, "rules"), Follower(journal, "rules")
    assert one.take(3) == two.take(3)
    do(one, journal, written[0], 0)
    for place in (0, 2):
        with pytest.raises(Conflict, match="another process follows the journal as rules"):
            do(two, journal, f"{written[place]} again", place)
    assert effects(journal) == [written[0]]
    assert [event.id for event in two.take(3)] == written[1:]
    do(two, journal, written[2], 2)
    assert one.take(3) == []


def test_followers_of_other_names_stand_where_they_stand(journal: Journal) -> None:
    written = write(journal, 2)
    one = Follower(journal, "rules")
    one.take(2)
    do(one, journal, written[1], 1)
    assert len(Follower(journal, "notifications").take(5)) == 2


def test_a_follower_does_not_go_back(journal: Journal) -> None:
    write(journal, 2)
    follower = Follower(journal, "rules")
    follower.take(2)
    with journal.database.write() as tx:
        follower.advance(tx, 1)
    with pytest.raises(Invalid, match="is past place 0"), journal.database.write() as tx:
        follower.advance(tx, 0)
