"""Batches for models that are slow: take what is queued, and wait for nobody.

While one batch is being answered the next one gathers by itself, so a model whose call costs as
much for 64 rows as for one answers many clients at the rate of one, and an idle server adds no
delay. The model runs in a pool of threads; a model has at most one batch in work, and after
each batch goes to the end of the pool's queue, so that no model starves another.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from millwright.core.clock import Clock
from millwright.core.errors import TimedOut, Unreachable
from millwright.registry.flavor import Predictor
from millwright.registry.signature import Array, Columns

MAX_QUEUED_ROWS = 20_000
MAX_BATCH_ROWS = 4096
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model answered, and when it began and ended (monotonic seconds)."""

    outputs: dict[str, Array]
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    columns: Columns
    rows: int
    deadline_s: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]


class Batcher:
    """Answers rows with one model, in the threads of `pool`."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        pool: Executor,
        clock: Clock,
        max_queued_rows: int = MAX_QUEUED_ROWS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._predictor = predictor
        self._pool = pool
        self._clock = clock
        self._max_queued_rows = max_queued_rows
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._queued_rows = 0
        self._at_work = False

    async def predict(self, columns: Columns, rows: int) -> Outcome:
        """Return what the model answers to these rows; what it raises is raised here.

        Raises Unreachable at once when too many rows are queued already, and TimedOut when the
        answer is not there within the deadline.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            columns,
            rows,
            self._clock.monotonic_s() + self._deadline_s,
            loop,
            loop.create_future(),
        )
        with self._lock:
            # A request that is larger than the whole queue still goes through when it is alone.
            if self._queue and self._queued_rows + rows > self._max_queued_rows:
                raise Unreachable(
                    "the model is overloaded",
                    why=f"{self._queued_rows} rows are queued; at most {self._max_queued_rows} are",
                    fix="try again a little later",
                )
            self._queue.append(waiting)
            self._queued_rows += rows
            idle, self._at_work = not self._at_work, True
        if idle:
            self._pool.submit(self._work)
        try:
            return await asyncio.wait_for(waiting.future, self._deadline_s)
        except TimeoutError as error:
            self._drop(waiting)
            raise TimedOut(
                f"the model did not answer within {self._deadline_s:g} s",
                fix="send fewer rows, or try again later",
            ) from error

    def _drop(self, waiting: _Waiting) -> None:
        """Free the place in the queue of a request that nobody waits for any more."""
        with self._lock:
            # By identity: two requests of arrays have no equality.
            for at, each in enumerate(self._queue):
                if each is waiting:
                    del self._queue[at]
                    self._queued_rows -= waiting.rows
                    return

    def _work(self) -> None:
        """Answer one batch; if more is queued by then, come back for it."""
        batch = self._take()
        if batch:
            self._answer(batch)
        with self._lock:
            self._at_work = bool(self._queue)
            if not self._at_work:
                return
        self._pool.submit(self._work)

    def _take(self) -> list[_Waiting]:
        now = self._clock.monotonic_s()
        batch: list[_Waiting] = []
        rows = 0
        with self._lock:
            while self._queue and (not batch or rows + self._queue[0].rows <= MAX_BATCH_ROWS):
                waiting = self._queue.popleft()
                self._queued_rows -= waiting.rows
                # Nobody waits for the others any more: their callers were told so.
                if waiting.deadline_s > now and not waiting.future.done():
                    batch.append(waiting)
                    rows += waiting.rows
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        began = self._clock.monotonic_s()
        try:
            outputs = self._predictor.predict(_joined([each.columns for each in batch]))
        except Exception as error:  # noqa: BLE001 (a model may raise anything)
            if len(batch) == 1:
                _deliver(batch[0], error)
                return
            # One caller's rows must not fail the others'.
            for waiting in batch:
                self._answer([waiting])
            return
        ended = self._clock.monotonic_s()
        at = 0
        for waiting in batch:
            part = {name: values[at : at + waiting.rows] for name, values in outputs.items()}
            _deliver(waiting, Outcome(part, began, ended))
            at += waiting.rows


def _joined(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _deliver(waiting: _Waiting, outcome: Outcome | Exception) -> None:
    def settle() -> None:
        if waiting.future.done():
            return
        if isinstance(outcome, Exception):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    try:
        waiting.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The loop is closed: the process is ending, and whoever waited is gone.
        return
