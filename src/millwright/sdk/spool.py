"""The spool: what a run could not deliver yet, in an append-only file under the project's home.

    <home>/spool/run_….spool     header, then items in the order in which they happened, and
                                 in between, as they are delivered, notes of how far that went
    <home>/spool/run_….objects/  files for the artifact store

A frame is the length and CRC-32 of its payload, little-endian, and the payload in MessagePack,
which unlike JSON can write infinities. What a killed process left half-written at the end is
not read, and overwritten by whoever goes on. A process holds a lock on the file while it uses
it, and the system lets go of that lock when the process is gone.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct as Layout
from typing import BinaryIO, Final, TypeAlias

import msgspec
from msgspec import Struct

from millwright.core.errors import Corrupt, Unsupported
from millwright.core.ids import RunId
from millwright.sdk.items import Item, Stored

SUFFIX = ".spool"
OBJECTS = ".objects"
FORMAT = 1
FOLDER_MODE = 0o700
FILE_MODE = 0o600
_FRAME: Final = Layout("<II")


class Header(Struct, frozen=True, kw_only=True, tag="header"):
    """Whose items these are, and where they are to go."""

    format: int
    run: RunId
    project: str
    url: str | None
    """The server they are for; None stands for the home itself."""


class Sent(Struct, frozen=True, kw_only=True, tag="sent"):
    """Everything before `upto`, an offset in the file, is delivered."""

    upto: int


Entry: TypeAlias = Header | Sent | Item

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entry)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an item lies in the file."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.size_bytes


class Spool:
    """The items of one run and process that wait; made on disk when the first one does.

    Not safe for many threads. Raises OSError as the file system does.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self._file: int | None = None
        self._end = 0
        self._waiting: deque[_Place] = deque()
        self._aside: Path | None = None
        self.torn_bytes = 0
        """How much stood behind the last whole entry when the spool was adopted."""

    @classmethod
    def adopt(cls, path: Path) -> Spool | None:
        """Open a spool that another process left; None while one is using it, or it is gone.

        Raises Corrupt for a file that is none, and Unsupported for one that newer code wrote.
        """
        try:
            file = os.open(path, os.O_RDWR | _binary())
        except FileNotFoundError:
            return None
        try:
            # Between opening and locking it another may have delivered and removed it.
            if not lock(file) or not path.exists():
                os.close(file)
                return None
            return cls._read(path, file)
        except BaseException:
            os.close(file)
            raise

    @property
    def objects(self) -> Path:
        """The folder of the objects that wait with it."""
        return self._aside or self.path.with_suffix(OBJECTS)

    def open_objects(self) -> Path:
        """Make the folder of objects, where there is none, and return it.

        A container's disk may be read-only while the server answers: where the home takes no
        folder it is one for temporary files, which is gone when the spool is closed.
        """
        try:
            self.objects.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError:
            self._aside = Path(tempfile.mkdtemp(prefix="mill-spool-"))
        return self.objects

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def append(self, item: Item) -> None:
        """Write an item behind the others; it outlives this process from then on."""
        frame = frame_of(item)
        if self._file is None:
            self._create()
        self._write(frame)
        self._waiting.append(_Place(self._end - len(frame), len(frame)))

    def head(self) -> Item | None:
        """Return the first item that waits, or None."""
        return self._item_at(0)

    def last(self) -> Item | None:
        """Return the last item that waits, or None."""
        return self._item_at(-1)

    def advance(self, item: Item) -> None:
        """Note that the first item, which was `item`, is delivered."""
        place = self._waiting.popleft()
        if self._waiting:
            # On a full disk it goes without the note: what is delivered twice changes nothing.
            with suppress(OSError):
                self._write(frame_of(Sent(upto=place.end)))
        else:
            self.path.unlink(missing_ok=True)
            self.close()
        self.drop_objects(item)

    def sync(self) -> None:
        """Have the disk write what was appended, so that it also outlives the machine."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; what waits in it stays."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._waiting.clear()

    def drop_aside(self) -> None:
        """Remove the objects that no other process could find."""
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside = None

    def drop_objects(self, item: Item) -> None:
        """Remove what waited beside the spool for an item that is delivered."""
        if isinstance(item, Stored):
            for name in item.objects:
                (self.objects / name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove the file and the folder of objects where nothing waits, and nobody stores more."""
        if not self.waiting:
            if self._file is not None:
                self.path.unlink(missing_ok=True)
            shutil.rmtree(self.objects, ignore_errors=True)
            # The last one leaves no empty folder.
            with suppress(OSError):
                self.path.parent.rmdir()

    def _item_at(self, index: int) -> Item | None:
        if self._file is None or not self._waiting:
            return None
        place = self._waiting[index]
        found = next(frames_in(io.BytesIO(_read_at(self._file, place))), None)
        if found is None or isinstance(found[0], Header | Sent):
            raise Corrupt(f"{self.path} changed while it was used", why=f"at byte {place.offset}")
        return found[0]

    def _create(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        ignored = folder.parent / ".gitignore"
        if not ignored.exists():
            # Parameters may hold secrets; they must not slip into a repository.
            ignored.write_text("*\n", encoding="utf-8")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _binary()
        file = os.open(self.path, flags, FILE_MODE)
        # Nobody else knows the file yet, so this cannot fail where locks exist.
        lock(file)
        self._file, self._end = file, 0
        try:
            self._write(frame_of(self.header))
        except OSError:
            # Without its header what follows could not be read.
            self.path.unlink(missing_ok=True)
            self.close()
            raise

    def _write(self, frame: bytes) -> None:
        assert self._file is not None
        os.lseek(self._file, self._end, os.SEEK_SET)
        left = memoryview(frame)
        while left:
            left = left[os.write(self._file, left) :]
        self._end += len(frame)

    @classmethod
    def _read(cls, path: Path, file: int) -> Spool | None:
        with path.open("rb") as stream:
            entries = frames_in(stream)
            header, offset = next(entries, (None, 0))
            if header is None and stream.tell() == 0:
                # Its process was killed before it had written anything.
                path.unlink()
                os.close(file)
                return None
            if not isinstance(header, Header):
                raise Corrupt(f"{path} is not a spool", fix="move it away")
            if header.format > FORMAT:
                raise Unsupported(
                    f"{path} was written in format {header.format}",
                    why=f"this version of Millwright reads formats up to {FORMAT}",
                    fix="use a later one",
                )
            spool = cls(path, header)
            for entry, end in entries:
                if isinstance(entry, Sent):
                    while spool._waiting and spool._waiting[0].end <= entry.upto:
                        spool._waiting.popleft()
                elif not isinstance(entry, Header):
                    spool._waiting.append(_Place(offset, end - offset))
                offset = end
        spool.torn_bytes = os.fstat(file).st_size - offset
        os.ftruncate(file, offset)
        spool._file, spool._end = file, offset
        return spool


def frame_of(entry: Entry) -> bytes:
    """Return an entry as it stands in the file."""
    payload = _ENCODER.encode(entry)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def frames_in(stream: BinaryIO) -> Iterator[tuple[Entry, int]]:
    """Iterate over the entries from the stream's place on, each with the offset behind it.

    It ends at the first one that is not whole: all before it is as it was written.
    """
    offset = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(offset)
    while len(head := stream.read(_FRAME.size)) == _FRAME.size:
        size_bytes, check = _FRAME.unpack(head)
        # What is torn may promise gigabytes: no more is read than is there.
        if size_bytes > end - offset - _FRAME.size:
            return
        payload = stream.read(size_bytes)
        if zlib.crc32(payload) != check:
            return
        try:
            entry = _DECODER.decode(payload)
        except msgspec.MsgspecError:
            return
        offset += _FRAME.size + size_bytes
        yield entry, offset


def lock(file: int) -> bool:
    """Take the file for this process; False when another has it.

    Where the system has no such locks, everybody is told yes: what is delivered twice changes
    nothing.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        # Unlike those of POSIX this lock stands between two openings of the file in one process,
        # and a forked child that closes its copy does not undo it.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks.
        return True
    return True


def _read_at(file: int, place: _Place) -> bytes:
    os.lseek(file, place.offset, os.SEEK_SET)
    data = b""
    while len(data) < place.size_bytes and (piece := os.read(file, place.size_bytes - len(data))):
        data += piece
    return data


def _binary() -> int:
    return getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
