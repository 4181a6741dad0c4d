import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.artifacts.backend import Key
from millwright.artifacts.backends.local import LocalBackend
from millwright.artifacts.store import ArtifactStore, Blob, key_of
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Conflict, Corrupt, Failed, Invalid, MillwrightError, NotFound
from millwright.testing.artifacts import MemoryBackend

LARGE = bytes(range(256)) * 10_000  # 2.56 MB: three pieces
ABSENT = digest_bytes(b"never stored")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    root = tmp_path / "artifacts"
    root.mkdir()
    return ArtifactStore(LocalBackend(root))


def _file(store: ArtifactStore, digest: Digest) -> Path:
    return Path(store.backend.place(key_of(digest)))


def _overwrite(store: ArtifactStore, digest: Digest, data: bytes) -> None:
    path = _file(store, digest)
    path.chmod(0o644)
    path.write_bytes(data)


def test_bytes_lie_under_their_digest(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"hello")
    assert digest == digest_bytes(b"hello")
    body = digest.removeprefix("b3:")
    assert (tmp_path / "artifacts" / "objects" / body[:2] / body[2:]).read_bytes() == b"hello"
    assert store.read_bytes(digest) == b"hello"
    assert store.has(digest)
    assert store.size(digest) == 5
    assert store.verify(digest) == Blob(digest, 5)


def test_every_way_in_gives_the_same_blob(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(LARGE)
    blob = Blob(digest_bytes(LARGE), len(LARGE))
    assert store.put_pieces([LARGE[:7], b"", LARGE[7:]]) == blob
    assert store.put_stream(io.BytesIO(LARGE)) == blob
    assert store.put_file(tmp_path / "f") == blob
    assert store.put_bytes(LARGE) == blob.digest
    assert list(store.backend.list_keys()) == [key_of(blob.digest)]


@pytest.mark.parametrize("data", [b"", b"x", LARGE[: 1 << 20], LARGE])
def test_every_way_out_gives_the_same_bytes(
    store: ArtifactStore, tmp_path: Path, data: bytes
) -> None:
    digest = store.put_bytes(data)
    with store.open(digest) as stream:
        assert stream.read() == data
        assert stream.read() == b""
    with store.open_verified(digest) as stream:
        stream.seek(len(data) // 2)
        assert stream.read() == data[len(data) // 2 :]
    assert store.fetch(digest, tmp_path / "out") == Blob(digest, len(data))
    assert (tmp_path / "out").read_bytes() == data


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_how_bytes_are_cut_into_pieces_does_not_matter(data: bytes, cuts: list[int]) -> None:
    store = ArtifactStore(MemoryBackend())
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    joined = b"".join(pieces)
    assert store.put_pieces(pieces) == Blob(digest_bytes(joined), len(joined))
    assert store.read_bytes(digest_bytes(joined)) == joined


@given(data=st.binary(min_size=1, max_size=300), sizes=st.lists(st.integers(1, 50), min_size=1))
def test_reading_in_steps_gives_all_and_checks_all(data: bytes, sizes: list[int]) -> None:
    backend = MemoryBackend()
    store = ArtifactStore(backend)
    digest = store.put_bytes(data)
    assert _read_in_steps(store, digest, sizes) == data
    backend.objects[key_of(digest)] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Corrupt):
        _read_in_steps(store, digest, sizes)


def _read_in_steps(store: ArtifactStore, digest: Digest, sizes: list[int]) -> bytes:
    taken = b""
    with store.open(digest) as stream:
        while True:
            for size in sizes:
                piece = stream.read(size)
                if not piece:
                    return taken
                taken += piece


def _flip(data: bytes) -> bytes:
    return data[:1_500_000] + bytes([data[1_500_000] ^ 0x10]) + data[1_500_001:]


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _grow(data: bytes) -> bytes:
    return data + b"\0"


def _empty(data: bytes) -> bytes:
    return data[:0]


def _stream_all(store: ArtifactStore, digest: Digest, target: Path) -> None:
    with store.open(digest) as stream:
        while stream.read(100_000):
            pass


def _stream_exactly(store: ArtifactStore, digest: Digest, target: Path) -> None:
    """Reads the bytes that are stored and does not ask for the end."""
    with store.open(digest) as stream:
        stream.read(store.size(digest))


READERS: list[Callable[[ArtifactStore, Digest, Path], object]] = [
    lambda store, digest, target: store.read_bytes(digest),
    lambda store, digest, target: store.open_verified(digest),
    lambda store, digest, target: store.fetch(digest, target),
    lambda store, digest, target: store.verify(digest),
    _stream_all,
]


@pytest.mark.parametrize("damage", [_flip, _cut, _grow, _empty])
@pytest.mark.parametrize("read", READERS, ids=["bytes", "verified", "fetch", "verify", "stream"])
def test_damage_is_named_on_every_read(
    store: ArtifactStore,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    read: Callable[[ArtifactStore, Digest, Path], object],
) -> None:
    digest = store.put_bytes(LARGE)
    damaged = damage(LARGE)
    _overwrite(store, digest, damaged)
    with pytest.raises(Corrupt) as caught:
        read(store, digest, tmp_path / "out")
    assert str(caught.value) == (
        f"artifact {digest} is damaged in {_file(store, digest)}\n"
        f"the {len(damaged)} bytes stored there have the digest {digest_bytes(damaged)}\n"
        "restore that object from a backup, or move it away and store the content again"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "artifacts"]


@pytest.mark.parametrize("damage", [_flip, _cut, _grow])
def test_a_reader_that_stops_at_the_last_byte_is_told_too(
    store: ArtifactStore, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    digest = store.put_bytes(LARGE)
    _overwrite(store, digest, damage(LARGE))
    with pytest.raises(Corrupt):
        _stream_exactly(store, digest, tmp_path)


def test_a_failed_fetch_leaves_the_target_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_bytes(LARGE)
    _overwrite(store, digest, _flip(LARGE))
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(Corrupt):
        store.fetch(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"before"


def test_a_fetched_file_is_its_owners_to_change(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"bytes")
    store.fetch(digest, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o600 == 0o600
    (tmp_path / "out").write_bytes(b"mine")
    assert store.read_bytes(digest) == b"bytes"


def test_fetching_into_a_missing_folder_fails_by_name(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"bytes")
    with pytest.raises(Failed, match=r"cannot write .*gone/out"):
        store.fetch(digest, tmp_path / "gone" / "out")


def test_storing_again_notices_that_the_stored_object_was_cut(store: ArtifactStore) -> None:
    digest = store.put_bytes(LARGE)
    _overwrite(store, digest, LARGE[:10])
    puts: list[Callable[[], object]] = [
        lambda: store.put_bytes(LARGE),
        lambda: store.put_pieces([LARGE]),
    ]
    for put in puts:
        with pytest.raises(Corrupt) as caught:
            put()
        assert str(caught.value) == (
            f"artifact {digest} is stored damaged in {_file(store, digest)}\n"
            "it has 2560000 bytes, and 10 are stored\n"
            "move that object away and store the content again"
        )
    _file(store, digest).unlink()
    assert store.put_bytes(LARGE) == digest
    assert store.read_bytes(digest) == LARGE


def test_what_is_not_stored_is_not_found(store: ArtifactStore, tmp_path: Path) -> None:
    assert not store.has(ABSENT)
    with pytest.raises(NotFound, match="nothing is stored under"):
        store.size(ABSENT)
    for read in READERS:
        with pytest.raises(NotFound, match="nothing is stored under"):
            read(store, ABSENT, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "b3:", "b3:../../etc/passwd", "b3:" + "A" * 64, "x" * 67])
def test_text_that_is_no_digest_never_becomes_a_place(store: ArtifactStore, text: str) -> None:
    with pytest.raises(Invalid, match="is not a digest"):
        store.read_bytes(Digest(text))


def test_files_that_cannot_be_stored(store: ArtifactStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases: list[tuple[Path, type[MillwrightError], str]] = [
        (tmp_path / "gone", NotFound, f"there is no file {tmp_path}/gone"),
        (tmp_path, Invalid, f"{tmp_path} cannot be stored as a file\nit is a folder"),
        (
            tmp_path / "pipe",
            Invalid,
            f"{tmp_path}/pipe cannot be stored as a file\nit is a device, pipe or socket",
        ),
    ]
    for path, kind, text in cases:
        with pytest.raises(kind) as caught:
            store.put_file(path)
        assert str(caught.value) == text
    assert list(store.backend.list_keys()) == []


def test_what_the_writer_raises_is_passed_on(store: ArtifactStore) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise Conflict("changed meanwhile")

    with pytest.raises(Conflict, match="changed meanwhile"):
        store.put_pieces(pieces())
    assert list(store.backend.list_keys()) == []


def test_a_large_file_is_never_whole_in_memory(store: ArtifactStore, tmp_path: Path) -> None:
    backend = _LargestPiece()
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(20_000_000)
    blob = ArtifactStore(backend).put_file(tmp_path / "large")
    assert blob.size_bytes == 20_000_000
    assert backend.largest == 1 << 20


class _LargestPiece(MemoryBackend):
    """Notes how long the longest piece was that it was handed."""

    largest = 0

    def put_stream(self, pieces: Iterable[bytes], key_when_done: Callable[[], Key]) -> Key:
        return super().put_stream(self._noted(pieces), key_when_done)

    def _noted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.largest = max(self.largest, len(piece))
            yield piece
