"""Runs and processes: forked children are told, and workers deliver before they are gone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import ref

HOLD_S = 5.0


class Forkable(Protocol):
    """What wants to know that it is in a child, and not to be forked while it speaks."""

    def hold_still(self, timeout_s: float) -> None:
        """Wait for the call that another thread is in, and let none begin."""
        ...

    def go_on(self) -> None:
        """Let calls begin again; called by the thread that held them."""
        ...

    def note_fork(self) -> None:
        """Note it; called in the child before anything else."""
        ...


class Calls:
    """Counts the calls to the home that are under way, in a `with` block each.

    Any number of threads may be in one at a time, unless it is held for a fork.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._under_way = 0

    def __enter__(self) -> None:
        with self._change:
            self._under_way += 1

    def __exit__(self, *raised: object) -> None:
        with self._change:
            self._under_way -= 1
            self._change.notify_all()

    def hold(self, timeout_s: float) -> None:
        """Wait for the calls that are under way, but no longer than this, and let none begin."""
        self._change.acquire()
        self._change.wait_for(lambda: not self._under_way, timeout_s)

    def go_on(self) -> None:
        """Let calls begin again; for the thread that held them."""
        self._change.release()


def tell_of_forks(run: Forkable) -> None:
    """Have a run told, in every child that is forked from here, that it is in one.

    Before, its calls to the home are waited for: a lock of SQLite's that a thread holds at that
    moment is held in the child for ever, since the thread is not there. A database that is busy
    is not waited for longer than HOLD_S.
    """
    # To ask for the process at every call would cost more than all else in it. A hook cannot be
    # taken back; of a run that is gone no more than the hook remains.
    found = ref(run)

    def hold() -> None:
        if (run := found()) is not None:
            run.hold_still(HOLD_S)

    def go_on() -> None:
        if (run := found()) is not None:
            run.go_on()

    def tell() -> None:
        if (run := found()) is not None:
            run.go_on()
            run.note_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=tell)


def end_with_worker(end: Callable[[], None]) -> None:
    """Have `end` called when a process of multiprocessing is over: it runs no exit handlers."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, end, exitpriority=0)
