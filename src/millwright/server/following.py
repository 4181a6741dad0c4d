"""Waiting for a plan to change without holding a thread.

However many serving processes wait, one loop in this process asks the home for its plan
revision and wakes them; while nobody waits it does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from anyio import to_thread

LOOK_EVERY_S = 0.15


class PlanFollower:
    """Wakes who waits for the plan revision to move; lives in one event loop."""

    def __init__(
        self,
        read_revision: Callable[[], int],
        *,
        is_stopping: Callable[[], bool],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._read_revision = read_revision
        self._is_stopping = is_stopping
        self._look_every_s = look_every_s
        self._waiting: dict[asyncio.Future[bool], int] = {}
        self._loop: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    async def wait(self, seen: int, *, timeout_s: float) -> bool:
        """Return True when the revision is no longer `seen`; False when the time is up first.

        It is up for everybody when the server stops. Raises what reading the revision raises.
        """
        woken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = seen
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look_on())
        try:
            return await asyncio.wait_for(woken, timeout_s)
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(woken, None)

    async def _look_on(self) -> None:
        while self._waiting:
            try:
                revision = await to_thread.run_sync(self._read_revision)
            except Exception as error:  # noqa: BLE001 - told to each who waits, who answers it
                for woken in list(self._waiting):
                    if not woken.done():
                        woken.set_exception(error)
                return
            stopping = self._is_stopping()
            for woken, seen in self._waiting.items():
                if not woken.done() and (stopping or revision != seen):
                    woken.set_result(revision != seen)
            await asyncio.sleep(self._look_every_s)
