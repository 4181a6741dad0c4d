from __future__ import annotations

import pytest

from millwright.core.errors import Corrupt
from millwright.journal import merkle
from millwright.journal.tiles import TileReader, extend
from millwright.metadata.database import Database
from millwright.metadata.tables import journal_tree as tree

SIZE = 256 * 256 + 600  # a tile of level 1, 258 of level 0, a tail of 88


def leaves(begin: int, end: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % place) for place in range(begin, end)]


def grow(database: Database, size: int) -> None:
    with database.write() as tx:
        head = tree.read_head(tx)
        extend(tx, head, leaves(head.size, size))


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_any_subtree_of_a_large_tree_is_read_from_its_tiles(database: Database) -> None:
    everything = leaves(0, SIZE)
    for size in (3, 255, 256, 700, 65_530, 65_537, SIZE):
        grow(database, size)
    with database.read() as tx:
        assert tree.read_head(tx).size == SIZE
        assert (tree.count_tiles(tx), tree.count_tail(tx)) == (1 + 258, 88)
        read = TileReader(tx).subtree
        assert read(16, 0) == merkle.root(everything[: 1 << 16])
        for level, index in ((0, 0), (0, SIZE - 1), (3, 8202), (8, 255), (8, 257), (7, 515)):
            part = everything[index << level : (index + 1) << level]
            assert read(level, index) == merkle.root(part)
        root = merkle.root(everything)
        assert merkle.root_at(SIZE, read) == root
        for index in (0, 65_535, 65_536, SIZE - 1):
            path = merkle.inclusion_path(index, SIZE, read)
            assert merkle.verify_inclusion(
                everything[index], index=index, size=SIZE, path=path, root=root
            )


def test_growing_one_by_one_or_all_at_once_makes_the_same_tree(database: Database) -> None:
    for size in range(250, 260):
        grow(database, size)
    with database.read() as tx:
        head, tile = tree.read_head(tx), tree.find_tile(tx, 0, 0)
    part = leaves(0, 256)
    frontier = merkle.Frontier.from_bytes(head.size, head.frontier)
    assert frontier.root() == merkle.root(leaves(0, 259))
    assert tile == tree.Tile(level=0, idx=0, hashes=b"".join(part), root=merkle.root(part))


def test_a_subtree_that_is_not_there_is_named(database: Database) -> None:
    grow(database, 300)
    with database.write() as tx:
        tx.run("DELETE FROM journal_tile")
        tx.run("DELETE FROM journal_tail WHERE place = 280")
    with database.read() as tx:
        for level, index, tile in ((8, 0, "tile 0 at level 1"), (5, 8, "tile 1 at level 0")):
            with pytest.raises(Corrupt, match=f"lacks hashes of {tile}"):
                TileReader(tx).subtree(level, index)


def test_a_tile_is_not_closed_over_a_gap(database: Database) -> None:
    grow(database, 200)
    with database.write() as tx:
        tx.run("DELETE FROM journal_tail WHERE place = 100")
    with pytest.raises(Corrupt, match="lacks hashes of tile 0 at level 0"):
        grow(database, 256)
