"""Auditing one entry: is it, and everything stored beside it, what the entry itself says?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millwright.core.errors import Corrupt
from millwright.journal import leaves
from millwright.journal.leaves import Leaf
from millwright.journal.merkle import HASH_BYTES, leaf_hash, split
from millwright.journal.tiles import TILE_WIDTH
from millwright.metadata.database import Reader
from millwright.metadata.tables import journal as rows
from millwright.metadata.tables import journal_tree as tree
from millwright.records.events import DetailErased


@dataclass(frozen=True, slots=True)
class Window:
    """All that is stored about the entries of one tile, or of the tail."""

    begin: int
    end: int
    entries: Mapping[int, rows.Entry]
    leaves: Mapping[int, Leaf | Corrupt]
    """What each entry says, by place, or why it cannot be read."""
    tile: tree.Tile | None
    kept: Mapping[int, bytes]
    """The leaf hashes that the tree holds, by place."""
    subjects: Mapping[int, set[tuple[str, str]]]
    """(kind, id) of the subjects stored beside an entry, by its key."""
    causes: Mapping[str, int]
    """Where the events named as causes stand."""
    erased: set[str]
    """Events without a detail whose erasure another event records."""


def read_window(tx: Reader, begin: int, end: int) -> Window:
    """Return what is stored about the entries `begin` up to `end`, which lie in one tile."""
    entries = rows.read_entries(tx, begin, end)
    parsed = {entry.place: _parse(entry) for entry in entries}
    tile = tree.find_tile(tx, 0, begin // TILE_WIDTH)
    if tile is not None and len(tile.hashes) == TILE_WIDTH * HASH_BYTES:
        kept = dict(enumerate(split(tile.hashes), begin))
    else:
        kept = dict(tree.read_tail(tx, begin, end))
    subjects: dict[int, set[tuple[str, str]]] = {}
    for pk, kind, subject_id in rows.read_subjects(tx, begin, end):
        subjects.setdefault(pk, set()).add((kind, subject_id))
    causes = {leaf.cause for leaf in parsed.values() if isinstance(leaf, Leaf) and leaf.cause}
    gone = [entry.id for entry in entries if entry.body is None]
    return Window(
        begin=begin,
        end=end,
        entries={entry.place: entry for entry in entries},
        leaves=parsed,
        tile=tile,
        kept=kept,
        subjects=subjects,
        causes=rows.read_places(tx, sorted(causes)) if causes else {},
        erased=rows.read_events_about(tx, DetailErased.__name__, "event", gone) if gone else set(),
    )


def find_complaint(entry: rows.Entry, window: Window, project_keys: dict[str, int]) -> str | None:
    """Return the first thing that is wrong about an entry, or None.

    `project_keys` holds the key of each project by id, and learns those that it lacks: one
    project has one key throughout.
    """
    computed, kept = leaf_hash(entry.leaf), window.kept.get(entry.place)
    if computed != entry.leaf_hash:
        if kept == computed:
            return "the hash stored with the entry was changed"
        return "the entry's bytes were changed: they do not give the hash stored with them"
    if kept is not None and kept != computed:
        return "the tree holds another entry here: this one was moved, swapped or rewritten"
    if kept is None and window.end % TILE_WIDTH:
        return "the tree's tail has no hash for this entry"
    leaf = window.leaves[entry.place]
    if isinstance(leaf, Corrupt):
        return f"{leaf.what}: {leaf.why}"
    for column, stored, said in (
        ("id", entry.id, leaf.id),
        ("kind", entry.kind, leaf.kind),
        ("actor", entry.actor, leaf.actor),
        ("time_us", entry.time_us, leaf.time),
    ):
        if stored != said:
            return f"the column {column} says {stored!r}, the entry {said!r}"
    if project_keys.setdefault(leaf.project, entry.project_id) != entry.project_id:
        return f"the column project_id says {entry.project_id}, the entry {leaf.project}"
    subjects = {(subject.kind, subject.id) for subject in leaf.subjects}
    if window.subjects.get(entry.pk, set()) != subjects:
        return "the subjects stored beside the entry are not those that it names"
    if leaf.cause is not None and window.causes.get(leaf.cause, entry.place) >= entry.place:
        return f"its cause {leaf.cause} does not stand before it"
    return _find_detail_complaint(entry, leaf, erased=entry.id in window.erased)


def _find_detail_complaint(entry: rows.Entry, leaf: Leaf, *, erased: bool) -> str | None:
    if entry.detail_pk is None:
        return "the entry's detail is missing"
    if entry.body is None and entry.salt is None:
        return None if erased else "the entry's detail is gone, and no DetailErased event says so"
    if entry.body is None or entry.salt is None or entry.erased_us is not None:
        return "the entry's detail is there by half"
    if len(entry.salt) != leaves.SALT_BYTES:
        return "the salt of the entry's detail was changed"
    if leaves.commitment(entry.salt, entry.body) != leaf.commit:
        return "the entry's detail was changed: it does not fit the entry's commitment"
    return None


def _parse(entry: rows.Entry) -> Leaf | Corrupt:
    try:
        return leaves.parse_leaf(entry.leaf)
    except Corrupt as error:
        return error
