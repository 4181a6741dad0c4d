"""Writes that wait share a commit: one thread takes all that has come and makes it durable at once.

While it commits, more arrives; so the busier the server, the more each commit carries, and a lone
client waits for nobody.

To wake the thread, and to be woken by it, costs more than to store a metric. So where nothing is
under way the event loop stores it itself, as long as that takes no longer than such a thing takes:
it waits for no lock and no disk, and after one that was slow all go to the thread for a while.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from millwright.metadata.database import WouldWait

MAX_TOGETHER = 64
SLOW_S = 0.002
REST_FACTOR = 50
"""How many times as long as a slow one took the loop stores none: it loses a fiftieth to them."""
MAX_IN_A_ROW = 256


class Committer(Protocol):
    """Makes calls with one commit, as `metadata.database.Database.together` does."""

    def together(
        self, calls: Sequence[Callable[[], object]], *, relaxed: bool = False
    ) -> list[object | Exception]:
        """Return what each call gave or raised."""
        ...

    def at_once(self, call: Callable[[], object]) -> object:
        """Return what a call gives that waits for nothing; raises WouldWait."""
        ...


_Waiting: TypeAlias = "tuple[Callable[[], object], asyncio.Future[object], bool]"


class Lane:
    """Takes calls from one event loop; its thread begins with the first of them."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way = 0
        self._in_a_row = 0
        """How many the loop has stored since the thread last came by, which tidies the log too."""
        self._rest_until_s = 0.0

    async def run(
        self, call: Callable[[], object], *, relaxed: bool = False, short: bool = False
    ) -> object:
        """Return what `call` returns once it is committed; raises what it raises.

        Calls that are all `relaxed` share a commit that waits for no disk. One that is `short`
        as well, a metric or a tag, may be made in the event loop.
        """
        loop = asyncio.get_running_loop()
        if relaxed and short and not self._under_way and self._in_a_row < MAX_IN_A_ROW:
            began_s = loop.time()
            if began_s >= self._rest_until_s:
                self._in_a_row += 1
                try:
                    return self._committer.at_once(call)
                except WouldWait:
                    pass
                finally:
                    ended_s = loop.time()
                    if (took_s := ended_s - began_s) > SLOW_S:
                        self._rest_until_s = ended_s + REST_FACTOR * took_s
        self._in_a_row = 0
        if self._thread is None:
            self._loop = loop
            self._thread = threading.Thread(target=self._work, name="mlflow-writes", daemon=True)
            self._thread.start()
        future: asyncio.Future[object] = loop.create_future()
        self._waiting.put((call, future, relaxed))
        self._under_way += 1
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
            loop.call_soon_threadsafe(self._deliver, answers)

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

    def _deliver(
        self, answers: Sequence[tuple[asyncio.Future[object], object | Exception]]
    ) -> None:
        self._under_way -= len(answers)
        for future, outcome in answers:
            if future.cancelled():
                continue  # Its client has gone; what it asked for is done.
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
