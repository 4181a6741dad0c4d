from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt, Invalid
from millwright.journal import merkle

# The eight entries of Certificate Transparency's reference tests, and their roots.
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MANY = 70
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(MANY)]


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    left, right = naive_root(leaves[:k]), naive_root(leaves[k:])
    return sha256(b"\x01" + left + right).digest()


ROOTS = [naive_root(LEAVES[:size]) for size in range(MANY + 1)]


def read_subtree(level: int, index: int) -> bytes:
    part = LEAVES[index << level : (index + 1) << level]
    assert len(part) == 1 << level
    return merkle.root(part)


def flipped(data: bytes, bit: int = 0) -> bytes:
    return bytes([data[0] ^ 1 << bit]) + data[1:]


class TestRoot:
    def test_it_is_that_of_certificate_transparency(self) -> None:
        hashes = [merkle.leaf_hash(entry) for entry in CT_ENTRIES]
        assert [merkle.root(hashes[: size + 1]).hex() for size in range(8)] == CT_ROOTS

    def test_it_is_that_of_the_definition_at_every_size(self) -> None:
        assert [merkle.root(LEAVES[:size]) for size in range(MANY + 1)] == ROOTS
        assert [merkle.root_at(size, read_subtree) for size in range(MANY + 1)] == ROOTS

    def test_a_node_cannot_pose_as_an_entry(self) -> None:
        left, right = LEAVES[:2]
        assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


class TestFrontier:
    def test_it_survives_being_stored_at_every_size(self) -> None:
        frontier = merkle.Frontier()
        for size, leaf in enumerate(LEAVES):
            stored = frontier.to_bytes()
            assert len(stored) == 32 * size.bit_count()
            frontier = merkle.Frontier.from_bytes(size, stored)
            assert frontier.root() == ROOTS[size]
            frontier.append(leaf)
        assert (frontier.size, frontier.root()) == (MANY, ROOTS[MANY])

    @pytest.mark.parametrize(("size", "count"), [(3, 1), (4, 2), (0, 1), (-1, 1)])
    def test_bytes_that_cannot_be_one_are_refused(self, size: int, count: int) -> None:
        with pytest.raises(Corrupt, match="head holds"):
            merkle.Frontier.from_bytes(size, bytes(32) * count)


class TestInclusion:
    def test_every_leaf_is_proved_at_every_size(self) -> None:
        for size in range(1, MANY + 1):
            for index in range(size):
                path = merkle.inclusion_path(index, size, read_subtree)
                assert len(path) <= (size - 1).bit_length()
                assert merkle.verify_inclusion(
                    LEAVES[index], index=index, size=size, path=path, root=ROOTS[size]
                )

    @settings(max_examples=60)
    @given(data=st.data())
    def test_nothing_else_is(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, MANY))
        index = data.draw(st.integers(0, size - 1))
        leaf, root = LEAVES[index], ROOTS[size]
        path = merkle.inclusion_path(index, size, read_subtree)
        wrong = data.draw(st.integers(-1, size).filter(lambda at: at != index))
        assert not merkle.verify_inclusion(leaf, index=wrong, size=size, path=path, root=root)
        assert not merkle.verify_inclusion(
            flipped(leaf), index=index, size=size, path=path, root=root
        )
        assert not merkle.verify_inclusion(
            leaf, index=index, size=size, path=[*path, root], root=root
        )
        for at in range(len(path)):
            changed = [*path[:at], flipped(path[at]), *path[at + 1 :]]
            shorter = path[:at] + path[at + 1 :]
            for other in (changed, shorter):
                assert not merkle.verify_inclusion(
                    leaf, index=index, size=size, path=other, root=root
                )

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
    def test_a_leaf_that_is_not_there_has_no_path(self, index: int, size: int) -> None:
        with pytest.raises(Invalid, match=f"entry {index} is not among the first {size}"):
            merkle.inclusion_path(index, size, read_subtree)


class TestConsistency:
    def test_every_tree_continues_every_smaller_one(self) -> None:
        for new in range(MANY + 1):
            for old in range(new + 1):
                path = merkle.consistency_path(old, new, read_subtree)
                assert merkle.verify_consistency(
                    old=old, new=new, old_root=ROOTS[old], new_root=ROOTS[new], path=path
                )

    @settings(max_examples=60)
    @given(data=st.data())
    def test_and_no_other(self, data: st.DataObject) -> None:
        new = data.draw(st.integers(2, MANY))
        old = data.draw(st.integers(1, new - 1))
        path = merkle.consistency_path(old, new, read_subtree)

        def holds(
            *, old_root: bytes = ROOTS[old], new_root: bytes = ROOTS[new], steps: list[bytes] = path
        ) -> bool:
            return merkle.verify_consistency(
                old=old, new=new, old_root=old_root, new_root=new_root, path=steps
            )

        assert holds()
        assert not holds(old_root=flipped(ROOTS[old]))
        assert not holds(new_root=flipped(ROOTS[new]))
        assert not holds(steps=[])
        assert not holds(steps=[*path, ROOTS[1]])
        for at in range(len(path)):
            assert not holds(steps=[*path[:at], flipped(path[at]), *path[at + 1 :]])

    def test_a_smaller_tree_continues_no_larger_one(self) -> None:
        with pytest.raises(Invalid, match="cannot be a later state"):
            merkle.consistency_path(5, 4, read_subtree)
        assert not merkle.verify_consistency(
            old=5, new=4, old_root=ROOTS[5], new_root=ROOTS[4], path=[]
        )

    def test_a_proof_between_equal_sizes_needs_equal_roots(self) -> None:
        root, other = ROOTS[4], ROOTS[5]
        assert merkle.verify_consistency(old=4, new=4, old_root=root, new_root=root, path=[])
        assert not merkle.verify_consistency(old=4, new=4, old_root=root, new_root=other, path=[])
        assert not merkle.verify_consistency(old=0, new=4, old_root=other, new_root=root, path=[])
