from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millwright.artifacts.backend import Backend, Key
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import load_tree, put_tree
from millwright.core.clock import SystemClock
from millwright.core.errors import NotFound
from millwright.sdk.outbox import Outbox

A, B = Key("ab/one"), Key("cd/two")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


def test_it_fills_the_port_of_backends(outbox: Outbox) -> None:
    backend: Backend = outbox
    assert isinstance(backend, Backend)
    store = ArtifactStore(backend)
    tree = put_tree(store, {"a.py": b"1", "b/c.py": b"2", "same.py": b"1"})
    assert load_tree(store, tree.digest) == tree
    assert [path.read_bytes() for path in outbox.paths()][:2] == [b"1", b"2"]
    assert len(outbox.paths()) == 3


def test_an_object_is_stored_once(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(A, [b"x", b"y"])
    outbox.put(A, [b"other"])
    assert outbox.put_stream([b"third"], lambda: A) == A
    with outbox.open(A) as stream:
        assert stream.read() == b"xy"
    assert (outbox.has(A), outbox.has(B), outbox.size(A)) == (True, False, 2)
    assert outbox.place(A) == str(outbox.paths()[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_what_breaks_half_way_leaves_nothing(outbox: Outbox, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begun"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        outbox.put(A, pieces())
    assert not outbox.has(A)
    assert list(tmp_path.iterdir()) == []


def test_objects_are_listed_and_removed(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(B, [b"2"])
    outbox.put(A, [b"1"])
    assert list(outbox.list_keys()) == [A, B]
    assert list(outbox.list_keys("cd")) == [B]
    assert outbox.sweep(older_than_s=0, clock=SystemClock()) == 0
    outbox.delete(B)
    outbox.delete(B)
    assert list(outbox.list_keys()) == [A]
    with pytest.raises(NotFound, match="nothing is stored under cd/two"):
        outbox.open(B)
    with pytest.raises(NotFound):
        outbox.size(B)
