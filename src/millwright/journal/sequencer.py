"""Giving places on PostgreSQL: one order for events that many transactions commit at once.

Neither the order of keys nor that of clocks is the order of commits: a place taken before the
commit could be taken behind a reader who has already passed. So an event is committed without
a place, and whoever holds the sequencer's lock then places all it can see, by key, in one
statement.

That statement has one snapshot, and keys within it put causes before effects. An effect is
refused unless its transaction sees its cause; so the cause had drawn its key before, and is
visible wherever the effect is. It stands in an earlier batch, or in this one before the effect.
Each event gets one place, since only the holder of the lock gives any; and a place stays, since
only events without one are given one.

Tried by others and slower: locking the head's row in the caller's transaction, which orders
whole transactions instead of their records (a sixth of the throughput with 8 writers).
"""

from __future__ import annotations

from millwright.journal.tiles import extend
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import journal as rows
from millwright.metadata.tables import journal_tree as tree

BATCH_EVENTS = 4096
MAX_ROUNDS = 16


def place_all(database: Database) -> None:
    """Wait until every event committed before this call has a place, giving it where it lacks."""
    with database.read() as tx:
        waiting = rows.has_unplaced(tx)
    while waiting:
        with database.write() as tx:
            rows.lock_sequencer(tx)
            waiting = _place(tx) == BATCH_EVENTS


def try_to_place(database: Database) -> None:
    """Give places to what waits, unless somebody else is about it; never wait."""
    # Whoever fails to get the lock relies on its holder to look again after letting it go: the
    # failing writer had committed before it tried. The rounds are bounded so that nobody works
    # for the others for ever; what then is left over is placed by the next writer or reader.
    for _ in range(MAX_ROUNDS):
        with database.write() as tx:
            if not rows.try_lock_sequencer(tx):
                return
            _place(tx)
        with database.read() as tx:
            if not rows.has_unplaced(tx):
                return


def _place(tx: Writer) -> int:
    # READ COMMITTED: each statement has a snapshot of its own. The lock was taken by an earlier
    # statement, so these see the head that its last holder left. Nothing here waits for
    # another lock: no open transaction holds a row that is touched.
    head = tree.read_head(tx)
    hashes = rows.place_batch(tx, first=head.size, limit=BATCH_EVENTS)
    if hashes:
        extend(tx, head, hashes)
    return len(hashes)
