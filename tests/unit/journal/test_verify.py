"""What an audit finds: every way of tampering that the database allows, at its very place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest

from fixtures.journals import ACT, ORIGIN, write
from millwright.core.errors import Invalid
from millwright.core.ids import EventId, new_id
from millwright.journal import merkle
from millwright.journal.checkpoints import Checkpoint, SigningKey, VerifierKey
from millwright.journal.log import Journal
from millwright.journal.verify import Verification, verify, verify_snapshot
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables.journal import lock_sequencer
from millwright.testing.clock import FakeClock

HEAD = "the head"
LAST_CHANGED = "CAST(substr(hashes, 1, 8160) || :x AS BLOB)"
SIZE = 600  # two full tiles and a tail of 88
TABLES = (
    "event_detail", "event_subject", "event", "journal_tail", "journal_tile", "journal_head",
    "journal_checkpoint",
)  # fmt: skip
AT = "(SELECT pk FROM event WHERE place = :place)"


@dataclass(frozen=True)
class Log:
    """600 entries, with checkpoints at 300 and 600, that tests change and put back."""

    database: Database
    written: list[EventId]
    verifier: VerifierKey
    note: str
    """The checkpoint at 600, kept outside."""
    root: bytes


@contextmanager
def postgres(url: str) -> Generator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mill_tampered TEMPLATE mill_template")
        yield url.replace("/postgres", "/mill_tampered")
        connection.execute("DROP DATABASE mill_tampered WITH (FORCE)")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    folder = tmp_path_factory.mktemp("log")
    with ExitStack() as stack:
        if request.param == "sqlite":
            template: Path = request.getfixturevalue("sqlite_template")
            address = str(shutil.copy(template, folder / "millwright.db"))
        else:
            address = stack.enter_context(postgres(request.getfixturevalue("postgres_url")))
        database = Database.at(address)
        stack.callback(database.close)
        key, clock = SigningKey.load_or_create(folder / "keys"), FakeClock()
        journal = Journal(database, key, clock, origin=ORIGIN)
        written = write(journal, 299)
        clock.advance(5)
        written += write(journal, 1, act=msgspec.structs.replace(ACT, cause=written[5]))
        written += write(journal, 300)
        note = journal.checkpoint()
        yield Log(database, written, key.verifier(ORIGIN), note, journal.root())


@pytest.fixture
def tx(log: Log) -> Iterator[Writer]:
    """A transaction in which the log is tampered with; it is undone at the end."""
    with suppress(Undone), log.database.write() as tx:
        yield tx
        raise Undone


class Undone(Exception):
    pass


Audit = Callable[..., Verification]


@pytest.fixture
def audit(tx: Writer, log: Log) -> Audit:
    return partial(verify_snapshot, tx, log.verifier)


def tamper(tx: Writer, sql: str, **params: str | int | bytes | None) -> None:
    assert tx.run(sql, **params) >= 1


def delete(tx: Writer, place: int) -> None:
    for table in ("event_detail", "event_subject"):
        tx.run(f"DELETE FROM {table} WHERE event_pk = {AT}", place=place)
    assert tx.run("DELETE FROM event WHERE place = :place", place=place) == 1


def move(tx: Writer, place: int, to: int) -> None:
    assert tx.run("UPDATE event SET place = :to WHERE place = :place", place=place, to=to) == 1


def first(found: Verification) -> tuple[int | None, str]:
    assert not found.ok
    return found.problems[0].place, found.problems[0].what


class TestSound:
    def test_a_log_that_nobody_touched_is_found_sound(self, log: Log) -> None:
        found = verify(log.database, log.verifier)
        assert found == Verification(
            size=SIZE,
            root=log.root,
            problems=[],
            cannot_exclude=found.cannot_exclude,
            entries=SIZE,
            erased=0,
            tiles=2,
            checkpoints=3,
        )
        assert found.ok
        assert "whoever holds the signing key" in found.cannot_exclude[0]
        assert "newest entries could have been cut off" in found.cannot_exclude[1]

    def test_and_continues_what_it_was(self, journal: Journal, verifier: VerifierKey) -> None:
        write(journal, 5)
        note = journal.checkpoint()
        write(journal, 3)
        found = verify(journal.database, verifier, against=note)
        assert (found.ok, found.size) == (True, 8)
        (said,) = found.cannot_exclude
        assert said.startswith("entries from place 5 on, which the outside checkpoint does not")

    def test_an_empty_one_is_sound(self, database: Database, verifier: VerifierKey) -> None:
        assert verify(database, verifier).ok

    def test_a_log_of_many_tiles_is_read_one_by_one(
        self, journal: Journal, verifier: VerifierKey
    ) -> None:
        write(journal, 4 * 256)
        found = verify(journal.database, verifier)
        assert (found.ok, found.tiles, found.entries) == (True, 4, 1024)


PLACES = [0, 255, 256, 300, 511, 512, 599]


class TestOneEntry:
    @pytest.mark.parametrize("place", PLACES)
    def test_a_changed_byte_is_found(self, tx: Writer, audit: Audit, place: int) -> None:
        leaf = tx.value(bytes, "SELECT leaf FROM event WHERE place = :place", place=place)
        assert leaf is not None
        changed = leaf.replace(b'"time":1', b'"time":2')
        tamper(tx, "UPDATE event SET leaf = :x WHERE place = :place", x=changed, place=place)
        where, what = first(audit())
        assert (where, what) == (
            place,
            "the entry's bytes were changed: they do not give the hash stored with them",
        )

    @pytest.mark.parametrize("place", PLACES)
    def test_a_changed_byte_and_its_hash_are_found(
        self, tx: Writer, audit: Audit, place: int
    ) -> None:
        leaf = tx.value(bytes, "SELECT leaf FROM event WHERE place = :place", place=place)
        assert leaf is not None
        changed = leaf.replace(b'"time":1', b'"time":2')
        tamper(
            tx,
            "UPDATE event SET leaf = :leaf, leaf_hash = :hash WHERE place = :place",
            leaf=changed,
            hash=merkle.leaf_hash(changed),
            place=place,
        )
        found = audit()
        assert first(found)[0] == place
        assert "moved, swapped or rewritten" in first(found)[1]
        assert len(found.problems) == 1

    @pytest.mark.parametrize(
        ("column", "value", "what"),
        [
            ("id", new_id("evt"), "the column id says"),
            ("kind", "ModelCreated", "the column kind says 'ModelCreated', the entry 'RunStarted'"),
            ("actor", new_id("act"), "the column actor says"),
            ("time_us", 5, "the column time_us says 5"),
            ("project_id", 2, "the column project_id says 2"),
            ("leaf_hash", b"\0" * 32, "the hash stored with the entry was changed"),
        ],
        ids=["id", "kind", "actor", "time_us", "project_id", "leaf_hash"],
    )
    @pytest.mark.parametrize("place", [3, 540])
    def test_a_changed_column_is_found(
        self,
        tx: Writer,
        audit: Audit,
        *,
        place: int,
        column: str,
        value: str | int | bytes,
        what: str,
    ) -> None:
        sql = f"UPDATE event SET {column} = :value WHERE place = :place"
        tamper(tx, sql, value=value, place=place)
        found = audit()
        assert first(found)[0] == place
        assert what in first(found)[1]

    @pytest.mark.parametrize(
        ("sql", "what"),
        [
            (f"UPDATE event_subject SET id = 'run_x' WHERE event_pk = {AT}", "subjects"),
            (f"UPDATE event_subject SET kind = 'model' WHERE event_pk = {AT}", "subjects"),
            (f"DELETE FROM event_subject WHERE event_pk = {AT}", "subjects"),
            (
                f"INSERT INTO event_subject (kind, id, event_pk) VALUES ('run', 'x', {AT})",
                "subjects",
            ),
            (f"DELETE FROM event_detail WHERE event_pk = {AT}", "detail is missing"),
            (f"UPDATE event_detail SET body = NULL WHERE event_pk = {AT}", "there by half"),
            (f"UPDATE event_detail SET erased_us = 1 WHERE event_pk = {AT}", "there by half"),
            (
                f"UPDATE event_detail SET salt=NULL, body=NULL, erased_us=1 WHERE event_pk = {AT}",
                "no DetailErased event says so",
            ),
        ],
    )
    @pytest.mark.parametrize("place", [0, 599])
    def test_what_lies_beside_it_is_found_changed(
        self, tx: Writer, audit: Audit, place: int, sql: str, what: str
    ) -> None:
        tamper(tx, sql, place=place)
        found = audit()
        assert first(found)[0] == place
        assert what in first(found)[1]

    @pytest.mark.parametrize("column", ["body", "salt"])
    def test_a_changed_byte_of_a_detail_is_found(
        self, tx: Writer, audit: Audit, column: str
    ) -> None:
        at = f"FROM event_detail WHERE event_pk = {AT}"
        old = tx.value(bytes, f"SELECT {column} {at}", place=77)
        assert old is not None
        changed = old[:-2] + bytes([old[-2] ^ 1]) + old[-1:]
        sql = f"UPDATE event_detail SET {column} = :new WHERE event_pk = {AT}"
        tamper(tx, sql, new=changed, place=77)
        assert first(audit()) == (
            77,
            "the entry's detail was changed: it does not fit the entry's commitment",
        )

    def test_an_erased_detail_is_sound_when_the_log_says_so(
        self, journal: Journal, verifier: VerifierKey
    ) -> None:
        written = write(journal, 3)
        with journal.database.write() as writer:
            journal.erase_detail(writer, ACT, written[1])
        journal.settle()
        found = verify(journal.database, verifier)
        assert (found.ok, found.erased, found.size) == (True, 1, 4)
        assert "what the 1 erased details said can no longer be checked" in found.cannot_exclude

    def test_a_detail_of_another_event_does_not_fit(self, tx: Writer, audit: Audit) -> None:
        tamper(
            tx,
            "UPDATE event_detail SET body = (SELECT d.body FROM event_detail d"
            f" WHERE d.event_pk = (SELECT pk FROM event WHERE place = 10)) WHERE event_pk = {AT}",
            place=9,
        )
        assert first(audit())[0] == 9


class TestOrder:
    @pytest.mark.parametrize("place", [0, 1, 255, 256, 400, 511, 512, 550, 599])
    def test_a_deleted_entry_is_found(self, tx: Writer, audit: Audit, place: int) -> None:
        delete(tx, place)
        found = audit()
        assert first(found) == (place, f"deleted: no entry stands at place {place}")

    @pytest.mark.parametrize(("place", "last"), [(0, 599), (0, 255), (200, 299), (256, 511)])
    def test_a_run_of_deleted_entries_is_found(
        self, tx: Writer, audit: Audit, place: int, last: int
    ) -> None:
        for at in range(place, last + 1):
            delete(tx, at)
        assert first(audit())[0] == place

    @pytest.mark.parametrize("place", [0, 100, 300, 597])
    def test_a_deleted_entry_is_found_though_the_others_close_the_gap(
        self, tx: Writer, audit: Audit, place: int
    ) -> None:
        delete(tx, place)
        for at in range(place + 1, SIZE):
            move(tx, at, at - 1)
        assert first(audit())[0] == place

    @pytest.mark.parametrize(
        ("one", "other"), [(0, 1), (0, 599), (254, 255), (255, 256), (520, 521), (597, 598)]
    )
    def test_two_swapped_are_found(self, tx: Writer, audit: Audit, one: int, other: int) -> None:
        move(tx, one, 10_000)
        move(tx, other, one)
        move(tx, 10_000, other)
        found = audit()
        assert [problem.place for problem in found.problems] == [one, other]
        assert "moved, swapped or rewritten" in first(found)[1]

    def test_an_entry_moved_beyond_the_head_is_found(self, tx: Writer, audit: Audit) -> None:
        move(tx, 20, 10**15)
        found = audit()
        assert [problem.place for problem in found.problems] == [20, 10**15]

    def test_an_entry_at_no_possible_place_is_found(self, tx: Writer, audit: Audit) -> None:
        move(tx, 599, -1)
        found = audit()
        assert [problem.place for problem in found.problems] == [599, None]
        assert found.problems[1].what == "1 entries stand at places that cannot be, or twice at one"

    def test_a_cause_behind_its_effect_is_found(self, tx: Writer, log: Log, audit: Audit) -> None:
        """Somebody wrote the log anew, effects first, and covered his tracks."""
        move(tx, 5, 10_000)
        move(tx, 299, 5)
        move(tx, 10_000, 299)
        rebuild(tx)
        assert first(audit()) == (5, f"its cause {log.written[5]} does not stand before it")


def rebuild(tx: Writer) -> None:
    """Write tiles, tail and head anew and drop the checkpoints, to cover one's tracks."""
    hashes = tx.column(bytes, "SELECT leaf_hash FROM event ORDER BY place")
    for table in ("journal_tail", "journal_tile", "journal_checkpoint"):
        tx.run(f"DELETE FROM {table}")
    frontier = merkle.Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    tx.run(
        "UPDATE journal_head SET size = :size, frontier = :frontier",
        size=frontier.size,
        frontier=frontier.to_bytes(),
    )
    full = len(hashes) // 256
    for idx in range(full):
        part = hashes[idx * 256 : (idx + 1) * 256]
        tx.run(
            "INSERT INTO journal_tile (level, idx, hashes, root) VALUES (0, :i, :hashes, :root)",
            i=idx,
            hashes=b"".join(part),
            root=merkle.root(part),
        )
    for place in range(full * 256, len(hashes)):
        sql = "INSERT INTO journal_tail (place, hash) VALUES (:place, :hash)"
        tx.run(sql, place=place, hash=hashes[place])


class TestTree:
    @pytest.mark.parametrize(
        ("sql", "place", "what"),
        [
            (
                "UPDATE journal_tile SET root = :x WHERE idx = 1",
                256,
                "the hash over tile 1",
            ),
            ("UPDATE journal_tile SET hashes = :x WHERE idx = 1", 256, "has 32 bytes of hashes"),
            ("DELETE FROM journal_tile WHERE idx = 0 AND :x IS NOT NULL", 0, "is missing"),
            ("UPDATE journal_tail SET hash = :x WHERE place = 530", 530, "the tree holds another"),
            ("DELETE FROM journal_tail WHERE place = 530 AND :x IS NOT NULL", 530, "has no hash"),
            ("INSERT INTO journal_tail (place, hash) VALUES (3, :x)", 512, "the tree's tail"),
            (
                "INSERT INTO journal_tile (level, idx, hashes, root) VALUES (0, 2, :x, :x)",
                None,
                "more tiles are stored than the 2",
            ),
            (
                "INSERT INTO journal_tile (level, idx, hashes, root) VALUES (1, 0, :x, :x)",
                None,
                "more tiles are stored than the 2",
            ),
            ("DELETE FROM journal_head WHERE :x IS NOT NULL", 0, "600 entries stand beyond the 0"),
        ],
    )
    def test_a_change_of_the_tree_is_found(
        self, tx: Writer, audit: Audit, sql: str, place: int | None, what: str
    ) -> None:
        tamper(tx, sql.replace(":x IS", "CAST(:x AS TEXT) IS"), x=b"\7" * 32)
        where, said = first(audit())
        assert where == place
        assert what in said

    @pytest.mark.parametrize("place", [0, 100, 255, 256, 511])
    def test_a_changed_hash_in_a_tile_is_found(self, tx: Writer, audit: Audit, place: int) -> None:
        sql = "SELECT hashes FROM journal_tile WHERE level = 0 AND idx = :idx"
        hashes = bytearray(tx.value(bytes, sql, idx=place // 256) or b"")
        hashes[place % 256 * 32] ^= 1
        tx.run(
            "UPDATE journal_tile SET hashes = :hashes WHERE level = 0 AND idx = :idx",
            hashes=bytes(hashes),
            idx=place // 256,
        )
        assert first(audit())[0] == place

    @pytest.mark.parametrize(("root", "place"), [(0, 0), (1, 512), (2, 576), (3, 592)])
    def test_a_changed_hash_in_the_head_is_found(
        self, tx: Writer, audit: Audit, root: int, place: int
    ) -> None:
        frontier = bytearray(tx.value(bytes, "SELECT frontier FROM journal_head") or b"")
        frontier[root * 32] ^= 1
        tx.run("UPDATE journal_head SET frontier = :x", x=bytes(frontier))
        found = first(audit())
        assert found[0] == place
        assert "the head does not fit the entries" in found[1]

    @pytest.mark.parametrize("size", [601, 700, 1000, 10**15])
    def test_a_head_that_counts_too_many_is_found(
        self, tx: Writer, audit: Audit, size: int
    ) -> None:
        tamper(tx, "UPDATE journal_head SET size = :size", size=size)
        assert first(audit())[0] == SIZE

    @pytest.mark.parametrize("size", [599, 512, 300, 0])
    def test_a_head_that_was_rolled_back_is_found(
        self, tx: Writer, audit: Audit, size: int
    ) -> None:
        sql = "SELECT leaf_hash FROM event WHERE place < :size ORDER BY place"
        frontier = merkle.Frontier()
        for leaf in tx.column(bytes, sql, size=size):
            frontier.append(leaf)
        tx.run(
            "UPDATE journal_head SET size = :size, frontier = :frontier",
            size=size,
            frontier=frontier.to_bytes(),
        )
        assert first(audit()) == (
            size,
            f"{SIZE - size} entries stand beyond the {size} that the head counts",
        )


def rebuild_but_checkpoints(tx: Writer) -> None:
    kept = tx.rows(tuple[int, str], "SELECT size, note FROM journal_checkpoint")
    rebuild(tx)
    for size, note in kept:
        sql = "INSERT INTO journal_checkpoint (size, note, signed_us) VALUES (:size, :note, 0)"
        tx.run(sql, size=size, note=note)


def cut(tx: Writer, size: int) -> None:
    """Cut the log off, covering the tracks in the tree, the checkpoints left as they are."""
    for place in range(size, SIZE):
        delete(tx, place)
    rebuild_but_checkpoints(tx)


class TestCheckpoints:
    @pytest.mark.parametrize("size", [599, 300, 0])
    def test_a_log_cut_off_is_found_by_its_own_checkpoints(
        self, tx: Writer, audit: Audit, size: int
    ) -> None:
        cut(tx, size)
        what = f"the log was cut or rolled back: a signed checkpoint counts 600 entries, {HEAD}"
        assert first(audit()) == (size, f"{what} {size}")

    def test_and_without_those_by_one_kept_outside(
        self, tx: Writer, log: Log, audit: Audit
    ) -> None:
        cut(tx, 400)
        tamper(tx, "DELETE FROM journal_checkpoint WHERE size > 400")
        assert audit().ok
        what = f"the log was cut or rolled back: the outside checkpoint counts 600 entries, {HEAD}"
        assert first(audit(against=log.note)) == (400, f"{what} 400")

    def test_a_forged_checkpoint_is_found(self, tx: Writer, log: Log, audit: Audit) -> None:
        forged = log.note.replace("\n600\n", "\n700\n")
        sql = "INSERT INTO journal_checkpoint (size, note, signed_us) VALUES (700, :note, 0)"
        tamper(tx, sql, note=forged)
        where, what = first(audit())
        assert where == 699
        assert "the signature under the checkpoint of size 700 is false" in what

    @pytest.mark.parametrize("note", ["", "millwright/test\n300\n\n", "unsigned\n300\nAAAA\n"])
    def test_an_unsigned_checkpoint_is_found(self, tx: Writer, audit: Audit, note: str) -> None:
        tamper(tx, "UPDATE journal_checkpoint SET note = :note WHERE size = 300", note=note)
        where, what = first(audit())
        assert where == 299
        assert "the stored checkpoint of size 300: this is not a checkpoint" in what

    def test_a_checkpoint_stored_under_another_size_is_found(
        self, tx: Writer, audit: Audit
    ) -> None:
        tamper(tx, "UPDATE journal_checkpoint SET size = 301 WHERE size = 300")
        assert first(audit()) == (300, "the checkpoint stored under size 301 speaks of 300")

    def test_a_log_rewritten_by_who_has_no_key_is_found_between_two_checkpoints(
        self, tx: Writer, audit: Audit
    ) -> None:
        leaf = tx.value(bytes, "SELECT leaf FROM event WHERE place = 450") or b""
        changed = leaf.replace(b'"time":1', b'"time":2')
        tamper(
            tx,
            """
            UPDATE event SET leaf = :leaf, leaf_hash = :hash, time_us = :time WHERE place = 450
            """,
            leaf=changed,
            hash=merkle.leaf_hash(changed),
            time=msgspec.json.decode(changed)["time"],
        )
        rebuild_but_checkpoints(tx)
        what = (
            "rewritten: what stands at places 300 to 599 is not what the signed checkpoint of 600"
        )
        assert first(audit()) == (300, f"{what} entries was signed over")

    def test_a_log_rewritten_and_signed_again_is_found_by_a_checkpoint_kept_outside(
        self, journal: Journal, key: SigningKey, clock: FakeClock, verifier: VerifierKey
    ) -> None:
        database = journal.database
        write(journal, 60)
        note = journal.checkpoint()
        with database.write() as writer:
            for table in TABLES:
                writer.run(f"DELETE FROM {table}")
        forger = Journal(database, key, clock, origin=ORIGIN)
        for _ in range(2):
            write(forger, 40)
            forger.checkpoint()
        alone = verify(database, verifier)
        assert alone.ok
        assert "rewritten the whole log and signed it again" in alone.cannot_exclude[0]
        what = "rewritten: what stands at places 0 to 59 is not what the outside checkpoint of 60"
        assert first(verify(database, verifier, against=note)) == (
            0,
            f"{what} entries was signed over",
        )

    def test_an_outside_checkpoint_is_looked_at_also_where_an_entry_is_bad(
        self, tx: Writer, log: Log, audit: Audit
    ) -> None:
        tamper(tx, "UPDATE event SET leaf = :leaf WHERE place = 44", leaf=b"{}")
        found = audit(against=log.note)
        assert [problem.place for problem in found.problems] == [44, None]
        assert "outside checkpoint" in found.problems[1].what

    def test_an_outside_checkpoint_by_another_key_is_no_witness(
        self, log: Log, audit: Audit, tmp_path: Path
    ) -> None:
        other = SigningKey.load_or_create(tmp_path)
        found = audit(against=other.sign(Checkpoint(ORIGIN, SIZE, log.root)))
        assert first(found)[0] is None
        assert "the outside checkpoint: the checkpoint of size 600 is not signed" in first(found)[1]
        assert "signing key" in found.cannot_exclude[0]

    def test_an_outside_text_that_is_no_checkpoint_is_invalid(self, audit: Audit) -> None:
        with pytest.raises(Invalid, match="this is not a checkpoint"):
            audit(against="hello")


class TestWithoutPlace:
    @pytest.mark.parametrize("log", ["sqlite"], indirect=True)
    def test_an_event_without_a_place_is_found(self, tx: Writer, audit: Audit) -> None:
        tamper(tx, "UPDATE event SET place = NULL WHERE place = 599")
        found = audit()
        assert [problem.place for problem in found.problems] == [599, None]
        assert found.problems[1].what == "1 events have no place in the journal"

    @pytest.mark.parametrize("address", ["postgresql"], indirect=True)
    def test_on_postgresql_it_is_said_that_it_was_not_looked_at(
        self, journal: Journal, verifier: VerifierKey
    ) -> None:
        with journal.database.write() as other:
            lock_sequencer(other)
            write(journal, 2)
        found = verify(journal.database, verifier)
        assert found.ok
        assert found.cannot_exclude[-1].startswith("2 committed events have no place yet")


@pytest.mark.storm
@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_tiles_of_tiles_are_audited(journal: Journal, verifier: VerifierKey) -> None:
    while journal.size() < 256 * 256 + 300:
        write(journal, 4096)
    found = verify(journal.database, verifier)
    assert (found.ok, found.entries, found.tiles) == (True, 17 * 4096, 17 * 16 + 1)
    for sql, place in (
        ("UPDATE journal_tile SET root = :x WHERE level = 1", 0),
        # The last of the 256 hashes: the one over the entries from 65,280 on.
        (f"UPDATE journal_tile SET hashes = {LAST_CHANGED} WHERE level = 1", 255 * 256),
        ("DELETE FROM journal_tile WHERE level = 1 AND :x IS NOT NULL", 0),
    ):
        with suppress(Undone), journal.database.write() as tx:
            tamper(tx, sql, x=b"\7" * 32)
            assert first(verify_snapshot(tx, verifier))[0] == place
            raise Undone
