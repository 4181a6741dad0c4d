from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path

import msgspec
import pytest

from fixtures.journals import ACT, ORIGIN, run_subject, write
from millwright.core.errors import Conflict, Corrupt, Denied, Invalid, NotFound, TimedOut
from millwright.core.ids import EventId, new_id
from millwright.journal import checkpoints, merkle
from millwright.journal.checkpoints import Checkpoint, SigningKey, VerifierKey
from millwright.journal.log import Journal
from millwright.journal.verify import verify
from millwright.metadata.database import Database
from millwright.metadata.dialects import Postgres
from millwright.metadata.tables import journal as rows
from millwright.metadata.tables import journal_tree as tree
from millwright.records.events import DetailErased, Event, RunFinished, RunStarted, Subject
from millwright.testing.clock import FakeClock

UNKNOWN = EventId(new_id("evt"))


def ids(events: list[Event]) -> list[EventId]:
    return [event.id for event in events]


class Interrupted(Postgres):
    """Lets something happen between two statements of a transaction, once."""

    def __init__(self, address: str, *, before: str, do: Callable[[], None]) -> None:
        super().__init__(address)
        self._before = before
        self._todo = [do]

    def sql(self, text: str) -> str:
        if self._before in text and self._todo:
            self._todo.pop()()
        return super().sql(text)


def stored_sizes(database: Database) -> list[int]:
    with database.read() as tx:
        return [stored.size for stored in tree.read_checkpoints(tx, begin=0, limit=100)]


class TestAppending:
    def test_an_event_is_read_back_as_it_was_written(
        self, journal: Journal, clock: FakeClock
    ) -> None:
        (cause,) = write(journal, 1)
        subjects = [
            Subject(kind="run", id=new_id("run"), digest="b3:" + "a" * 64),
            Subject(kind="model", id=new_id("mod")),
        ]
        act = msgspec.structs.replace(ACT, cause=cause, reason="by hand")
        with journal.database.write() as tx:
            event = journal.append(tx, act, RunFinished(name="n", status="failed"), subjects)
        assert journal.get(event) == Event(
            id=event,
            place=1,
            kind="RunFinished",
            kind_version=1,
            project=ACT.project,
            actor=ACT.actor,
            time_us=clock.now_us(),
            subjects=subjects,
            cause=cause,
            request=None,
            detail={"reason": "by hand", "name": "n", "status": "failed", "error": None},
        )

    def test_it_is_undone_with_the_transaction_it_is_written_in(self, journal: Journal) -> None:
        write(journal, 2)
        root = journal.root()
        with pytest.raises(ZeroDivisionError), journal.database.write() as tx:
            journal.append(tx, ACT, RunStarted(name="n", kind="k", experiment="e"))
            raise ZeroDivisionError
        assert (journal.size(), journal.root(), len(journal.events())) == (2, root, 2)

    def test_a_leaf_tells_no_name_and_no_figure(self, journal: Journal) -> None:
        (event,) = write(journal, 1)
        leaf = journal.prove(event).leaf.decode()
        assert "secret name" not in leaf
        assert ACT.reason not in leaf

    def test_a_cause_must_be_there_before_its_effect(self, journal: Journal) -> None:
        act = msgspec.structs.replace(ACT, cause=UNKNOWN)
        with pytest.raises(Invalid, match="is not an event of this journal"):
            write(journal, 1, act=act)
        with journal.database.write() as tx:
            detail = RunStarted(name="n", kind="k", experiment="e")
            cause = journal.append(tx, ACT, detail)
            effect = journal.append(tx, msgspec.structs.replace(ACT, cause=cause), detail)
        assert (journal.place_of(cause), journal.place_of(effect)) == (0, 1)


class TestReading:
    def test_events_come_by_place_in_pages_and_backwards(self, journal: Journal) -> None:
        written = write(journal, 7)
        assert ids(journal.events()) == written
        assert ids(journal.events(limit=3)) == written[:3]
        assert ids(journal.events(after=2, limit=3)) == written[3:6]
        assert ids(journal.events(after=6)) == []
        assert ids(journal.events(newest_first=True, limit=2)) == [written[6], written[5]]
        assert ids(journal.events(newest_first=True, before=5, limit=2)) == [written[4], written[3]]

    def test_events_are_chosen_by_kind_project_and_subject(self, journal: Journal) -> None:
        (first,) = write(journal, 1)
        subject = run_subject()
        elsewhere = msgspec.structs.replace(ACT, project=new_id("prj"), project_key=2)
        with journal.database.write() as tx:
            second = journal.append(tx, ACT, RunFinished(name="n", status="ok"), [subject])
            third = journal.append(tx, elsewhere, RunFinished(name="n", status="ok"), [subject])
        about = (subject.kind, subject.id)
        assert ids(journal.events(kinds=["RunFinished"])) == [second, third]
        assert ids(journal.events(kinds=[])) == []
        assert ids(journal.events(project=1)) == [first, second]
        assert ids(journal.events(subject=about)) == [second, third]
        assert ids(journal.events(subject=about, project=2, kinds=["RunFinished"])) == [third]
        assert ids(journal.events(subject=("model", subject.id))) == []

    def test_an_unknown_event_is_not_found(self, journal: Journal) -> None:
        for ask in (journal.get, journal.place_of, journal.prove):
            with pytest.raises(NotFound, match=UNKNOWN):
                ask(UNKNOWN)

    def test_waiting_for_a_place_ends(self, journal: Journal, clock: FakeClock) -> None:
        (event,) = write(journal, 1)
        assert journal.wait_place(event, 0) == 0
        before = clock.monotonic_s()
        with pytest.raises(TimedOut, match=r"not committed within 1\.5 s"):
            journal.wait_place(UNKNOWN, 1.5)
        assert 1.5 <= clock.monotonic_s() - before < 1.6


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
class TestSequencing:
    """On PostgreSQL a place is given after the commit; SQLite gives it in the same transaction."""

    def test_an_event_left_without_a_place_gets_one_when_somebody_reads(
        self, database: Database, key: SigningKey, clock: FakeClock
    ) -> None:
        writer = Journal(database, key, clock, origin=ORIGIN)
        # Somebody holds the lock while the event is committed, and dies without looking again.
        # The writer does not wait for him.
        with database.write() as other:
            rows.lock_sequencer(other)
            (event,) = write(writer, 1)
            with database.read() as tx:
                assert rows.find_place(tx, event) is None
        reader = Journal(database, None, clock, origin=ORIGIN)
        assert ids(reader.events()) == [event]

    def test_a_transaction_that_ends_late_is_placed_behind_what_was_read(
        self, journal: Journal
    ) -> None:
        detail = RunStarted(name="n", kind="k", experiment="e")
        with journal.database.write() as slow:
            late = journal.append(slow, ACT, detail)
            (early,) = write(journal, 1)
            assert ids(journal.events()) == [early]
        assert ids(journal.events()) == [early, late]


class TestProofs:
    # 70,000 entries would make tiles of level 2; 600 make three of level 0, one of them partial.
    COUNT = 600

    def test_every_event_is_proved_in_the_tree_of_any_size(self, journal: Journal) -> None:
        written = write(journal, self.COUNT)
        for place in (0, 1, 255, 256, 257, 511, 512, 598, 599):
            for size in {place + 1, min(place + 3, self.COUNT), 512, self.COUNT}:
                if size > place:
                    proof = journal.prove(written[place], size)
                    assert (proof.index, proof.size) == (place, size)
                    assert json.loads(proof.leaf)["id"] == written[place]
                    assert merkle.verify_inclusion(
                        merkle.leaf_hash(proof.leaf),
                        index=place,
                        size=size,
                        path=proof.path,
                        root=proof.root,
                    )
        assert journal.prove(written[3]).root == journal.root()

    def test_every_state_continues_the_earlier_ones(self, journal: Journal) -> None:
        roots: dict[int, bytes] = {}
        for count in (0, 1, 254, 1, 1, 100, 156, 87):
            write(journal, count)
            roots[journal.size()] = journal.root()
        for (old, old_root), (new, new_root) in combinations_with_replacement(roots.items(), 2):
            path = journal.prove_consistency(old, new)
            assert merkle.verify_consistency(
                old=old, new=new, old_root=old_root, new_root=new_root, path=path
            )

    def test_nothing_is_proved_about_entries_that_are_not_there(self, journal: Journal) -> None:
        written = write(journal, 3)
        with pytest.raises(Invalid, match="has 3 entries, not 4"):
            journal.prove(written[0], 4)
        with pytest.raises(Invalid, match="entry 2 is not among the first 2"):
            journal.prove(written[2], 2)
        with pytest.raises(Invalid, match="has 3 entries, not 4"):
            journal.prove_consistency(1, 4)

    def test_a_changed_entry_is_not_proved(self, journal: Journal) -> None:
        written = write(journal, 3)
        with journal.database.write() as tx:
            tx.run("UPDATE event SET leaf = :leaf WHERE place = 1", leaf=b"{}")
        with pytest.raises(Corrupt, match="the entry at place 1 is not what"):
            journal.prove(written[1])


class TestCheckpoints:
    def test_it_says_how_far_the_journal_reaches(
        self, journal: Journal, verifier: VerifierKey
    ) -> None:
        assert checkpoints.verify(journal.checkpoint(), verifier).size == 0
        write(journal, 5)
        note = journal.checkpoint()
        assert checkpoints.verify(note, verifier) == Checkpoint(ORIGIN, 5, journal.root())
        assert journal.checkpoint() == note

    def test_at_most_one_a_second_is_signed_while_events_come(
        self, journal: Journal, clock: FakeClock
    ) -> None:
        for _ in range(4):
            write(journal, 1)
            clock.advance(0.3)
        assert stored_sizes(journal.database) == [1]
        write(journal, 1)
        assert stored_sizes(journal.database) == [1, 5]
        write(journal, 1)
        journal.close()
        assert stored_sizes(journal.database) == [1, 5, 6]

    def test_processes_that_write_by_turns_sign_no_more_often(
        self, journal: Journal, key: SigningKey, clock: FakeClock
    ) -> None:
        write(journal, 1)
        other = Journal(journal.database, key, clock, origin=ORIGIN)
        write(other, 1)
        assert stored_sizes(journal.database) == [1]

    def test_who_only_reads_signs_nothing(
        self, journal: Journal, key: SigningKey, clock: FakeClock
    ) -> None:
        write(journal, 1)
        write(journal, 1)
        reader = Journal(journal.database, key, clock, origin=ORIGIN)
        reader.events()
        reader.close()
        assert stored_sizes(journal.database) == [1]

    def test_who_has_no_key_writes_but_cannot_sign(
        self, database: Database, clock: FakeClock
    ) -> None:
        journal = Journal(database, None, clock, origin=ORIGIN)
        write(journal, 1)
        journal.close()
        assert journal.size() == 1
        with pytest.raises(Denied, match="cannot sign a checkpoint"):
            journal.checkpoint()

    def test_a_log_that_was_rewound_is_not_signed_again(
        self, journal: Journal, clock: FakeClock
    ) -> None:
        write(journal, 4)
        journal.checkpoint()
        with journal.database.write() as tx:
            for table in ("event_detail", "event_subject", "event", "journal_tail", "journal_head"):
                tx.run(f"DELETE FROM {table}")
        clock.advance(5)
        write(journal, 2)
        with pytest.raises(Corrupt, match="of 2 entries does not continue its own checkpoint of 4"):
            journal.checkpoint()
        write(journal, 3)
        with pytest.raises(Corrupt, match="of 5 entries does not continue its own checkpoint of 4"):
            journal.checkpoint()

    @pytest.mark.parametrize("address", ["postgresql"], indirect=True)
    def test_a_checkpoint_that_another_process_signs_meanwhile_is_no_alarm(
        self,
        address: str,
        journal: Journal,
        key: SigningKey,
        clock: FakeClock,
        verifier: VerifierKey,
    ) -> None:
        write(journal, 3)

        def meanwhile() -> None:
            write(journal, 300)
            assert journal.checkpoint().split("\n")[1] == "303"

        database = Database(Interrupted(address, before="ORDER BY size DESC", do=meanwhile))
        other = Journal(database, key, clock, origin=ORIGIN)
        clock.advance(5)
        with journal.database.write() as tx:
            tx.run("DELETE FROM journal_checkpoint")
        assert other.checkpoint().split("\n")[1] == "3"
        assert stored_sizes(journal.database) == [3, 303]
        assert verify(journal.database, verifier).ok
        database.close()

    def test_an_origin_that_cannot_be_signed_is_refused_at_once(
        self, database: Database, key: SigningKey, clock: FakeClock
    ) -> None:
        with pytest.raises(Invalid, match="cannot name a key"):
            Journal(database, key, clock, origin="two words")

    @pytest.mark.parametrize("address", ["sqlite"], indirect=True)
    def test_the_signing_key_is_not_in_the_database(
        self, journal: Journal, keys: Path, address: str
    ) -> None:
        write(journal, 3)
        journal.checkpoint()
        text = (keys / "journal.key").read_text().split("\n")[1]
        seed = base64.b64decode(text)[-32:]
        files = list(Path(address).parent.glob("millwright.db*"))
        assert files
        for path in files:
            assert text.encode() not in path.read_bytes()
            assert seed not in path.read_bytes()


class TestErasing:
    def test_the_detail_goes_and_everything_else_stays(self, journal: Journal) -> None:
        first, second = write(journal, 2)
        root = journal.root()
        with journal.database.write() as tx:
            by = journal.erase_detail(tx, ACT, first)
        assert journal.get(first).detail is None
        assert journal.get(second).detail is not None
        event = journal.get(by)
        assert (event.kind, event.subjects) == (
            DetailErased.__name__,
            [Subject(kind="event", id=first)],
        )
        assert journal.prove(first, 2).root == root

    def test_it_goes_once(self, journal: Journal) -> None:
        (event,) = write(journal, 1)
        with journal.database.write() as tx:
            journal.erase_detail(tx, ACT, event)
        with pytest.raises(Conflict, match="erased before"), journal.database.write() as tx:
            journal.erase_detail(tx, ACT, event)
        with pytest.raises(NotFound), journal.database.write() as tx:
            journal.erase_detail(tx, ACT, UNKNOWN)


def test_a_damaged_head_stops_appending(journal: Journal) -> None:
    write(journal, 3)
    with journal.database.write() as tx:
        tx.run("UPDATE journal_head SET size = 4")
    if journal.database.dialect.name == "sqlite":
        with pytest.raises(Corrupt, match="head holds 64 bytes of hashes for 4 entries"):
            write(journal, 1)
    else:
        write(journal, 1)  # Kept, but without a place until the store is repaired.
        with pytest.raises(Corrupt, match="head holds 64 bytes of hashes for 4 entries"):
            journal.events()
