"""Runs and processes: forked children are told, and workers deliver before they are gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Protocol
from weakref import ref


class Forkable(Protocol):
    """What wants to know that it is in a child."""

    def note_fork(self) -> None:
        """Note it; called in the child before anything else."""
        ...


def tell_of_forks(run: Forkable) -> None:
    """Have a run told, in every child that is forked from here, that it is in one."""
    # To ask for the process at every call would cost more than all else in it. A hook cannot be
    # taken back; of a run that is gone no more than the hook remains.
    found = ref(run)

    def tell() -> None:
        run = found()
        if run is not None:
            run.note_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=tell)


def end_with_worker(end: Callable[[], None]) -> None:
    """Have `end` called when a process of multiprocessing is over: it runs no exit handlers."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, end, exitpriority=0)
