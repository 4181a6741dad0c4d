"""What every artifact backend must do, and a backend in memory that does it.

A backend's own test says how to make one and inherits the rest:

    class TestLocalBackend(BackendSuite):
        @pytest.fixture
        def backend(self, tmp_path: Path) -> LocalBackend:
            return LocalBackend(tmp_path)
"""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest

from millwright.artifacts.backend import Backend, Key
from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import NotFound


class MemoryBackend:
    """Keeps objects in a dictionary, for tests; what lies in `objects` may be damaged there."""

    def __init__(self, location: str = "test") -> None:
        self.objects: dict[Key, bytes] = {}
        self._location = location
        self._lock = threading.Lock()

    def put(self, key: Key, pieces: Iterable[bytes]) -> None:
        """Store the pieces under `key`; a key that is there stays as it is."""
        if not self.has(key):
            self.put_stream(pieces, lambda: key)

    def put_stream(self, pieces: Iterable[bytes], key_when_done: Callable[[], Key]) -> Key:
        """Store the pieces under the key that is asked for once the last of them is taken."""
        data = b"".join(pieces)
        key = key_when_done()
        with self._lock:
            self.objects.setdefault(key, data)
        return key

    def open(self, key: Key) -> BinaryIO:
        """Return a stream over the object's bytes; raises NotFound."""
        return io.BytesIO(self._get(key))

    def has(self, key: Key) -> bool:
        """Return whether `key` is stored."""
        return key in self.objects

    def size(self, key: Key) -> int:
        """Return the object's length in bytes; raises NotFound."""
        return len(self._get(key))

    def delete(self, key: Key) -> None:
        """Remove the object; that it is not there is no error."""
        with self._lock:
            self.objects.pop(key, None)

    def list_keys(self, prefix: str = "") -> Iterator[Key]:
        """Iterate over the keys that begin with `prefix`, in order of their characters."""
        with self._lock:
            keys = sorted(self.objects)
        return (key for key in keys if key.startswith(prefix))

    def place(self, key: Key) -> str:
        """Return `memory:`, the store's name and the key."""
        return f"memory:{self._location}/{key}"

    def sweep(self, *, older_than_s: float, clock: Clock) -> int:  # noqa: ARG002 (the port's names)
        """Return 0: memory holds nothing of a writer that was killed."""
        return 0

    def _get(self, key: Key) -> bytes:
        try:
            return self.objects[key]
        except KeyError as error:
            raise NotFound(
                f"nothing is stored under {key}", why=f"{self.place(key)} is not there"
            ) from error


class BackendSuite:
    """The behaviour of the port; a subclass has a fixture `backend` that makes an empty one."""

    def test_gives_back_what_was_put(self, backend: Backend) -> None:
        """The pieces come back joined, with their length."""
        backend.put(Key("ab/cd"), [b"one ", b"", b"two"])
        assert _read(backend, "ab/cd") == b"one two"
        assert backend.size(Key("ab/cd")) == 7
        assert backend.has(Key("ab/cd"))

    def test_keeps_an_empty_object(self, backend: Backend) -> None:
        """No bytes are an object too, from no pieces or from an empty one."""
        backend.put(Key("none"), [])
        backend.put(Key("empty"), [b""])
        assert [_read(backend, key) for key in ("none", "empty")] == [b"", b""]
        assert list(backend.list_keys()) == ["empty", "none"]

    def test_keeps_a_large_object(self, backend: Backend) -> None:
        """Several MiB in pieces of odd length come back in order."""
        pieces = [bytes([number]) * 70_001 for number in range(50)]
        backend.put(Key("large"), pieces)
        assert _read(backend, "large") == b"".join(pieces)

    def test_asks_for_the_key_when_the_last_piece_is_taken(self, backend: Backend) -> None:
        """A key made from the content can be used."""
        seen: list[bytes] = []

        def pieces() -> Iterator[bytes]:
            for piece in (b"a", b"b", b"c"):
                seen.append(piece)
                yield piece

        assert backend.put_stream(pieces(), lambda: Key(b"".join(seen).decode())) == "abc"
        assert _read(backend, "abc") == b"abc"

    def test_the_first_put_stays(self, backend: Backend) -> None:
        """A second put of a key changes nothing, by either method."""
        backend.put(Key("k"), [b"first"])
        backend.put(Key("k"), [b"second"])
        assert backend.put_stream([b"third"], lambda: Key("k")) == "k"
        assert _read(backend, "k") == b"first"

    def test_the_first_to_end_stays(self, backend: Backend) -> None:
        """Of two writers to a key, the one that ends later changes nothing."""

        def pieces() -> Iterator[bytes]:
            yield b"sl"
            backend.put(Key("k"), [b"quick"])
            yield b"ow"

        backend.put(Key("k"), pieces())
        assert _read(backend, "k") == b"quick"

    def test_nothing_is_seen_before_the_end(self, backend: Backend) -> None:
        """While pieces still come, the key is not there."""
        seen: list[object] = []

        def pieces() -> Iterator[bytes]:
            yield b"x" * 3_000_000
            seen.extend([backend.has(Key("k")), list(backend.list_keys())])
            yield b"y"

        backend.put(Key("k"), pieces())
        assert seen == [False, []]
        assert backend.size(Key("k")) == 3_000_001

    def test_a_writer_that_breaks_leaves_nothing(self, backend: Backend) -> None:
        """The writer's own error is passed on as it is, and a retry works."""

        def pieces() -> Iterator[bytes]:
            yield b"half"
            raise OSError("the source broke")

        with pytest.raises(OSError, match="the source broke"):
            backend.put(Key("k"), pieces())
        assert not backend.has(Key("k"))
        assert list(backend.list_keys()) == []
        backend.put(Key("k"), [b"whole"])
        assert _read(backend, "k") == b"whole"

    def test_a_key_that_is_not_there(self, backend: Backend) -> None:
        """Reading it is NotFound, which names it; deleting it is no error."""
        backend.put(Key("ab/cd"), [b"other"])
        with pytest.raises(NotFound, match="ab/ce"):
            backend.open(Key("ab/ce"))
        with pytest.raises(NotFound, match="ab/ce"):
            backend.size(Key("ab/ce"))
        assert not backend.has(Key("ab/ce"))
        assert not backend.has(Key("zz/ce"))
        backend.delete(Key("ab/ce"))
        backend.delete(Key("zz/ce"))

    def test_deletes(self, backend: Backend) -> None:
        """A deleted key is gone, its neighbours are not, and it can be put anew."""
        backend.put(Key("ab/1"), [b"one"])
        backend.put(Key("ab/2"), [b"two"])
        backend.delete(Key("ab/1"))
        assert not backend.has(Key("ab/1"))
        assert list(backend.list_keys()) == ["ab/2"]
        backend.put(Key("ab/1"), [b"anew"])
        assert _read(backend, "ab/1") == b"anew"

    def test_lists_by_prefix_in_order(self, backend: Backend) -> None:
        """A prefix may end within a part; the order is that of characters, slash included."""
        keys = ["b/1", "a/2", "a/1", "a-b", "a0", "ab/cd/ef", "ab/cde"]
        for key in keys:
            backend.put(Key(key), [key.encode()])
        assert list(backend.list_keys()) == sorted(keys)
        assert list(backend.list_keys("a/")) == ["a/1", "a/2"]
        assert list(backend.list_keys("ab/cd")) == ["ab/cd/ef", "ab/cde"]
        assert list(backend.list_keys("ab/cd/e")) == ["ab/cd/ef"]
        assert list(backend.list_keys("b/1")) == ["b/1"]
        assert list(backend.list_keys("c")) == []

    def test_an_empty_backend_lists_nothing(self, backend: Backend) -> None:
        """Nothing was stored, and that is no error."""
        assert list(backend.list_keys()) == []
        assert not backend.has(Key("ab/cd"))

    def test_streams_seek_and_are_independent(self, backend: Backend) -> None:
        """Two readers of one object do not move each other."""
        backend.put(Key("k"), [b"0123456789"])
        with backend.open(Key("k")) as one, backend.open(Key("k")) as two:
            assert one.read(4) == b"0123"
            assert two.read(2) == b"01"
            one.seek(8)
            assert one.read() == b"89"
            assert two.read() == b"23456789"

    def test_places_are_named_apart(self, backend: Backend) -> None:
        """A message can say where an object lies."""
        assert backend.place(Key("ab/1")) != backend.place(Key("ab/2"))

    def test_sweeping_leaves_what_is_stored(self, backend: Backend) -> None:
        """However old, a stored object is no leftover."""
        backend.put(Key("ab/1"), [b"one"])
        assert backend.sweep(older_than_s=-3600, clock=SystemClock()) == 0
        assert _read(backend, "ab/1") == b"one"

    def test_many_threads_put_the_same_and_different_keys(self, backend: Backend) -> None:
        """All keys are there afterwards, each with the bytes of one writer."""
        barrier = threading.Barrier(4)

        def write(worker: int) -> None:
            barrier.wait()
            for number in range(5):
                backend.put(Key(f"shared/{number}"), [b"%d" % number] * 1000)
                backend.put(Key(f"own/{worker}-{number}"), [b"%d" % worker])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert len(list(backend.list_keys("own/"))) == 20
        for number in range(5):
            assert _read(backend, f"shared/{number}") == b"%d" % number * 1000

    def test_behaves_like_a_dictionary(self, backend: Backend) -> None:
        """After any mix of operations it holds what a plain dictionary holds."""
        chance = random.Random(20260101)  # noqa: S311 (a seeded test, not a secret)
        model: dict[str, bytes] = {}
        keys = [f"{folder}/{name}" for folder in "ab" for name in "123"]
        for number in range(60):
            key = chance.choice(keys)
            if chance.random() < 0.6:
                backend.put(Key(key), [b"%d" % number])
                model.setdefault(key, b"%d" % number)
            else:
                backend.delete(Key(key))
                model.pop(key, None)
            assert list(backend.list_keys()) == sorted(model)
        assert {key: _read(backend, key) for key in model} == model


def _read(backend: Backend, key: str) -> bytes:
    with backend.open(Key(key)) as stream:
        return stream.read()
