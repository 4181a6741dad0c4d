"""Following the journal: each event is worked on once, in order, whoever does the work.

How far a follower has come is stored beside what it does, and moves in the same transaction as
the effect: after a crash either both are there or neither.
"""

from __future__ import annotations

from millwright.core.errors import Conflict, Invalid
from millwright.journal.log import Journal
from millwright.metadata.database import Writer
from millwright.metadata.tables import journal as rows
from millwright.records.events import Event


class Follower:
    """One process's view of a named follower; several processes may share the name.

    Not for use by several threads at once.

        for event in follower.take(100):
            with journal.database.write() as tx:
                ...the effect...
                follower.advance(tx, event.place)
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name
        self._next = 0

    def take(self, limit: int) -> list[Event]:
        """Return up to `limit` events that no follower of this name has done, oldest first."""
        with self._journal.database.read() as tx:
            self._next = rows.find_next_place(tx, self._name) or 0
        return self._journal.events(after=self._next - 1, limit=limit)

    def advance(self, tx: Writer, place: int) -> None:
        """Note, in the transaction of their effects, that the events up to `place` are done.

        Raises Conflict, which undoes the effects, when another process has done some of them
        since `take`; then take again. After a transaction that was undone take again, too.
        """
        if place < self._next:
            raise Invalid(f"the follower {self._name} is past place {place}; it is at {self._next}")
        if not rows.advance_follower(tx, self._name, found=self._next, then=place + 1):
            raise Conflict(
                f"another process follows the journal as {self._name} and was faster",
                why=f"the follower no longer stands at place {self._next}",
                fix="take the events again",
            )
        self._next = place + 1
