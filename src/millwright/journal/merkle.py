"""The journal's tree: Merkle hashing over SHA-256, its proofs, and how they are checked.

Pure: hashes in, hashes out. A *subtree* is named by (level, index): the complete subtree over
the 2**level leaves from place index * 2**level on. Every proof is made of such subtrees, and
a caller says where their hashes are kept.

Source: RFC 9162 §2.1.1 (tree hash), §2.1.3 (inclusion), §2.1.4 (consistency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from millwright.core.errors import Corrupt, Invalid

ReadSubtree: TypeAlias = Callable[[int, int], bytes]
"""Returns the hash of the complete subtree at (level, index)."""

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry; the 0x00 keeps an entry from posing as an inner node."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees that make up a tree: all that appending needs.

    A tree of `size` leaves has one for each 1 in the binary form of `size`, largest first.
    """

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash at the end; O(1) hashes on average."""
        carry, rest = leaf, self.size
        while rest & 1:
            carry = node_hash(self._roots.pop(), carry)
            rest >>= 1
        self._roots.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash over the whole tree."""
        return _join(self._roots) if self._roots else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Return the roots one behind the other; the size is kept beside them."""
        return b"".join(self._roots)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Return the frontier of a tree of `size` leaves; raises Corrupt when `data` is none."""
        if size < 0 or len(data) != HASH_BYTES * size.bit_count():
            raise Corrupt(
                f"the journal's head holds {len(data)} bytes of hashes for {size} entries",
                why=f"it takes {HASH_BYTES} bytes for each 1 in the size's binary form",
                fix="run `mill audit verify`; restore the store from a backup",
            )
        frontier = cls()
        frontier.size = size
        frontier._roots = split(data)
        return frontier


def split(data: bytes) -> list[bytes]:
    """Return the hashes that lie one behind the other in `data`."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the hash of the tree over these leaf hashes (RFC 9162 §2.1.1)."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def root_at(size: int, read_subtree: ReadSubtree) -> bytes:
    """Return the hash of the tree as it was when it had `size` leaves."""
    return _span_root(0, size, read_subtree) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, read_subtree: ReadSubtree) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root of the first `size` leaves.

    At most ceil(log2(size)) hashes, nearest first. Raises Invalid when the leaf is not in them.
    """
    if not 0 <= index < size:
        raise Invalid(f"entry {index} is not among the first {size} entries")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _largest_power_below(end - begin)
        if index < middle:
            path.append(_span_root(middle, end, read_subtree))
            end = middle
        else:
            path.append(_span_root(begin, middle, read_subtree))
            begin = middle
    path.reverse()
    return path


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """Return whether `path` shows that `leaf` (a hash) stands at `index` under `root`."""
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(step, found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, step)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def consistency_path(old: int, new: int, read_subtree: ReadSubtree) -> list[bytes]:
    """Return the hashes that show that the first `old` of `new` leaves are still the same.

    Empty when `old` is 0 or equals `new`: there is nothing to show. Raises Invalid unless
    0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise Invalid(f"a tree of {new} entries cannot be a later state of one of {old}")
    if old == 0:
        return []
    path: list[bytes] = []
    begin, end = 0, new
    while end != old:
        middle = begin + _largest_power_below(end - begin)
        if old <= middle:
            path.append(_span_root(middle, end, read_subtree))
            end = middle
        else:
            path.append(_span_root(begin, middle, read_subtree))
            begin = middle
    if begin:
        # What is left is no longer the whole old tree, whose root the verifier has.
        path.append(_span_root(begin, end, read_subtree))
    path.reverse()
    return path


def verify_consistency(
    *, old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Return whether `path` shows that the tree of `new` leaves begins with that of `old`."""
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    if old == new:
        return not path and old_root == new_root
    if not path:
        return False
    # A complete old tree is itself a node of the new one; the path leaves it out.
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    found_old = found_new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            found_old = node_hash(step, found_old)
            found_new = node_hash(step, found_new)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found_new = node_hash(found_new, step)
        here, last = here >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


def spans(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the complete subtrees (level, index) that make up leaves `begin` to `end`, in order.

    `begin` is a multiple of the largest power of two that fits into the span, as it is for
    every span the definitions above cut out.
    """
    found: list[tuple[int, int]] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def _span_root(begin: int, end: int, read_subtree: ReadSubtree) -> bytes:
    return _join([read_subtree(level, index) for level, index in spans(begin, end)])


def _join(roots: Sequence[bytes]) -> bytes:
    joined = roots[-1]
    for left in reversed(roots[:-1]):
        joined = node_hash(left, joined)
    return joined


def _largest_power_below(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)
