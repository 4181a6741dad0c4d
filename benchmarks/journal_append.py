"""Journal appends against their limit: the same bytes put into one raw SQLite table.

    python benchmarks/journal_append.py [--events 500]

Both sides use the same pragmas (WAL, synchronous=FULL) on a fresh file in the same folder. With
one event a transaction the disk's sync decides; with 100 the work done for each event does:
an id, two JSON encodings, a commitment, the tree, and four rows.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from millwright.core.clock import SystemClock
from millwright.core.ids import ActorId, ProjectId, RunId, new_id
from millwright.journal.checkpoints import SigningKey
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.migrations.upgrade import upgrade
from millwright.records.events import Act, RunStarted, Subject

ROUNDS = 5
LEAF, BODY = b"x" * 420, b"x" * 90  # the size of what the journal stores for such an event


def raw(folder: Path, *, events: int, batch: int) -> float:
    """Return the seconds that it takes SQLite alone."""
    connection = sqlite3.connect(folder / f"raw-{new_id('job')}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE entry (pk INTEGER PRIMARY KEY, leaf BLOB, body BLOB) STRICT")
    started = time.perf_counter()
    for _ in range(events // batch):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(batch):
            connection.execute("INSERT INTO entry (leaf, body) VALUES (?, ?)", (LEAF, BODY))
        connection.execute("COMMIT")
    took = time.perf_counter() - started
    connection.close()
    return took


def ours(folder: Path, *, events: int, batch: int) -> float:
    """Return the seconds that it takes the journal."""
    database = Database.at(str(folder / f"journal-{new_id('job')}.db"))
    upgrade(database)
    key = SigningKey.load_or_create(folder / "keys")
    journal = Journal(database, key, SystemClock(), origin="millwright/benchmark")
    act = Act(actor=ActorId(new_id("act")), project=ProjectId(new_id("prj")), project_key=1)
    detail = RunStarted(name="train", kind="pipeline", experiment="default")
    subject = Subject(kind="run", id=RunId(new_id("run")))
    started = time.perf_counter()
    for _ in range(events // batch):
        with database.write() as tx:
            for _ in range(batch):
                journal.append(tx, act, detail, [subject])
    took = time.perf_counter() - started
    database.close()
    return took


def best(measure: Callable[..., float], folder: Path, *, events: int, batch: int) -> float:
    """Return the events a second of the fastest of several rounds."""
    return events / min(measure(folder, events=events, batch=batch) for _ in range(ROUNDS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500, help="a multiple of 100 (default 500)")
    events = parser.parse_args().events // 100 * 100 or 100
    print(f"{events} events, best of {ROUNDS} rounds, events/s")
    print(f"{'a transaction':>14} {'raw SQLite':>11} {'journal':>9} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="mill-bench") as name:
        for batch in (1, 100):
            limit = best(raw, Path(name), events=events, batch=batch)
            found = best(ours, Path(name), events=events, batch=batch)
            print(f"{batch:>14} {limit:>11,.0f} {found:>9,.0f} {found / limit:>6.2f}")


if __name__ == "__main__":
    main()
