"""The store of immutable things: bytes go in, their digest comes out, and every read is checked.

A digest is all that the rest of the house keeps. What a backend hands back is hashed again, so
a flipped byte or a cut file is an error that names its place, never a wrong model.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from millwright.artifacts.backend import Backend, Key
from millwright.artifacts.files import READ_BYTES, Aside, explain, read_pieces
from millwright.core.digest import PREFIX, Digest, Hasher, digest_bytes, parse_digest
from millwright.core.errors import Corrupt, Invalid, NotFound

if TYPE_CHECKING:
    from typing_extensions import Buffer

FETCHED_MODE = 0o666  # less the process's umask, as for any file a program writes


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored object: its content address and its length."""

    digest: Digest
    size_bytes: int


def key_of(digest: Digest) -> Key:
    """Return the key under which a backend keeps `digest`: `b3:abcd...` lies at `ab/cd...`."""
    # Checked again, although the type says so: this is where text turns into a place.
    body = parse_digest(digest).removeprefix(PREFIX)
    return Key(f"{body[:2]}/{body[2:]}")


class ArtifactStore:
    """Keeps bytes by their digest in `backend`.

    Storing the same bytes again stores nothing. A digest that is not stored raises NotFound,
    and one whose stored bytes are not what they were raises Corrupt. Denied, Failed and
    Unreachable come from the backend.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def put_bytes(self, data: bytes) -> Digest:
        """Store `data` and return its digest."""
        digest = digest_bytes(data)
        key = key_of(digest)
        self.backend.put(key, [data])
        self._check_size(Blob(digest, len(data)))
        return digest

    def put_file(self, path: Path) -> Blob:
        """Store a regular file, copied and hashed in one pass of 1 MiB pieces.

        The digest is that of the bytes stored, also when somebody writes to the file meanwhile.
        Raises NotFound when there is no such file, and Invalid when it is a folder or a device.
        """
        with _reading(path) as stream:
            return self.put_pieces(_explained(read_pieces(stream), f"cannot read {path}"))

    def put_stream(self, stream: BinaryIO) -> Blob:
        """Store what is left in `stream`, in pieces of 1 MiB."""
        return self.put_pieces(read_pieces(stream))

    def put_pieces(self, pieces: Iterable[bytes]) -> Blob:
        """Store the pieces, one behind the other, as one object.

        What `pieces` raises is passed on, and nothing is stored.
        """
        hasher = Hasher()
        self.backend.put_stream(_hashed(pieces, hasher), lambda: key_of(hasher.digest()))
        blob = Blob(hasher.digest(), hasher.size_bytes)
        self._check_size(blob)
        return blob

    def open(self, digest: Digest) -> BinaryIO:
        """Return a stream to be read once, from first byte to last, that checks what it hands out.

        The read that would hand out the last byte raises Corrupt instead when the bytes are not
        those of `digest`; a reader that stops before has checked nothing. It cannot seek.
        """
        key = key_of(digest)
        size_bytes, place = self.backend.size(key), self.backend.place(key)
        raw = _CheckedReader(
            self.backend.open(key), digest=digest, size_bytes=size_bytes, place=place
        )
        return io.BufferedReader(raw, buffer_size=READ_BYTES)

    def open_verified(self, digest: Digest) -> BinaryIO:
        """Return a seekable stream at the first byte, all of it read and checked beforehand."""
        stream = self.backend.open(key_of(digest))
        try:
            self._check_stream(stream, digest)
            stream.seek(0)
        except BaseException:
            stream.close()
            raise
        return stream

    def read_bytes(self, digest: Digest) -> bytes:
        """Return the whole object, checked; it must fit in memory."""
        with self.open(digest) as stream:
            return stream.read()

    def fetch(self, digest: Digest, target: Path) -> Blob:
        """Write the object to the file `target`, whose folder exists; return what was written.

        It is written aside, checked, made durable, and then takes the name, in place of a file
        that had it. When anything fails `target` is as it was.
        """
        with (
            self.open(digest) as stream,
            Aside(target.parent, mode=FETCHED_MODE, what=f"cannot write {target}") as aside,
        ):
            for piece in read_pieces(stream):
                aside.write(piece)
            aside.replace(target)
            return Blob(digest, aside.size_bytes)

    def has(self, digest: Digest) -> bool:
        """Return whether the object is stored; its bytes are not read."""
        return self.backend.has(key_of(digest))

    def size(self, digest: Digest) -> int:
        """Return how many bytes are stored for `digest`; they are not read."""
        return self.backend.size(key_of(digest))

    def verify(self, digest: Digest) -> Blob:
        """Read the whole object and return it as a blob; raises Corrupt when it has changed."""
        with self.backend.open(key_of(digest)) as stream:
            return self._check_stream(stream, digest)

    def _check_stream(self, stream: BinaryIO, digest: Digest) -> Blob:
        place = self.backend.place(key_of(digest))
        hasher = Hasher()
        for piece in _explained(read_pieces(stream), f"cannot read {place}"):
            hasher.update(piece)
        _check(hasher, digest=digest, place=place)
        return Blob(digest, hasher.size_bytes)

    def _check_size(self, blob: Blob) -> None:
        """Notice a damaged object at the moment somebody relies on it being stored already."""
        key = key_of(blob.digest)
        stored_bytes = self.backend.size(key)
        if stored_bytes != blob.size_bytes:
            raise Corrupt(
                f"artifact {blob.digest} is stored damaged in {self.backend.place(key)}",
                why=f"it has {blob.size_bytes} bytes, and {stored_bytes} are stored",
                fix="move that object away and store the content again",
            )


class _CheckedReader(io.RawIOBase):
    """Hashes what it hands out, and raises Corrupt before the last byte of a wrong object."""

    def __init__(self, stream: BinaryIO, *, digest: Digest, size_bytes: int, place: str) -> None:
        super().__init__()
        self._stream = stream
        self._digest = digest
        self._size_bytes = size_bytes
        self._place = place
        self._hasher = Hasher()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        try:
            piece = self._stream.read(len(view))
        except OSError as error:
            raise explain(error, f"cannot read {self._place}") from error
        self._hasher.update(piece)
        # At the stored length and at the end: neither a reader that asks for exactly that
        # many bytes nor an object that is cut or grows meanwhile gets past the check.
        if not piece or self._hasher.size_bytes >= self._size_bytes:
            _check(self._hasher, digest=self._digest, place=self._place)
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _check(hasher: Hasher, *, digest: Digest, place: str) -> None:
    found = hasher.digest()
    if found != digest:
        raise Corrupt(
            f"artifact {digest} is damaged in {place}",
            why=f"the {hasher.size_bytes} bytes stored there have the digest {found}",
            fix="restore that object from a backup, or move it away and store the content again",
        )


def _hashed(pieces: Iterable[bytes], hasher: Hasher) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece


def _explained(pieces: Iterator[bytes], what: str) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise explain(error, what) from error


@contextmanager
def _reading(path: Path) -> Generator[BinaryIO, None, None]:
    try:
        # Looked at before it is opened: opening a named pipe would wait for its writer.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise Invalid(f"{path} cannot be stored as a file", why=f"it is {kind}")
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise explain(error, f"cannot read {path}") from error
    with stream:
        yield stream
