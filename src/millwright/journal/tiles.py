"""Where the tree's hashes are kept: full tiles of 256, a tail of fewer, and the head.

A tile of level 0 holds leaf hashes; an entry of level k+1 is the hash over a full tile of
level k. Full tiles never change, and any subtree of the tree is a part of one tile, so that a
proof reads a handful of them.

Source: C2SP tlog-tiles (the same tiles, so that its clients could be served from them).
"""

from __future__ import annotations

from collections.abc import Sequence

from millwright.core.errors import Corrupt
from millwright.journal.merkle import Frontier, root, split
from millwright.metadata.database import Reader, Writer
from millwright.metadata.tables import journal_tree as tree

TILE_WIDTH = 256
TILE_BITS = 8


def extend(tx: Writer, head: tree.Head, leaves: Sequence[bytes]) -> None:
    """Write the tree that follows when `leaves` (hashes) are added to the one at `head`.

    The caller's transaction is the only one that changes the tree meanwhile.
    """
    frontier = Frontier.from_bytes(head.size, head.frontier)
    for leaf in leaves:
        frontier.append(leaf)
    tree.insert_tail(tx, head.size, leaves)
    _close_tiles(tx, head.size, frontier.size)
    tree.write_head(tx, tree.Head(frontier.size, frontier.to_bytes()))


class TileReader:
    """Reads subtrees' hashes from one snapshot, each tile at most once."""

    def __init__(self, tx: Reader) -> None:
        self._tx = tx
        self._seen: dict[tuple[int, int], list[bytes]] = {}

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree at (level, index).

        Raises Corrupt when the store lacks a hash that it should hold.
        """
        tile_level, rise = divmod(level, TILE_BITS)
        idx, offset = divmod(index << rise, TILE_WIDTH)
        part = self._hashes(tile_level, idx)[offset : offset + (1 << rise)]
        if len(part) != 1 << rise:
            raise _lost(tile_level, idx)
        return root(part)

    def _hashes(self, level: int, idx: int) -> list[bytes]:
        if (level, idx) not in self._seen:
            tile = tree.find_tile(self._tx, level, idx)
            self._seen[level, idx] = (
                split(tile.hashes) if tile is not None else _read_level(self._tx, level, idx)
            )
        return self._seen[level, idx]


def _close_tiles(tx: Writer, old: int, new: int) -> None:
    level = 0
    while True:
        shift = TILE_BITS * (level + 1)
        first, end = old >> shift, new >> shift
        if first == end:
            return
        for idx in range(first, end):
            hashes = _read_level(tx, level, idx)
            if len(hashes) != TILE_WIDTH:
                raise _lost(level, idx)
            tile = tree.Tile(level=level, idx=idx, hashes=b"".join(hashes), root=root(hashes))
            tree.insert_tile(tx, tile)
        if level == 0:
            tree.delete_tail(tx, end * TILE_WIDTH)
        level += 1


def _read_level(tx: Reader, level: int, idx: int) -> list[bytes]:
    begin, end = idx * TILE_WIDTH, (idx + 1) * TILE_WIDTH
    found = (
        tree.read_tail(tx, begin, end)
        if level == 0
        else tree.read_tile_roots(tx, level - 1, begin, end)
    )
    # Only up to a gap: what follows one would stand in a wrong place.
    return [value for at, (place, value) in enumerate(found, begin) if place == at]


def _lost(level: int, idx: int) -> Corrupt:
    return Corrupt(
        f"the journal's tree lacks hashes of tile {idx} at level {level}",
        why="the store was changed by something other than Millwright",
        fix="run `mill audit verify` to see where; restore the store from a backup",
    )
