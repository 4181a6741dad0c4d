"""Files that are there whole or not at all, and file-system errors that say what to do.

A file is written aside under a name nobody looks for, made durable, and only then given its
name. fsync on the file alone is not enough: the name lives in the folder, which needs its own.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from millwright.core.errors import Denied, Failed, MillwrightError

READ_BYTES = 1 << 20


def read_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Iterate over what is left in `stream`, in pieces of at most 1 MiB."""
    return iter(lambda: stream.read(READ_BYTES), b"")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; raises OSError as the file system does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explain(error: OSError, what: str) -> MillwrightError:
    """Return the error of ours that says `what` could not be done, why, and what to do next."""
    reason = error.strerror or str(error)
    # Some failures know no path, and some know two (link, replace).
    why = ": ".join(str(part) for part in (reason, error.filename) if part is not None)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return Denied(what, why=why, fix="give this user access to the folder and its files")
        case errno.EROFS:
            return Denied(
                what, why=why, fix="mount the file system writable, or use another folder"
            )
        case errno.ENOSPC | errno.EDQUOT:
            return Failed(
                what, why=f"the disk or quota is full ({why})", fix="free some space and try again"
            )
        case errno.EFBIG:
            return Failed(
                what,
                why=f"the file is larger than the file system or a limit allows ({why})",
                fix="raise the limit (ulimit -f), or use another file system",
            )
        case errno.ENOENT | errno.ENOTDIR:
            return Failed(
                what,
                why=f"a folder or file it needs is not there ({why})",
                fix="check that the folder exists and its disk is mounted, then try again",
            )
        case _:
            return Failed(what, why=why)


class Aside:
    """A file in `folder` that has no name of its own yet; used in a `with` block.

    Leaving the block removes what was not named. `what` begins the message of every error:
    Denied or Failed, never a bare OSError.
    """

    def __init__(self, folder: Path, *, mode: int, what: str) -> None:
        self._path = folder / f".{secrets.token_hex(16)}.part"
        self._what = what
        self.size_bytes = 0
        try:
            # The mode binds whoever opens the file next, not this handle: what is to be
            # read-only is so from the start. The process's umask still applies.
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise explain(error, what) from error
        self._stream = os.fdopen(handle, "wb", buffering=READ_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing flushes, and on a full disk fails a second time; the first error is the one
        # to be heard. A leftover that cannot be removed is swept later.
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._path.unlink()

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        try:
            self._stream.write(piece)
        except OSError as error:
            raise explain(error, self._what) from error
        self.size_bytes += len(piece)

    def link_to(self, target: Path) -> None:
        """Make the bytes durable and name them `target`, unless that name is taken already."""
        try:
            self._sync()
            # A link, unlike a rename, does not replace: of two writers the first one stays.
            with suppress(FileExistsError):
                os.link(self._path, target)
            sync_folder(target.parent)
        except OSError as error:
            raise explain(error, self._what) from error

    def replace(self, target: Path) -> None:
        """Make the bytes durable and name them `target`, in place of what had that name."""
        try:
            self._sync()
            self._path.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise explain(error, self._what) from error

    def _sync(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
