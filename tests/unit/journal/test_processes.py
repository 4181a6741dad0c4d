"""Several processes on one journal: each event once, one order that never changes, no loss."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fixtures import journal_writer
from fixtures import verifier as foreign_verifier
from fixtures.journals import ORIGIN, write
from millwright.core.clock import SystemClock
from millwright.core.ids import EventId
from millwright.journal.checkpoints import SigningKey, VerifierKey
from millwright.journal.log import Journal
from millwright.journal.verify import verify
from millwright.metadata.database import Database

WRITERS = 8
TESTS = Path(__file__).parents[2]

pytestmark = pytest.mark.sockets


def start(address: str, keys: Path, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(journal_writer.__file__), address, str(keys), what],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@dataclass
class Watcher:
    """Reads on and on, and keeps what it has read: it must never read otherwise later."""

    journal: Journal
    seen: list[EventId] = field(default_factory=list[EventId])
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            events = self.journal.events(after=len(self.seen) - 1, limit=500)
            assert [event.place for event in events] == list(
                range(len(self.seen), len(self.seen) + len(events))
            )
            self.seen += [event.id for event in events]
            self.stop.wait(0.05)


def bundle(journal: Journal, order: list[EventId]) -> str:
    """What an auditor is given: all leaves, many proofs, and a checkpoint."""
    size = len(order)
    proofs = [journal.prove(event) for event in order[:: max(1, size // 200)]]
    proofs += [journal.prove(order[at], at + 1 + (size - at) // 2) for at in (0, 255, 256, 500)]
    sizes = [1, 255, 256, 257, 512, size // 2, size - 1, size]
    with journal.database.read() as tx:
        leaves = tx.column(bytes, "SELECT leaf FROM event ORDER BY place")
    return json.dumps(
        {
            "leaves": [leaf.decode() for leaf in leaves],
            "proofs": [
                {
                    "index": proof.index,
                    "size": proof.size,
                    "leaf": proof.leaf.decode(),
                    "path": [step.hex() for step in proof.path],
                    "root": proof.root.hex(),
                }
                for proof in proofs
            ],
            "consistency": [
                {
                    "old": old,
                    "new": new,
                    "path": [step.hex() for step in journal.prove_consistency(old, new)],
                }
                for old in sizes
                for new in sizes
                if old <= new
            ],
            "checkpoint": journal.checkpoint(),
        }
    )


def check_with_foreign_verifier(text: str) -> subprocess.CompletedProcess[str]:
    # -I: no path of ours, no site of the user's; -S: no installed package either.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(foreign_verifier.__file__)],
        input=text, text=True, capture_output=True, check=False,
    )  # fmt: skip


# Syncing 8,000 commits to SQLite took 5 to 28 s here, depending on who else used the disk.
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.storm)])
def test_eight_writers_lose_nothing_and_agree_on_one_order(
    address: str, database: Database, keys: Path, key: SigningKey, count: int
) -> None:
    journal = Journal(database, key, SystemClock(), origin=ORIGIN)
    watcher = Watcher(journal)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    writers = [start(address, keys, str(count)) for _ in range(WRITERS)]
    written = [writer.communicate(timeout=500)[0].split() for writer in writers]
    watcher.stop.set()
    thread.join()
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    assert [len(ids) for ids in written] == [count] * WRITERS

    events = journal.events(limit=WRITERS * count + 1)
    order = [event.id for event in events]
    assert sorted(order) == sorted(event for ids in written for event in ids)
    assert watcher.seen == order[: len(watcher.seen)]
    assert len(watcher.seen) > count, "the watcher read while the others wrote"
    place = {event.id: event.place for event in events}
    for ids in written:
        assert sorted(ids, key=lambda event: place[EventId(event)]) == ids
    caused = [event for event in events if event.cause is not None]
    assert len(caused) > WRITERS * count // 2
    assert all(place[event.cause] < event.place for event in caused if event.cause is not None)

    assert verify(database, key.verifier(ORIGIN)).problems == []
    text = bundle(journal, order)
    done = check_with_foreign_verifier(text)
    assert (done.returncode, done.stderr) == (0, "")
    changed = text.replace('\\"time\\":1', '\\"time\\":2', 1)
    assert changed != text
    assert check_with_foreign_verifier(changed).returncode == 1


def test_a_writer_killed_in_its_transaction_leaves_nothing_behind(
    address: str, journal: Journal, keys: Path, verifier: VerifierKey
) -> None:
    before = write(journal, 5)
    writer = start(address, keys, "hang")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written, not committed\n"
    writer.kill()
    assert writer.wait(timeout=30) == -signal.SIGKILL
    writer.communicate()
    after = write(journal, 2)
    assert [event.id for event in journal.events()] == before + after
    assert verify(journal.database, verifier).ok


def test_writers_killed_at_work_leave_what_they_said_and_a_sound_log(
    address: str, database: Database, keys: Path, key: SigningKey
) -> None:
    writers = [start(address, keys, "100000") for _ in range(2)]
    said: list[str] = []
    for number, writer in enumerate(writers):
        assert writer.stdout is not None
        said += [writer.stdout.readline().strip() for _ in range(20 + 17 * number)]
    for writer in writers:
        writer.kill()
    for writer in writers:
        with writer:  # Not communicate(): it overlooks what readline() has read ahead.
            assert writer.stdout is not None
            said += writer.stdout.read().split()
    journal = Journal(database, key, SystemClock(), origin=ORIGIN)
    order = [event.id for event in journal.events(limit=100_000)]
    # At most one of each was committed and not yet said.
    assert len(order) - len(said) in range(3)
    assert set(said) <= set(order)
    assert len(set(order)) == len(order)
    write(journal, 1)
    assert verify(database, key.verifier(ORIGIN)).problems == []
