"""MLflow's artifact proxy: bytes in and out by path, streamed, and uploads in parts.

A file's bytes go to the artifact store under their digest, and then get the path as their name;
an upload that breaks off has stored nothing. Parts of an upload are objects of their own, put
together when the client says that it is complete; each part's address is signed, since clients
send parts without their credentials.
"""

from __future__ import annotations

import hashlib
import hmac
import mimetypes
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from anyio import CapacityLimiter, to_thread
from msgspec import Struct

from millwright.artifacts.paths import parse_artifact_path
from millwright.artifacts.store import ArtifactStore, Blob
from millwright.core.clock import Clock
from millwright.core.digest import Digest, parse_digest
from millwright.core.errors import Invalid, NotFound
from millwright.records.access import Permission
from millwright.records.runs import ArtifactFile
from millwright.server.mlflow.call import Call, Endpoint, need
from millwright.server.mlflow.errors import MlflowError, invalid, missing
from millwright.server.mlflow.spelling import Json
from millwright.server.mlflow.stored import (
    check_writable,
    find_stored,
    is_stored,
    list_stored,
)
from millwright.server.streaming import pieces_of, take

BASE = "/2.0/mlflow-artifacts"
FILES = f"{BASE}/artifacts/"
PARTS = f"{BASE}/mpu/part/"
MAX_PARTS = 10_000
PART_TOLD_BYTES = 1024
PART_LIFETIME_S = 24 * 3600
CHECK_FIRST_BYTES = 64 << 20


class _Listed(Struct, frozen=True):
    path: str = ""


class _Begin(Struct, frozen=True):
    path: str = ""
    num_parts: int = 1


class _Part(Struct, frozen=True):
    part_number: int
    etag: str = ""
    url: str = ""


class _Complete(Struct, frozen=True):
    path: str = ""
    upload_id: str = ""
    parts: list[_Part] = []


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes on their way to a client."""

    headers: list[tuple[bytes, bytes]]
    pieces: AsyncIterator[bytes]


class Transfers:
    """Moves bytes for the routes of the artifact proxy."""

    def __init__(self, artifacts: ArtifactStore, *, clock: Clock, threads: int) -> None:
        self._artifacts = artifacts
        self._clock = clock
        self._uploads, self._downloads = CapacityLimiter(threads), CapacityLimiter(threads)
        # Whoever restarts the server has clients begin their uploads in parts again.
        self._secret = secrets.token_bytes(32)

    def endpoints(self) -> Iterable[Endpoint]:
        """Return the routes that move no bytes."""
        read, write = Permission.RUN_READ, Permission.RUN_WRITE
        yield Endpoint("GET", f"{BASE}/artifacts", read, "read", list_folder)
        yield Endpoint("POST", f"{BASE}/mpu/create/{{*path}}", write, "read", self.begin)
        # Each part is told with its address.
        room = MAX_PARTS * PART_TOLD_BYTES
        yield Endpoint("POST", f"{BASE}/mpu/complete/{{*path}}", write, "work", self.complete, room)
        yield Endpoint("POST", f"{BASE}/mpu/abort/{{*path}}", write, "read", abort)
        yield Endpoint("GET", f"{BASE}/presigned/{{*path}}", read, "read", presign)
        yield Endpoint("DELETE", f"{FILES}{{*path}}", write, "write", delete)

    async def upload(self, incoming: AsyncIterator[bytes]) -> Blob:
        """Store what a client sends."""
        return await take(self._artifacts.put_pieces, incoming, self._uploads)

    async def download(self, file: ArtifactFile) -> Outgoing:
        """Return the bytes of a file; raises NotFound and Corrupt before the first of them."""

        def start() -> tuple[bytes, AsyncIterator[bytes]]:
            small = file.size_bytes <= CHECK_FIRST_BYTES
            store = self._artifacts
            stream = store.open_verified(file.digest) if small else store.open(file.digest)
            return str(file.size_bytes).encode(), pieces_of(stream, self._downloads)

        length, pieces = await to_thread.run_sync(start, limiter=self._downloads)
        name = file.path.rpartition("/")[2]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if kind in {"text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"}:
            kind = "text/plain"  # What somebody uploaded is never a page of ours.
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", length),
            (b"content-disposition", f"attachment; filename*=UTF-8''{quote(name)}".encode()),
            (b"etag", f'"{file.digest}"'.encode()),
        ]
        return Outgoing(headers, pieces)

    def begin(self, call: Call) -> Json:
        """Begin an upload in parts."""
        given = call.read(_Begin)
        need(given.path, "path")
        if not 1 <= given.num_parts <= MAX_PARTS:
            raise invalid(f"An upload has 1 to {MAX_PARTS} parts, not {given.num_parts}")
        upload = secrets.token_hex(16)
        until = self._now_s() + PART_LIFETIME_S
        return {
            "upload_id": upload,
            "credentials": [
                {
                    "url": f"{call.base}/api{PARTS}{upload}/{number}/{until}/"
                    + self._signature(upload, str(number), str(until)),
                    "part_number": number,
                    "headers": {},
                }
                for number in range(1, given.num_parts + 1)
            ],
        }

    def check_part(self, path: str) -> None:
        """Return when the address of a part was made by `begin`; raises MlflowError."""
        match path.split("/"):
            case [upload, number, until, signature] if until.isascii() and until.isdigit():
                expected = self._signature(upload, number, until)
                if hmac.compare_digest(signature, expected) and int(until) >= self._now_s():
                    return
            case _:
                pass
        raise MlflowError("PERMISSION_DENIED", "This address of a part is not valid any more")

    def complete(self, call: Call) -> Json:
        """Put the parts together, and give them their name."""
        given = call.read(_Complete)
        # The address names the folder, and `path` the file where it lies on the client's machine.
        name = need(given.path, "path").replace("\\", "/").rpartition("/")[2]
        path = safe_path(f"{call.part('path').strip('/')}/{name}")
        ordered = sorted(given.parts, key=lambda part: part.part_number)
        numbers = [part.part_number for part in ordered]
        if not numbers or numbers != list(range(1, len(ordered) + 1)):
            raise invalid("The parts of an upload are numbered from 1, and none may be missing")
        try:
            digests = [parse_digest(part.etag.strip('"')) for part in ordered]
            blob = self._artifacts.put_pieces(self._joined(digests))
        except (Invalid, NotFound) as error:
            raise invalid(f"A part of the upload is not there: {error.what}") from error
        return name_file(call, path, blob)

    def _joined(self, digests: Iterable[Digest]) -> Iterator[bytes]:
        for digest in digests:
            with self._artifacts.open(digest) as stream:
                while piece := stream.read(1 << 20):
                    yield piece

    def _now_s(self) -> int:
        return self._clock.now_us() // 1_000_000

    def _signature(self, *parts: str) -> str:
        return hmac.new(self._secret, "/".join(parts).encode(), hashlib.sha256).hexdigest()


def list_folder(call: Call) -> Json:
    """Return what lies in a folder, by names."""
    path = call.read(_Listed).path.rstrip("/")
    folder = safe_path(path) if path else ""
    stored = is_stored(folder)
    found = list_stored(call, folder) if stored else call.door.files.list_folder(folder=folder)
    files: list[Json] = []
    for entry in found:
        name = entry.path.rpartition("/")[2]
        if entry.digest is None:
            files.append({"path": name, "is_dir": True})
        else:
            files.append({"path": name, "is_dir": False, "file_size": entry.size_bytes})
    return {"files": files}


def delete(call: Call) -> Json:
    """Take the names of a file, or of all in a folder, away."""
    call.door.files.delete(path=check_writable(safe_path(call.part("path"))))
    return {}


def abort(call: Call) -> Json:
    """End an upload in parts; its parts are objects that nothing points at."""
    need(call.read(_Complete).upload_id, "upload_id")
    return {}


def presign(call: Call) -> Json:
    """Refuse: artifacts that lie here are sent by us."""
    safe_path(call.part("path"))
    raise MlflowError(
        "NOT_IMPLEMENTED",
        "This server keeps artifacts itself; download them from mlflow-artifacts/artifacts",
    )


def safe_path(path: str) -> str:
    """Return a path of an artifact; raises MlflowError for one that leads elsewhere."""
    decoded = path
    for _ in range(3):
        try:
            parse_artifact_path(decoded)
        except Invalid as error:
            raise invalid("Invalid path") from error
        again = unquote(decoded)
        if again == decoded:
            return path
        decoded = again
    raise invalid("Invalid path")


def find_file(call: Call, path: str) -> ArtifactFile:
    """Return the file at a path; raises MlflowError when there is none."""
    if is_stored(path):
        return find_stored(call, safe_path(path))
    try:
        return call.door.files.show(path=safe_path(path))
    except NotFound as error:
        if call.door.files.list_folder(folder=path):
            raise invalid(f"Artifact path refers to a directory, not a file: '{path}'") from error
        raise missing(f"No such artifact: '{path}'") from error


def name_file(call: Call, path: str, blob: Blob) -> Json:
    """Give stored bytes their path."""
    call.door.files.put(
        files=[
            ArtifactFile(path=check_writable(path), digest=blob.digest, size_bytes=blob.size_bytes)
        ]
    )
    return {}
