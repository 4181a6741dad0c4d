from __future__ import annotations

import pytest

from millwright.access.actors import Directory
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.metadata.database import Database
from millwright.records.access import Actor, ActorKind
from millwright.records.events import Act, ActorCreated, ActorDisabled, Detail, Subject
from millwright.testing.clock import FakeClock


class TestDirectory:
    def test_people_services_and_rules_are_found_by_name_and_id(
        self, directory: Directory, act: Act, clock: FakeClock
    ) -> None:
        made = [
            directory.create_person("bob", act=act),
            directory.create_service("ci", act=act),
            directory.create_rule("retrain on drift", act=act),
        ]
        assert [actor.kind for actor in made] == list(ActorKind)
        assert [directory.get(actor.name) for actor in made] == made
        assert [directory.get(actor.id) for actor in made] == made
        assert [actor.name for actor in directory.list()] == [
            "ada",
            "bob",
            "ci",
            "retrain on drift",
        ]
        assert made[0] == Actor(
            id=made[0].id, kind=ActorKind.PERSON, name="bob", created_us=clock.now_us()
        )

    def test_each_creation_is_journaled_once(
        self,
        directory: Directory,
        act: Act,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        bob = directory.create_person("bob", act=act)
        detail = ActorCreated(kind="person", name="bob", reason="because")
        assert entries == [(act, detail, [Subject(kind="actor", id=bob.id)])]

    def test_a_name_is_taken_by_any_kind(self, directory: Directory, act: Act) -> None:
        directory.create_person("bob", act=act)
        with pytest.raises(Conflict, match="an actor named bob exists already"):
            directory.create_rule("bob", act=act)
        with pytest.raises(Invalid, match="cannot be the name of a service"):
            directory.create_service("", act=act)

    def test_a_stranger_is_not_found_and_the_nearest_name_offered(
        self, directory: Directory, act: Act
    ) -> None:
        with pytest.raises(NotFound, match="did you mean 'ada'"):
            directory.get("adda")

    def test_disabling_is_journaled_once_and_keeps_the_name(
        self,
        directory: Directory,
        act: Act,
        clock: FakeClock,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        bob = directory.create_person("bob", act=act)
        entries.clear()
        disabled_us = clock.now_us()
        assert directory.disable("bob", act=act).disabled_us == disabled_us
        clock.advance(5)
        assert directory.disable(bob.id, act=act).disabled_us == disabled_us
        detail = ActorDisabled(name="bob", reason="because")
        assert entries == [(act, detail, [Subject(kind="actor", id=bob.id)])]
        with pytest.raises(Conflict):
            directory.create_person("bob", act=act)

    def test_a_callers_transaction_that_fails_leaves_nobody(
        self, directory: Directory, act: Act, database: Database
    ) -> None:
        with pytest.raises(ZeroDivisionError), database.write() as tx:
            directory.create_person("bob", act=act, tx=tx)
            raise ZeroDivisionError
        assert [actor.name for actor in directory.list()] == ["ada"]
