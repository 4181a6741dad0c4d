"""Stored bytes over HTTP: sent only when they are not there, and checked when they come back."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from millwright.client.folders import Entry, decode_manifest, encode_manifest, list_files
from millwright.client.transport import Pieces, Transport
from millwright.core.digest import Digest, Hasher, digest_bytes, digest_file, parse_digest
from millwright.core.errors import Conflict, Corrupt, Failed, Invalid, NotFound

PIECE_BYTES = 1 << 20


class RemoteArtifacts:
    """Fills the door `Artifacts` over a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put_file(self, path: Path) -> Digest:
        """Store a file and return its digest; bytes that are stored already are not sent."""
        return self._put_entry("", path).digest

    def put_folder(self, path: Path) -> Digest:
        """Store a folder as a tree and return the tree's digest."""
        # The manifest goes last: a tree that is there is complete.
        manifest = encode_manifest(self._put_entry(name, file) for name, file in list_files(path))
        digest = digest_bytes(manifest)
        self._put(digest, lambda: [manifest], size_bytes=len(manifest))
        return digest

    def fetch(self, digest: Digest, target: Path) -> None:
        """Write stored bytes to a file, checked; when anything fails `target` is as it was."""
        place, aside = _place_of(digest), target.parent / f".{secrets.token_hex(16)}.part"
        try:
            self._transport.download(place, lambda pieces: _write_checked(aside, pieces, digest))
            aside.replace(target)
        except OSError as error:
            raise Failed(f"cannot write {target}", why=str(error)) from error
        finally:
            with suppress(OSError):
                aside.unlink()

    def fetch_folder(self, digest: Digest, target: Path) -> None:
        """Write a stored tree to a new folder, each file checked, all or nothing."""
        if target.is_symlink() or (target.exists() and not _is_empty_folder(target)):
            raise Conflict(
                f"{target} is in use",
                why="it is not an empty folder, and nothing in it is overwritten",
                fix="name a folder that is empty or does not exist",
            )
        manifest = self._transport.download(_place_of(digest), b"".join)
        _check_digest(digest_bytes(manifest), digest)
        aside = target.parent / f".{secrets.token_hex(16)}.part"
        try:
            aside.mkdir()
            for entry in decode_manifest(manifest):
                file = aside.joinpath(*entry.path.split("/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                self.fetch(entry.digest, file)
            aside.rename(target)
        except OSError as error:
            raise Failed(f"cannot write to {target}", why=str(error)) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _put_entry(self, name: str, path: Path) -> Entry:
        if not path.exists():
            raise NotFound(f"there is no file {path}")
        if not path.is_file():
            raise Invalid(f"{path} cannot be stored as a file", why="it is none")
        try:
            digest, size_bytes = digest_file(path), path.stat().st_size
        except OSError as error:
            raise Failed(f"cannot read {path}", why=str(error)) from error
        # What is written to the file between here and there has another digest, and the server
        # refuses it.
        self._put(digest, lambda: _read_pieces(path, size_bytes), size_bytes=size_bytes)
        return Entry(name, digest, size_bytes)

    def _put(self, digest: Digest, pieces: Pieces, *, size_bytes: int) -> None:
        with suppress(NotFound):
            if self._transport.size(_place_of(digest)) == size_bytes:
                return
        self._transport.upload(_place_of(digest), pieces, size_bytes=size_bytes)


def _place_of(digest: Digest) -> str:
    return f"/api/v1/artifacts/{quote(parse_digest(digest), safe='')}"


def _read_pieces(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Iterate over exactly as many bytes as were announced, or fewer if the file has shrunk."""
    left = size_bytes
    with path.open("rb") as stream:
        while left > 0 and (piece := stream.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
    if left:
        raise Failed(f"{path} became shorter while it was sent", fix="send it again")


def _write_checked(path: Path, pieces: Iterable[bytes], digest: Digest) -> None:
    hasher = Hasher()
    with path.open("wb") as stream:
        for piece in pieces:
            hasher.update(piece)
            stream.write(piece)
        _check_digest(hasher.digest(), digest)
        stream.flush()
        os.fsync(stream.fileno())


def _check_digest(found: Digest, wanted: Digest) -> None:
    if found != wanted:
        raise Corrupt(
            f"artifact {wanted} did not come over whole",
            why=f"the bytes received have the digest {found}",
            fix="fetch it again; if it happens again, look at the server's store",
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
