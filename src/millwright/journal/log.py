"""The journal: what happened, in one order that never changes, with proofs.

An event is written in the caller's transaction, so that the change and its record are kept
together or not at all. Its place in the tree is a second thing.

SQLite has one writer at a time, and the place is given in the same transaction. PostgreSQL has
many, and the place is given after the commit: `sequencer` says how and why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
)
from millwright.core.ids import EventId, new_id
from millwright.journal import checkpoints, leaves, merkle, sequencer
from millwright.journal.checkpoints import Checkpoint, SigningKey
from millwright.journal.leaves import UPCASTS, Upcast
from millwright.journal.tiles import TileReader, extend
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import journal as rows
from millwright.metadata.tables import journal_tree as tree
from millwright.records.events import Act, Detail, DetailErased, Event, Subject

CHECKPOINT_EVERY_US = US_PER_S
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Proof:
    """Shows that an event stands in the journal; checked by `merkle.verify_inclusion`."""

    index: int
    """Its place."""
    size: int
    """How many entries the tree under `root` has."""
    path: list[bytes]
    leaf: bytes
    """The entry's own bytes."""
    root: bytes


class Journal:
    """The journal of one home; safe to use from several threads and processes.

    `origin` names the journal in its checkpoints. Without a key it records and reads, and
    leaves signing to those who have one.
    """

    def __init__(
        self,
        database: Database,
        key: SigningKey | None,
        clock: Clock,
        *,
        origin: str,
        upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS,
    ) -> None:
        if key is not None:
            key.verifier(origin)  # An origin that cannot be signed is found now, not at a commit.
        self.database = database
        self._key = key
        self._clock = clock
        self._origin = origin
        self._upcasts = upcasts
        self._places_later = database.dialect.name != "sqlite"
        self._looked_us = 0
        self._has_appended = False

    # Writing

    def append(
        self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject] = ()
    ) -> EventId:
        """Write an event in the caller's transaction and return its id.

        Raises Invalid when the act's cause is not in the journal or in this transaction, when an
        id is none, a subject is named twice, or leaf or detail are too large.
        """
        tx.require_durable()
        if act.cause is not None and not rows.has_event(tx, act.cause):
            raise Invalid(
                f"the cause {act.cause} is not an event of this journal",
                why="a cause stands before its effects",
                fix="append the cause first, in this transaction or an earlier one",
            )
        event = EventId(new_id("evt"))
        time_us = self._clock.now_us()
        body = leaves.encode_detail(detail, reason=act.reason)
        salt = os.urandom(leaves.SALT_BYTES)
        leaf = leaves.encode_leaf(
            event,
            act=act,
            detail=type(detail),
            time_us=time_us,
            subjects=subjects,
            commit=leaves.commitment(salt, body),
        )
        leaf_hash = merkle.leaf_hash(leaf)
        head = None if self._places_later else tree.read_head(tx)
        pk = rows.insert_event(
            tx,
            id=event,
            place=None if head is None else head.size,
            project_key=act.project_key,
            kind=type(detail).__name__,
            actor=act.actor,
            time_us=time_us,
            leaf=leaf,
            leaf_hash=leaf_hash,
        )
        rows.insert_detail(tx, pk, salt=salt, body=body)
        rows.insert_subjects(tx, pk, [(subject.kind, subject.id) for subject in subjects])
        if head is not None:
            extend(tx, head, [leaf_hash])
        tx.after_commit("journal", self._after_commit)
        return event

    def erase_detail(self, tx: Writer, act: Act, event_id: EventId) -> EventId:
        """Delete an event's detail and say so in a new event, whose id is returned.

        The leaf and all proofs stand. Raises NotFound when there is no such event and Conflict
        when its detail has been erased before.
        """
        if not rows.erase_detail(tx, event_id, erased_us=self._clock.now_us()):
            if not rows.has_event(tx, event_id):
                raise _unknown(event_id)
            raise Conflict(f"the detail of {event_id} has been erased before")
        return self.append(
            tx, act, DetailErased(event=event_id), [Subject(kind="event", id=event_id)]
        )

    def settle(self) -> None:
        """See to it that every event committed before this call has a place.

        Every method that reads does so first. Not to be called where a lock is held that
        another writer needs.
        """
        if self._places_later:
            sequencer.place_all(self.database)

    def close(self) -> None:
        """Sign what this journal object has appended, unless it is signed already."""
        if self._has_appended and self._key is not None:
            self.checkpoint()

    # Reading

    def events(
        self,
        *,
        after: int = -1,
        before: int | None = None,
        limit: int = 1000,
        project: int | None = None,
        kinds: Sequence[str] | None = None,
        subject: tuple[str, str] | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        """Return up to `limit` events between two places (both exclusive), in order of place.

        `project` is a project's integer key, `subject` the kind and id of one thing.
        """
        self.settle()
        with self.database.read() as tx:
            found = rows.read_events(
                tx,
                after=after,
                before=before,
                limit=limit,
                project=project,
                kinds=kinds,
                subject=subject,
                newest_first=newest_first,
            )
        return [self._to_event(row) for row in found]

    def get(self, event_id: EventId) -> Event:
        """Return one event; raises NotFound."""
        self.settle()
        with self.database.read() as tx:
            row = rows.find_event(tx, event_id)
        if row is None:
            raise _unknown(event_id)
        return self._to_event(row)

    def place_of(self, event_id: EventId) -> int:
        """Return where an event stands; raises NotFound."""
        self.settle()
        with self.database.read() as tx:
            return _place_of(tx, event_id)

    def wait_place(self, event_id: EventId, timeout_s: float) -> int:
        """Return where an event stands, waiting for its writer's commit; raises TimedOut."""
        deadline = self._clock.monotonic_s() + timeout_s
        while True:
            with suppress(NotFound):
                return self.place_of(event_id)
            if self._clock.monotonic_s() >= deadline:
                raise TimedOut(
                    f"the event {event_id} was not committed within {timeout_s:g} s",
                    why="its transaction is still open or was undone",
                )
            self._clock.sleep(POLL_S)

    def size(self) -> int:
        """Return how many events have a place."""
        return self._read_frontier().size

    def root(self) -> bytes:
        """Return the hash over all events that have a place."""
        return self._read_frontier().root()

    # Proving

    def prove(self, event_id: EventId, size: int | None = None) -> Proof:
        """Return the proof that an event is among the first `size` entries (by default all).

        Raises NotFound, Invalid when the journal has fewer entries or the event stands behind
        them, and Corrupt when what is stored does not prove it.
        """
        self.settle()
        with self.database.read() as tx:
            row = rows.find_event(tx, event_id)
            if row is None:
                raise _unknown(event_id)
            size = _check_size(tx, size)
            subtree = TileReader(tx).subtree
            path = merkle.inclusion_path(row.place, size, subtree)
            root = merkle.root_at(size, subtree)
        leaf_hash = merkle.leaf_hash(row.leaf)
        if not merkle.verify_inclusion(leaf_hash, index=row.place, size=size, path=path, root=root):
            raise Corrupt(
                f"the entry at place {row.place} is not what the journal's tree holds there",
                why="the store was changed by something other than Millwright",
                fix="run `mill audit verify`; restore the store from a backup",
            )
        return Proof(index=row.place, size=size, path=path, leaf=row.leaf, root=root)

    def prove_consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the first `new` entries (by default all) begin with the `old`.

        Checked by `merkle.verify_consistency`. Raises Invalid when the journal has fewer.
        """
        self.settle()
        with self.database.read() as tx:
            new = _check_size(tx, new)
            return merkle.consistency_path(old, new, TileReader(tx).subtree)

    def checkpoint(self) -> str:
        """Sign how far the journal reaches, keep the signed note and return it.

        A size is signed once; asked again, the kept note is returned. Not to be called inside a
        transaction that writes. Raises Denied without a signing key, and Corrupt, signing nothing,
        when the log does not continue the newest checkpoint.
        """
        if self._key is None:
            raise Denied(
                "this process cannot sign a checkpoint",
                why="it has no signing key",
                fix="ask where the home's keys/ folder is, or take the newest stored checkpoint",
            )
        self.settle()
        return self._sign(self._key)

    # After a commit

    def _after_commit(self) -> None:
        self._has_appended = True
        # The caller's change is kept: whatever fails here must not make it look undone. Who
        # reads next gives the places, and the next commit signs.
        with suppress(MillwrightError):
            if self._places_later:
                sequencer.try_to_place(self.database)
            self._sign_when_due()

    def _sign_when_due(self) -> None:
        now = self._clock.now_us()
        if self._key is None or 0 <= now - self._looked_us < CHECKPOINT_EVERY_US:
            return
        self._looked_us = now
        with self.database.read() as tx:
            newest = tree.find_newest_checkpoint(tx)
        if newest is None or not 0 <= now - newest.signed_us < CHECKPOINT_EVERY_US:
            # What is placed is signed: a writer waits for no sequencer.
            self._sign(self._key)

    def _sign(self, key: SigningKey) -> str:
        # One snapshot of head, tiles and newest checkpoint: a writing transaction on PostgreSQL
        # has one for each statement, and would see what another process has placed and signed
        # in between as a tree that does not continue its checkpoints.
        with self.database.read() as tx:
            head = tree.read_head(tx)
            stored = tree.find_checkpoint(tx, head.size)
            if stored is not None:
                return stored.note
            frontier = merkle.Frontier.from_bytes(head.size, head.frontier)
            _check_continues(tx, frontier)
        note = key.sign(Checkpoint(self._origin, frontier.size, frontier.root()))
        signed_us = self._clock.now_us()
        with self.database.write() as tx:
            tree.insert_checkpoint(tx, tree.StoredCheckpoint(head.size, note, signed_us))
            kept = tree.find_checkpoint(tx, head.size)
        assert kept is not None, "a checkpoint is never deleted"
        return kept.note

    def _read_frontier(self) -> merkle.Frontier:
        self.settle()
        with self.database.read() as tx:
            head = tree.read_head(tx)
        return merkle.Frontier.from_bytes(head.size, head.frontier)

    def _to_event(self, row: rows.StoredEvent) -> Event:
        return leaves.to_event(row.place, row.leaf, row.body, upcasts=self._upcasts)


def _place_of(tx: Reader, event_id: EventId) -> int:
    place = rows.find_place(tx, event_id)
    if place is None:
        raise _unknown(event_id)
    return place


def _check_size(tx: Reader, size: int | None) -> int:
    have = tree.read_head(tx).size
    if size is None:
        return have
    if not 0 <= size <= have:
        raise Invalid(f"the journal has {have} entries, not {size}")
    return size


def _check_continues(tx: Reader, frontier: merkle.Frontier) -> None:
    # tlog-checkpoint: a log must not sign what is inconsistent with what it signed before.
    newest = tree.find_newest_checkpoint(tx)
    if newest is None:
        return
    before = checkpoints.parse(newest.note)
    path = (
        merkle.consistency_path(before.size, frontier.size, TileReader(tx).subtree)
        if before.size <= frontier.size
        else []
    )
    if not merkle.verify_consistency(
        old=before.size,
        new=frontier.size,
        old_root=before.root,
        new_root=frontier.root(),
        path=path,
    ):
        raise Corrupt(
            f"the journal of {frontier.size} entries does not continue its own checkpoint of"
            f" {before.size}",
            why="the store was changed by something other than Millwright",
            fix="run `mill audit verify`; restore the store from a backup",
        )


def _unknown(event_id: str) -> NotFound:
    return NotFound(f"there is no event {event_id}", fix="list events with `mill audit list`")
