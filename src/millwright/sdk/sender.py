"""Delivery in the background: what a run logs is queued, and one thread a run sends it in batches.

Logging appends to a queue in memory and returns. The thread sends what has come together after
half a second, or at once when it is a thousand points. When the door does not answer, or more
has come than memory may hold, everything goes to the spool, and from there, in order, to the
door once it answers again. Training never waits for a server, and never fails for one.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.clock import Clock
from millwright.core.errors import Failed, MillwrightError, TimedOut
from millwright.sdk.backlog import Backlog
from millwright.sdk.batching import Mark, Point, Queue, settle, take
from millwright.sdk.forks import Calls
from millwright.sdk.items import (
    FIRST,
    Batch,
    Item,
    Refusal,
    bounded,
    deliver,
    deliver_parts,
    is_away,
)
from millwright.sdk.spool import Spool

if TYPE_CHECKING:
    from millwright.doors.door import Door

LINGER_S = 0.5
BATCH_POINTS = 1000
MAX_QUEUED = 50_000
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
MAX_FAILURES = 5
_JOIN_S = 5.0


class Sender:
    """Takes what one run logs in one process, from any thread, and delivers it.

    `open_door` is called when there is something to send and no `door` was given, and again
    while it raises. The thread begins with the first thing to send and ends with `stop`, which
    closes the door.
    """

    def __init__(
        self,
        open_door: Callable[[], Door],
        spool: Spool,
        *,
        clock: Clock,
        door: Door | None = None,
        linger_s: float = LINGER_S,
        max_queued: int = MAX_QUEUED,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.run = spool.header.run
        self.reason = ""
        self.refusals: list[Refusal] = []
        self.calls = Calls()
        """What the door is being asked, so that a fork can wait for the answers."""
        self._open_door = open_door
        self._door = door
        self._door_lock = threading.Lock()
        self._backlog = Backlog(spool, max_held=max_queued)
        self._clock = clock
        self._linger_s = linger_s
        self._max_queued = max_queued
        self._first_pause_s = first_pause_s
        self._queue: Queue = deque()
        self._lock = threading.RLock()
        self._in_flight: Item | None = None
        self._marks: list[Mark] = []
        self._spooled_marks: list[Mark] = []
        self._wake = threading.Event()
        self._awake = False
        self._hurry = threading.Event()
        self._hurried = False
        self._failures = 0
        self._pause_s = first_pause_s
        self._retry_at_s = 0.0
        self._away = spool.waiting > 0
        self._silent = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def away(self) -> bool:
        """Tell whether what is logged goes to the spool at present; `reason` says why."""
        return self._away

    @property
    def silent(self) -> bool:
        """Tell whether it is away in the way that costs most: it takes calls and never answers."""
        return self._away and self._silent

    @property
    def backlog(self) -> Backlog:
        """What waits, and what was lost."""
        return self._backlog

    @property
    def folder(self) -> Path:
        """Where objects wait for the artifact store."""
        return self._backlog.objects

    def open_folder(self) -> Path:
        """Make that folder, where there is none, and return it; raises OSError."""
        return self._backlog.spool.open_objects()

    def lose(self, what: str, error: OSError) -> None:
        """Note that there is no room for something; it is told, and training goes on."""
        with self._lock:
            self._backlog.lose(what, error)

    def door(self) -> Door:
        """Return the door, opened; raises what opening it raises."""
        with self._door_lock:
            if self._door is None:
                self._door = self._open_door()
            return self._door

    def log(self, points: list[Point]) -> None:
        """Take points; the first call of a quiet run wakes the thread, others only append."""
        queue = self._queue
        queue.extend(points)
        if not self._awake:
            self._rouse()
        if len(queue) >= BATCH_POINTS:
            self._crowd()

    def log_one(self, point: Point) -> None:
        """Take a point."""
        queue = self._queue
        queue.append(point)
        if not self._awake:
            self._rouse()
        if len(queue) >= BATCH_POINTS:
            self._crowd()

    def submit(self, item: Item) -> None:
        """Take an item, behind everything taken before."""
        if isinstance(item, Batch):
            self._queue.extend(bounded(item))
        else:
            self._queue.append(item)
        self._rouse()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was taken is delivered; False when it waits in the spool, or yet.

        A door that is away is tried once more.
        """
        mark = Mark()
        self._queue.append(mark)
        self._retry_at_s = 0.0
        self._hurry.set()
        self._rouse()
        if self._thread is None:
            # The interpreter is shutting down, and begins no threads any more.
            self._look()
        else:
            mark.reached.wait(timeout_s)
        return mark.delivered

    def set_away(self, error: MillwrightError) -> None:
        """Have everything go to the spool until the door answers: it was seen not to."""
        with self._lock:
            self._go_away(error)

    def forget(self) -> None:
        """In a child that was forked: let go of the parent's file, and leave all to the parent."""
        self._backlog.spool.close()

    def stop(self, last: Item | None = None) -> int:
        """End the thread and let go of the door; what is not delivered, and `last`, is spooled.

        Returns how many items wait in the spool.
        """
        with self._lock:
            self._stopping = True
            self._spill()
            if last is not None:
                self._backlog.append(last)
            self._give_up_marks()
            thread = self._thread
        self._awake = True
        self._hurry.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            # One that hangs in a call to a silent server ends with it, and touches nothing more.
            thread.join(0.0 if self.silent else _JOIN_S)
        with self._lock:
            waiting = self._backlog.close()
        if thread is None or not thread.is_alive():
            self._close_door()
        return waiting

    def _rouse(self) -> None:
        self._awake = True
        if self._thread is None:
            self._begin()
        self._wake.set()

    def _crowd(self) -> None:
        if not self._hurried:
            self._hurried = True
            self._hurry.set()
        if len(self._queue) > self._max_queued:
            with self._lock:
                if len(self._queue) > self._max_queued:
                    self._spill()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is not None or self._stopping:
                return
            name = f"millwright-{self.run}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down; `stop` spools what is left.
                return
            self._thread = thread

    def _work(self) -> None:
        try:
            while not self._stopping:
                self._pause()
                try:
                    self._look()
                except Exception as error:  # noqa: BLE001 (a thread that ends delivers nothing)
                    with self._lock:
                        self._go_away(Failed(f"{type(error).__name__}: {error}"))
        finally:
            if self._stopping:
                self._close_door()

    def _pause(self) -> None:
        retry_s: float | None = None
        if self._away:
            retry_s = max(0.0, self._retry_at_s - self._clock.monotonic_s())
        self._wake.wait(retry_s)
        self._wake.clear()
        # From here on whoever appends wakes the thread again; what came before is seen below.
        self._awake = False
        if not self._stopping:
            self._hurry.wait(self._linger_s)
        self._hurry.clear()
        self._hurried = False

    def _look(self) -> None:
        """Send what there is, from the spool where something waits in it."""
        with self._lock:
            if self._stopping:
                return
            spooling = self._away or self._backlog.waiting > 0
            if spooling:
                self._spill()
        if not spooling:
            self._send_queue()
        elif self._clock.monotonic_s() >= self._retry_at_s:
            self._send_spool()

    def _send_queue(self) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    return
                if self._backlog.waiting:
                    # More came than memory may hold; all goes by way of the spool now.
                    self._rouse()
                    return
                part = take(self._queue, self._marks)
                self._in_flight = part
                if part is None:
                    settle(self._marks, delivered=True)
                    return
            error = self._try(part)
            with self._lock:
                if error is not None:
                    self._go_away(error)
                    return
                self._in_flight = None
                settle(self._marks, delivered=True)
            self._backlog.spool.drop_objects(part)

    def _send_spool(self) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    return
                item = self._backlog.head()
                if item is None:
                    self._away, self.reason = False, ""
                    settle(self._marks, delivered=True)
                    settle(self._spooled_marks, delivered=True)
                    self._rouse()
                    return
            error = self._try(item)
            with self._lock:
                if self._stopping:
                    # It is delivered, or spooled; who sends it again changes nothing.
                    return
                if error is not None:
                    self._go_away(error)
                    return
                self._backlog.advance(item)
                self._spill()

    def _try(self, item: Item) -> MillwrightError | None:
        """Deliver an item; return the error when it must wait. What is refused is noted."""
        try:
            with self.calls:
                deliver(self.door(), self.run, item, folder=self._backlog.objects)
        except MillwrightError as error:
            if isinstance(item, FIRST) or is_away(error):
                return error
            return self._try_parts(item)
        except Exception as error:  # noqa: BLE001 (nothing that breaks here may end the thread)
            unknown = Failed(f"{type(error).__name__}: {error}")
            if isinstance(item, FIRST) or isinstance(error, OSError):
                return unknown
            # It breaks here, before any server saw it: that it does so always is found by trying.
            self._failures += 1
            if self._failures < MAX_FAILURES:
                return unknown
            self.refusals.append(Refusal(item, unknown))
        self._failures = 0
        return None

    def _try_parts(self, item: Item) -> MillwrightError | None:
        """Deliver what the door takes of an item that it refused as a whole."""
        folder = self._backlog.objects
        try:
            with self.calls:
                refused = deliver_parts(self.door(), self.run, item, folder=folder)
        except MillwrightError as error:
            return error
        self.refusals += refused
        self._failures = 0
        return None

    def _spill(self) -> None:
        self._keep_in_flight()
        while (part := take(self._queue, self._spooled_marks)) is not None:
            # Whatever interrupts this, a part that is in flight is kept by whoever comes next.
            self._in_flight = part
            self._keep_in_flight()

    def _keep_in_flight(self) -> None:
        """Put what is just being sent before all that comes later, in case it fails."""
        if self._in_flight is not None:
            self._backlog.append(self._in_flight)
            self._in_flight = None

    def _go_away(self, error: MillwrightError) -> None:
        pause_s = min(MAX_PAUSE_S, self._first_pause_s)
        if self._away and self._retry_at_s:
            pause_s = min(MAX_PAUSE_S, self._pause_s * 2)
        self._pause_s = pause_s
        # Half of it by chance, so that the runs of a big job do not all come at once.
        self._retry_at_s = self._clock.monotonic_s() + pause_s * (0.5 + random.random() / 2)  # noqa: S311
        self._away, self.reason = True, error.what
        self._silent = isinstance(error, TimedOut)
        self._spill()
        self._give_up_marks()

    def _give_up_marks(self) -> None:
        settle(self._marks, delivered=False)
        settle(self._spooled_marks, delivered=False)

    def _close_door(self) -> None:
        with self._door_lock:
            door, self._door = self._door, None
        if door is not None:
            # A home on a full disk cannot sign its journal now; whoever opens it next does.
            with suppress(MillwrightError), self.calls:
                door.close()
