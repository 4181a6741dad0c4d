"""Auditing the journal: is every entry what it was, and if not, which is the first that is not.

One pass over all entries, a tile at a time, in one snapshot. Each entry is held against its
own hash, against the tree, and against every column, subject and detail stored beside it; the
tree is computed anew and held against tiles, head and signed checkpoints.

Who may write to the database can be found out, unless he also holds the signing key and
nobody kept a checkpoint outside. What a run could not exclude, it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from millwright.core.errors import Corrupt, Invalid
from millwright.journal import checkpoints, merkle
from millwright.journal.checkpoints import Checkpoint, VerifierKey
from millwright.journal.entries import Window, find_complaint, read_window
from millwright.journal.merkle import HASH_BYTES, Frontier, leaf_hash, spans, split
from millwright.journal.tiles import TILE_BITS, TILE_WIDTH
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import journal as rows
from millwright.metadata.tables import journal_tree as tree

MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written."""

    place: int | None
    """The entry, or the first of the entries, in question; None when no place can be named."""
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What an audit of the journal found."""

    size: int
    """How many entries the journal's head counts."""
    root: bytes
    """The hash over all entries as they were read."""
    problems: list[Problem]
    """By place, at most 1000 of them; those without a place come last."""
    cannot_exclude: list[str]
    """What could have happened without this audit seeing it."""
    entries: int
    """Entries read and checked."""
    erased: int
    """Entries whose detail has been erased, as another entry says."""
    tiles: int
    checkpoints: int
    """Stored checkpoints whose signature and root hold."""

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written, as far as could be seen."""
        return not self.problems


def verify(database: Database, key: VerifierKey, *, against: str | None = None) -> Verification:
    """Audit the whole journal; reads only, in one snapshot and bounded memory.

    `against` is a checkpoint that was kept outside. On PostgreSQL the caller settles the journal
    first; events without a place are counted as something that was not looked at. Raises
    Invalid when `against` is not a checkpoint at all.
    """
    with database.read() as tx:
        return verify_snapshot(tx, key, against=against)


def verify_snapshot(tx: Reader, key: VerifierKey, *, against: str | None = None) -> Verification:
    """Audit the journal as `verify` does, as it is seen by a transaction that is open already."""
    audit = _Audit(tx, key)
    if against is not None:
        audit.expect_outside(against)
    audit.run()
    unplaced = rows.count_unplaced(tx)
    if unplaced and tx.dialect.name == "sqlite":
        audit.complain(None, f"{unplaced} events have no place in the journal")
        unplaced = 0
    return audit.report(unplaced=unplaced)


class _Audit:
    def __init__(self, tx: Reader, key: VerifierKey) -> None:
        self._tx = tx
        self._key = key
        self._head = tree.read_head(tx)
        self._project_keys = rows.read_project_keys(tx)
        self._problems: dict[int | None, list[str]] = {}
        self._frontier = Frontier()
        self._levels: list[list[bytes]] = [[]]
        # A hash is lost for good: the tree cannot be computed from here on.
        self._broken = False
        self._agreed = 0  # The size of the last checkpoint that fits.
        self._waiting: list[tree.StoredCheckpoint] = []
        self._outside: Checkpoint | None = None
        self._seen = self._erased = self._tiles = self._checkpoints = 0

    def complain(self, place: int | None, what: str) -> None:
        """Note a problem; the first one at a place explains the others there."""
        if place is None:
            self._problems.setdefault(None, []).append(what)
        elif len(self._problems) < MAX_PROBLEMS:
            self._problems.setdefault(place, [what])

    def expect_outside(self, note: str) -> None:
        """Have the log held against a checkpoint that was kept outside."""
        try:
            self._outside = checkpoints.verify(note, self._key)
        except Corrupt as error:
            self.complain(None, f"the outside checkpoint: {error.what}: {error.why}")

    def run(self) -> None:
        """Go through everything once."""
        self._waiting = tree.read_checkpoints(self._tx, begin=0, limit=TILE_WIDTH)
        self._check_checkpoints(Frontier())
        begin = 0
        while begin < self._head.size:
            end = min(begin + TILE_WIDTH, self._head.size)
            window = read_window(self._tx, begin, end)
            if window.entries:
                self._check_window(window)
                begin = end
            else:
                begin = self._skip(begin)
        self._check_rest()

    def report(self, *, unplaced: int) -> Verification:
        """Return what was found."""
        where = sorted(self._problems, key=lambda place: (place is None, place))
        return Verification(
            size=self._head.size,
            root=self._frontier.root(),
            problems=[Problem(place, what) for place in where for what in self._problems[place]],
            cannot_exclude=self._cannot_exclude(unplaced),
            entries=self._seen,
            erased=self._erased,
            tiles=self._tiles,
            checkpoints=self._checkpoints,
        )

    # One tile's entries

    def _check_window(self, window: Window) -> None:
        missing: int | None = None
        for place in range(window.begin, window.end):
            entry, kept = window.entries.get(place), window.kept.get(place)
            if entry is None:
                missing = place if missing is None else missing
            else:
                if missing is not None:
                    self._complain_missing(missing, place)
                    missing = None
                self._seen += 1
                complaint = find_complaint(entry, window, self._project_keys)
                if complaint is not None:
                    self.complain(place, complaint)
                elif entry.body is None:
                    self._erased += 1
            computed = kept if entry is None else leaf_hash(entry.leaf)
            self._broken = self._broken or computed is None
            if computed is not None and not self._broken:
                self._grow(computed, window.tile)
                self._check_checkpoints(self._frontier)
        if missing is not None:
            self._complain_missing(missing, window.end)

    def _complain_missing(self, begin: int, end: int) -> None:
        self.complain(begin, f"deleted: no entry stands {_between(begin, end)}")

    def _skip(self, begin: int) -> int:
        """Note that a whole tile has no entry; return where the next tile that has one begins."""
        following = rows.find_place_from(self._tx, begin, self._head.size)
        self._broken = True
        if following is None:
            self.complain(
                begin,
                f"the log was cut: no entry stands {_between(begin, self._head.size)},"
                f" and the head counts {self._head.size} entries",
            )
            return self._head.size
        self._complain_missing(begin, following)
        return following // TILE_WIDTH * TILE_WIDTH

    # The tree

    def _grow(self, value: bytes, tile: tree.Tile | None) -> None:
        self._frontier.append(value)
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(value)
            if len(self._levels[level]) < TILE_WIDTH:
                return
            hashes, self._levels[level] = self._levels[level], []
            idx = (self._frontier.size >> TILE_BITS * (level + 1)) - 1
            stored = tile if level == 0 else tree.find_tile(self._tx, level, idx)
            value = self._check_tile(level, idx, hashes, stored)
            level += 1

    def _check_tile(
        self, level: int, idx: int, hashes: list[bytes], stored: tree.Tile | None
    ) -> bytes:
        width = TILE_WIDTH**level  # entries under one of its hashes
        begin, end = idx * TILE_WIDTH * width, (idx + 1) * TILE_WIDTH * width
        computed = merkle.root(hashes)
        name = f"tile {idx} of level {level}"
        self._tiles += 1
        if stored is None:
            self._complain_span(begin, end, f"{name} is missing")
        elif len(stored.hashes) != TILE_WIDTH * HASH_BYTES:
            self._complain_span(begin, end, f"{name} has {len(stored.hashes)} bytes of hashes")
        elif stored.hashes != b"".join(hashes):
            for at, (one, other) in enumerate(zip(split(stored.hashes), hashes, strict=True)):
                if one != other:
                    first = begin + at * width
                    self._complain_span(
                        first, first + width, f"{name} does not fit the entries under it"
                    )
        elif stored.root != computed:
            self._complain_span(begin, end, f"the hash over {name} was changed")
        return computed

    def _complain_span(self, begin: int, end: int, what: str) -> None:
        """Note a problem somewhere in a span, unless one that explains it was found there."""
        if not self._is_explained(begin, end):
            self.complain(begin, what)

    def _is_explained(self, begin: int, end: int) -> bool:
        return any(place is not None and begin <= place < end for place in self._problems)

    def _check_rest(self) -> None:
        """Hold head, tail and tiles against the tree as computed, and look for what is too much."""
        size = self._head.size
        if not self._broken:
            computed = self._frontier.to_bytes()
            if len(computed) != len(self._head.frontier):
                self._complain_span(0, max(size, 1), "the head's hashes do not fit its size")
            begin = 0
            for (level, _), one, other in zip(
                spans(0, size), split(computed), split(self._head.frontier), strict=False
            ):
                if one != other:
                    what = (
                        f"the head does not fit the entries {_between(begin, begin + (1 << level))}"
                    )
                    self._complain_span(begin, begin + (1 << level), what)
                begin += 1 << level
        beyond = rows.count_entries(self._tx, begin=size)
        if beyond:
            first = rows.find_place_from(self._tx, size)
            self.complain(first, f"{beyond} entries stand beyond the {size} that the head counts")
        odd = rows.count_entries(self._tx) - beyond - self._seen
        if odd:
            self.complain(None, f"{odd} entries stand at places that cannot be, or twice at one")
        if tree.count_tail(self._tx) != size % TILE_WIDTH:
            begin = size - size % TILE_WIDTH
            self._complain_span(begin, size + 1, "the tree's tail does not fit the head's size")
        expected = sum(size >> TILE_BITS * level for level in range(1, 9))
        if not self._broken and tree.count_tiles(self._tx) > expected:
            self.complain(
                None, f"more tiles are stored than the {expected} that {size} entries fill"
            )
        newest = 0
        while self._waiting:
            stored = self._next_checkpoint()
            newest = stored.size if self._signed(stored) is not None else newest
        if newest > size:
            self.complain(size, _cut("a signed checkpoint", newest, size))
        if self._outside is not None and self._outside.size > size:
            what = _cut("the outside checkpoint", self._outside.size, size)
            self.complain(None if newest > size else size, what)

    # Checkpoints

    def _check_checkpoints(self, reached: Frontier) -> None:
        while self._waiting and self._waiting[0].size <= reached.size:
            stored = self._next_checkpoint()
            checkpoint = self._signed(stored)
            if checkpoint is None or stored.size != reached.size:
                continue
            if checkpoint.root == reached.root():
                self._agreed = reached.size
                self._checkpoints += 1
            else:
                what = _rewritten(
                    self._agreed, reached.size, f"the signed checkpoint of {reached.size}"
                )
                self._complain_span(self._agreed, reached.size + 1, what)
        outside = self._outside
        if outside is None or outside.size != reached.size or outside.root == reached.root():
            return
        # Stored checkpoints that fit prove nothing here: who rewrote the log may have signed
        # them again, so the change may lie anywhere. It is said even where a single entry
        # explains it, since it is what was asked for.
        what = _rewritten(0, reached.size, f"the outside checkpoint of {reached.size}")
        self.complain(None if self._is_explained(0, reached.size) else 0, what)

    def _signed(self, stored: tree.StoredCheckpoint) -> Checkpoint | None:
        place = max(stored.size - 1, 0)
        try:
            checkpoint = checkpoints.verify(stored.note, self._key)
        except (Corrupt, Invalid) as error:
            self.complain(
                place, f"the stored checkpoint of size {stored.size}: {error.what}: {error.why}"
            )
            return None
        if checkpoint.size != stored.size:
            what = f"the checkpoint stored under size {stored.size} speaks of {checkpoint.size}"
            self.complain(place, what)
            return None
        return checkpoint

    def _next_checkpoint(self) -> tree.StoredCheckpoint:
        stored = self._waiting.pop(0)
        if not self._waiting:
            self._waiting = tree.read_checkpoints(self._tx, begin=stored.size + 1, limit=TILE_WIDTH)
        return stored

    def _cannot_exclude(self, unplaced: int) -> list[str]:
        said: list[str] = []
        if self._outside is None:
            only = "only a checkpoint kept outside shows that (--against)"
            said.append(
                "whoever holds the signing key could have rewritten the whole log and signed it"
                f" again; {only}"
            )
            said.append(
                "the newest entries could have been cut off together with the stored checkpoints"
                f" that count them; {only}"
            )
        else:
            said.append(
                f"entries from place {self._outside.size} on, which the outside checkpoint does not"
                " count, could have been cut off, or rewritten by whoever holds the signing key"
            )
        if self._erased:
            said.append(f"what the {self._erased} erased details said can no longer be checked")
        if unplaced:
            said.append(f"{unplaced} committed events have no place yet and were not looked at")
        return said


def _between(begin: int, end: int) -> str:
    return f"at place {begin}" if end - begin <= 1 else f"at places {begin} to {end - 1}"


def _rewritten(begin: int, end: int, checkpoint: str) -> str:
    return (
        f"rewritten: what stands {_between(begin, end)} is not what {checkpoint} entries was"
        " signed over"
    )


def _cut(checkpoint: str, counted: int, size: int) -> str:
    return f"the log was cut or rolled back: {checkpoint} counts {counted} entries, the head {size}"
