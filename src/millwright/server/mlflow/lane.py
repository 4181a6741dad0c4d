"""Writes that wait share a commit: one thread takes all that has come and makes it durable at once.

While it commits, more arrives; so the busier the server, the more each commit carries, and a lone
client waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeAlias

MAX_TOGETHER = 64


class Committer(Protocol):
    """Makes calls with one commit, as `metadata.database.Database.together` does."""

    def together(
        self, calls: Sequence[Callable[[], object]], *, relaxed: bool = False
    ) -> list[object | Exception]:
        """Return what each call gave or raised."""
        ...


_Waiting: TypeAlias = "tuple[Callable[[], object], asyncio.Future[object], bool]"


class Lane:
    """Takes calls from one event loop; its thread begins with the first of them."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, call: Callable[[], object], *, relaxed: bool = False) -> object:
        """Return what `call` returns once it is committed; raises what it raises.

        Calls that are all `relaxed` share a commit that waits for no disk.
        """
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._loop = loop
            self._thread = threading.Thread(target=self._work, name="mlflow-writes", daemon=True)
            self._thread.start()
        future: asyncio.Future[object] = loop.create_future()
        self._waiting.put((call, future, relaxed))
        return await future

    def close(self) -> None:
        """End the thread once what waits is done."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        loop = self._loop
        assert loop is not None, "the thread is started by the first call"
        while True:
            batch = self._take()
            if not batch:
                return
            outcomes = self._committer.together(
                [call for call, _, _ in batch], relaxed=all(relaxed for _, _, relaxed in batch)
            )
            answers = list(zip((future for _, future, _ in batch), outcomes, strict=True))
            loop.call_soon_threadsafe(_deliver, answers)

    def _take(self) -> list[_Waiting]:
        first = self._waiting.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < MAX_TOGETHER and not self._waiting.empty():
            more = self._waiting.get()
            if more is None:
                # Asked to end: what came before is done first.
                self._waiting.put(None)
                break
            batch.append(more)
        return batch


def _deliver(answers: Sequence[tuple[asyncio.Future[object], object | Exception]]) -> None:
    for future, outcome in answers:
        if future.cancelled():
            continue  # Its client has gone; what it asked for is done.
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
