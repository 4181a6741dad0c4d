"""Bytes between the network and the artifact store: any size, flat memory, both sides busy.

The store works in a thread. While it hashes and writes one piece the event loop gathers the next,
and no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import BinaryIO, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread

T = TypeVar("T")

PIECE_BYTES = 1 << 20


async def take(
    put: Callable[[Iterator[bytes]], T], incoming: AsyncIterator[bytes], limiter: CapacityLimiter
) -> T:
    """Return what `put` makes of the bytes, given to it in a thread, in pieces of about 1 MiB.

    What `put` or the connection raises is passed on.
    """
    ahead: asyncio.Task[bytes] = asyncio.ensure_future(_gather(incoming))

    async def next_piece() -> bytes:
        nonlocal ahead
        piece = await ahead
        if piece:
            ahead = asyncio.ensure_future(_gather(incoming))
        return piece

    def pieces() -> Iterator[bytes]:
        while piece := from_thread.run(next_piece):
            yield piece

    try:
        return await to_thread.run_sync(lambda: put(pieces()), limiter=limiter)
    finally:
        ahead.cancel()


async def pieces_of(stream: BinaryIO, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    """Iterate over what is left in a stream, which is closed at the end."""
    try:
        while piece := await to_thread.run_sync(stream.read, PIECE_BYTES, limiter=limiter):
            yield piece
    finally:
        stream.close()


async def _gather(incoming: AsyncIterator[bytes]) -> bytes:
    gathered = bytearray()
    async for part in incoming:
        gathered += part
        if len(gathered) >= PIECE_BYTES:
            break
    return bytes(gathered)
