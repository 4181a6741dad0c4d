"""Bytes between the network and the artifact store: any size, flat memory, both sides busy.

The store works in a thread. While it hashes and writes one piece the event loop gathers the next,
and no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import BinaryIO, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread

from millwright.core.errors import TimedOut

T = TypeVar("T")

PIECE_BYTES = 1 << 20
SILENCE_S = 60.0
"""After which an upload that sends nothing is given up."""


async def take(
    put: Callable[[Iterator[bytes]], T], incoming: AsyncIterator[bytes], limiter: CapacityLimiter
) -> T:
    """Return what `put` makes of the bytes, given to it in a thread, in pieces of about 1 MiB.

    The thread begins with the first piece, and gives its place in `limiter` back while it waits
    for the next: whoever sends slowly keeps nobody else waiting. What `put` or the connection
    raises is passed on; raises TimedOut when nothing comes for SILENCE_S.
    """
    ahead: asyncio.Task[bytes] = asyncio.ensure_future(_gather(incoming))
    holder, holds = object(), False

    async def next_piece() -> bytes:
        nonlocal ahead, holds
        if not ahead.done():
            limiter.release_on_behalf_of(holder)
            holds = False
            await asyncio.wait([ahead])
            await limiter.acquire_on_behalf_of(holder)
            holds = True
        piece = await ahead
        if piece:
            ahead = asyncio.ensure_future(_gather(incoming))
        return piece

    def pieces() -> Iterator[bytes]:
        while piece := from_thread.run(next_piece):
            yield piece

    try:
        await asyncio.wait([ahead])
        await limiter.acquire_on_behalf_of(holder)
        holds = True
        # Its own limiter: `limiter` counts those that work, not those that wait.
        return await to_thread.run_sync(lambda: put(pieces()), limiter=CapacityLimiter(1))
    finally:
        ahead.cancel()
        if holds:
            limiter.release_on_behalf_of(holder)


async def pieces_of(stream: BinaryIO, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    """Iterate over what is left in a stream, which is closed at the end."""
    try:
        while piece := await to_thread.run_sync(stream.read, PIECE_BYTES, limiter=limiter):
            yield piece
    finally:
        stream.close()


async def _gather(incoming: AsyncIterator[bytes]) -> bytes:
    gathered = bytearray()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(SILENCE_S) as silence:
            async for part in incoming:
                gathered += part
                if len(gathered) >= PIECE_BYTES:
                    break
                silence.reschedule(loop.time() + SILENCE_S)
    except TimeoutError as error:
        raise TimedOut(
            f"the upload was given up: nothing came for {SILENCE_S:g} s",
            why="whoever sends nothing holds what others need; nothing was stored",
            fix="send the file again",
        ) from error
    return bytes(gathered)
