"""Who acts: the people, service accounts and rules of a home."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from millwright.core.clock import Clock
from millwright.core.errors import Conflict, NotFound
from millwright.core.ids import ActorId, EventId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import access as table
from millwright.records.access import Actor, ActorKind
from millwright.records.events import Act, ActorCreated, ActorDisabled, Detail, Subject


class Recorder(Protocol):
    """Writes an event in the transaction that makes it true, as the journal does."""

    def append(
        self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject], /
    ) -> EventId:
        """Write the event and return its id."""
        ...


class Directory:
    """The actors of a home; names are unique across their kinds, and never given twice.

    Who writes takes `tx` to be part of a larger transaction, and opens its own without.
    Permission is checked by the door that calls, not here.
    """

    def __init__(self, database: Database, recorder: Recorder, clock: Clock) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock

    def create_person(
        self, name: str, *, act: Act, actor_id: ActorId | None = None, tx: Writer | None = None
    ) -> Actor:
        """Add a person and return him; raises Conflict when the name is taken.

        `actor_id` is for a home's first person, who makes himself and is named in `act`.
        """
        return self._create(ActorKind.PERSON, name, act, actor_id, tx)

    def create_service(self, name: str, *, act: Act, tx: Writer | None = None) -> Actor:
        """Add a service account and return it; raises Conflict when the name is taken."""
        return self._create(ActorKind.SERVICE, name, act, None, tx)

    def create_rule(self, name: str, *, act: Act, tx: Writer | None = None) -> Actor:
        """Add a rule's identity and return it; raises Conflict when the name is taken."""
        return self._create(ActorKind.RULE, name, act, None, tx)

    def get(self, text: str) -> Actor:
        """Return the actor with that name or id; raises NotFound."""
        with self._database.read() as tx:
            return read_actor(tx, text)

    def list(self) -> list[Actor]:
        """Return all actors by name, disabled ones too."""
        with self._database.read() as tx:
            return table.list_actors(tx)

    def disable(self, text: str, *, act: Act, tx: Writer | None = None) -> Actor:
        """Let the actor with that name or id act no more; doing it again changes nothing.

        Its tokens open nothing from now on; its name stays taken, so that old events keep their
        meaning. Raises NotFound.
        """
        with self._writing(tx) as writer:
            actor = read_actor(writer, text)
            if table.disable_actor(writer, actor.id, now_us=self._clock.now_us()):
                subject = Subject(kind="actor", id=actor.id)
                detail = ActorDisabled(name=actor.name, reason=act.reason)
                self._recorder.append(writer, act, detail, [subject])
            return read_actor(writer, actor.id)

    def _create(
        self,
        kind: ActorKind,
        name: str,
        act: Act,
        actor_id: ActorId | None,
        tx: Writer | None,
    ) -> Actor:
        actor = Actor(
            id=actor_id or ActorId(new_id("act")),
            kind=kind,
            name=check_name(name, kind.value),
            created_us=self._clock.now_us(),
        )
        with self._writing(tx) as writer:
            if not table.insert_actor(writer, actor):
                raise Conflict(
                    f"an actor named {name} exists already",
                    why="people, services and rules share one set of names, disabled ones too",
                    fix="choose another name, or see: mill user list",
                )
            detail = ActorCreated(kind=kind.value, name=name, reason=act.reason)
            self._recorder.append(writer, act, detail, [Subject(kind="actor", id=actor.id)])
        return actor

    def _writing(self, tx: Writer | None) -> AbstractContextManager[Writer]:
        return self._database.write() if tx is None else nullcontext(tx)


def read_actor(tx: Reader, text: str) -> Actor:
    """Return the actor with that name or id; raises NotFound."""
    actor = table.find_actor(tx, text)
    if actor is None:
        near = did_you_mean(text, (actor.name for actor in table.list_actors(tx)))
        raise NotFound(f"no actor {text!r}", why=near, fix="see who there is: mill user list")
    return actor
