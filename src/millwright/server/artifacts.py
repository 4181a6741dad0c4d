"""Streams between the network and the artifact store: any size in, any size out, flat memory.

Who may: artifacts have no kind of their own, so each route takes any of the permissions whose
holders have bytes to move. Reading takes `data.read`, or `serve.follow`, with which a serving
process fetches the packages its plan names. Storing takes one of the permissions that register
what was stored: a run, a dataset, a model or decisions; bytes that nothing points at mean
nothing. Asking whether bytes are there is for both. `doors.artifacts` names the permissions.

What this does not do: the store knows no projects. A digest names its bytes in all of them, and
whoever has learned one reads it with `data.read` in any; whoever holds the same bytes can ask
whether they are there. So a digest is shown only to those who may read what it names, and what
is kept from readers of the journal (a batch of labels) has no address in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response, Stream

from millwright.core.digest import Digest, Hasher, parse_digest
from millwright.core.errors import Invalid
from millwright.doors.artifacts import READERS, WRITERS
from millwright.server.auth import NEEDS, Needs
from millwright.server.host import Host
from millwright.server.problems import AnyRequest
from millwright.server.routes import read_path
from millwright.server.streaming import pieces_of, take

PATH = "/api/v1/artifacts/{digest:str}"
CHECK_FIRST_BYTES = 64 << 20
"""Up to this size an object is read twice, so that damage is told before any of it goes."""
MEDIA_TYPE = "application/octet-stream"


class Streams:
    """Makes the handlers of artifacts.

    `threads` bounds those that read and those that store, each apart from the other and from
    those of ordinary requests: slow clients then wait for each other, not everybody for them.
    """

    def __init__(self, host: Host, *, threads: int) -> None:
        self._host = host
        self._uploads, self._downloads = CapacityLimiter(threads), CapacityLimiter(threads)

    def handlers(self) -> list[HTTPRouteHandler]:
        """Return the handlers for looking, reading and storing."""

        async def head(request: AnyRequest) -> Response[None]:
            return await self._look(_digest_of(request))

        async def get(request: AnyRequest) -> Stream:
            return await self._read(_digest_of(request))

        async def put(request: AnyRequest) -> Response[None]:
            return await self._store(_digest_of(request), request)

        return [
            HTTPRouteHandler(
                PATH,
                http_method="HEAD",
                name="artifacts.look",
                opt={NEEDS: Needs(READERS + WRITERS)},
            )(head),
            HTTPRouteHandler(
                PATH, http_method="GET", name="artifacts.read", opt={NEEDS: Needs(READERS)}
            )(get),
            HTTPRouteHandler(
                PATH,
                http_method="PUT",
                name="artifacts.store",
                opt={NEEDS: Needs(WRITERS)},
                status_code=204,
                request_max_body_size=None,
            )(put),
        ]

    async def _look(self, digest: Digest) -> Response[None]:
        size_bytes = await to_thread.run_sync(self._host.artifacts.size, digest)
        return Response(None, status_code=200, headers=_headers(digest, size_bytes))

    async def _read(self, digest: Digest) -> Stream:
        store = self._host.artifacts

        def start() -> tuple[int, BinaryIO]:
            size_bytes = store.size(digest)
            if size_bytes <= CHECK_FIRST_BYTES:
                return size_bytes, store.open_verified(digest)
            return size_bytes, store.open(digest)

        size_bytes, stream = await to_thread.run_sync(start, limiter=self._downloads)
        return Stream(
            # The store checks as it reads: a large object that is damaged ends in an error before
            # its last byte, and the client is left with fewer bytes than Content-Length promised.
            pieces_of(stream, self._downloads),
            media_type=MEDIA_TYPE,
            headers=_headers(digest, size_bytes),
        )

    async def _store(self, digest: Digest, request: AnyRequest) -> Response[None]:
        def put(pieces: Iterator[bytes]) -> None:
            self._host.artifacts.put_pieces(_checked(pieces, digest))

        await take(put, request.stream(), self._uploads)
        return Response(None, status_code=204)


def _checked(pieces: Iterator[bytes], digest: Digest) -> Iterator[bytes]:
    """Hand pieces on; raises Invalid behind the last when they are not what was announced.

    That is before the store names what it was given, so that nothing is stored.
    """
    hasher = Hasher()
    for piece in pieces:
        hasher.update(piece)
        yield piece
    if hasher.digest() != digest:
        raise Invalid(
            f"the bytes sent are not those of {digest}",
            why=f"the {hasher.size_bytes} bytes have the digest {hasher.digest()}",
            fix="send the file again; it may have changed meanwhile",
        )


def _digest_of(request: AnyRequest) -> Digest:
    return parse_digest(read_path(request)["digest"])


def _headers(digest: Digest, size_bytes: int) -> dict[str, str]:
    # What is stored may be a page or a script that somebody uploaded: never shown, only saved.
    return {
        "Content-Length": str(size_bytes),
        "Content-Disposition": f'attachment; filename="{digest.replace(":", "-")}"',
        "ETag": f'"{digest}"',
        "Cache-Control": "private, no-cache",
    }
