"""The tables of the journal's tree: its head, its tail, its full tiles, its signed checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from millwright.metadata.connection import Value
from millwright.metadata.database import Reader, Writer


class Head(Struct, frozen=True):
    """How far the tree reaches."""

    size: int
    frontier: bytes


class Tile(Struct, frozen=True):
    """256 neighbouring hashes of one level, and the hash over them."""

    level: int
    idx: int
    hashes: bytes
    root: bytes


class StoredCheckpoint(Struct, frozen=True):
    """A signed note, under the size it speaks of."""

    size: int
    note: str
    signed_us: int


def read_head(tx: Reader) -> Head:
    """Return how far the tree reaches; a new journal's has no entry."""
    return tx.first(Head, "SELECT size, frontier FROM journal_head") or Head(0, b"")


def write_head(tx: Writer, head: Head) -> None:
    """Write how far the tree reaches."""
    tx.run(
        """
        INSERT INTO journal_head (one, size, frontier) VALUES (1, :size, :frontier)
        ON CONFLICT (one) DO UPDATE SET size = excluded.size, frontier = excluded.frontier
        """,
        size=head.size,
        frontier=head.frontier,
    )


def insert_tail(tx: Writer, first: int, hashes: Sequence[bytes]) -> None:
    """Write leaf hashes for the places from `first` on."""
    sql = "INSERT INTO journal_tail (place, hash) VALUES (:place, :hash)"
    if len(hashes) == 1:
        tx.run(sql, place=first, hash=hashes[0])
    else:
        rows: list[Mapping[str, Value]] = [
            {"place": first + at, "hash": value} for at, value in enumerate(hashes)
        ]
        tx.run_many(sql, rows)


def read_tail(tx: Reader, begin: int, end: int) -> list[tuple[int, bytes]]:
    """Return (place, leaf hash) for the places from `begin` up to `end` that lie in the tail."""
    return tx.rows(
        tuple[int, bytes],
        """
        SELECT place, hash FROM journal_tail WHERE place >= :begin AND place < :end
        ORDER BY place
        """,
        begin=begin,
        end=end,
    )


def delete_tail(tx: Writer, below: int) -> None:
    """Delete the tail's hashes below a place, which tiles hold from now on."""
    tx.run("DELETE FROM journal_tail WHERE place < :below", below=below)


def count_tail(tx: Reader) -> int:
    """Return how many leaf hashes lie in the tail."""
    return tx.value(int, "SELECT count(*) FROM journal_tail") or 0


def insert_tile(tx: Writer, tile: Tile) -> None:
    """Write a full tile; it is never changed."""
    tx.run(
        "INSERT INTO journal_tile (level, idx, hashes, root) VALUES (:level, :idx, :hashes, :root)",
        level=tile.level,
        idx=tile.idx,
        hashes=tile.hashes,
        root=tile.root,
    )


def find_tile(tx: Reader, level: int, idx: int) -> Tile | None:
    """Return a full tile, or None."""
    return tx.first(
        Tile,
        "SELECT level, idx, hashes, root FROM journal_tile WHERE level = :level AND idx = :idx",
        level=level,
        idx=idx,
    )


def read_tile_roots(tx: Reader, level: int, begin: int, end: int) -> list[tuple[int, bytes]]:
    """Return (index, root) of the tiles `begin` up to `end` of one level that are there."""
    return tx.rows(
        tuple[int, bytes],
        """
        SELECT idx, root FROM journal_tile WHERE level = :level AND idx >= :begin AND idx < :end
        ORDER BY idx
        """,
        level=level,
        begin=begin,
        end=end,
    )


def count_tiles(tx: Reader) -> int:
    """Return how many tiles are stored."""
    return tx.value(int, "SELECT count(*) FROM journal_tile") or 0


def insert_checkpoint(tx: Writer, checkpoint: StoredCheckpoint) -> None:
    """Write a checkpoint, unless one of that size is there."""
    tx.run(
        """
        INSERT INTO journal_checkpoint (size, note, signed_us) VALUES (:size, :note, :signed)
        ON CONFLICT (size) DO NOTHING
        """,
        size=checkpoint.size,
        note=checkpoint.note,
        signed=checkpoint.signed_us,
    )


def find_checkpoint(tx: Reader, size: int) -> StoredCheckpoint | None:
    """Return the checkpoint of that size, or None."""
    return tx.first(
        StoredCheckpoint,
        "SELECT size, note, signed_us FROM journal_checkpoint WHERE size = :size",
        size=size,
    )


def find_newest_checkpoint(tx: Reader) -> StoredCheckpoint | None:
    """Return the checkpoint of the largest size, or None."""
    return tx.first(
        StoredCheckpoint,
        "SELECT size, note, signed_us FROM journal_checkpoint ORDER BY size DESC LIMIT 1",
    )


def read_checkpoints(tx: Reader, *, begin: int, limit: int) -> list[StoredCheckpoint]:
    """Return the checkpoints from size `begin` on, by size."""
    return tx.rows(
        StoredCheckpoint,
        """
        SELECT size, note, signed_us FROM journal_checkpoint WHERE size >= :begin
        ORDER BY size LIMIT :limit
        """,
        begin=begin,
        limit=limit,
    )
