from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from pathlib import Path

from millwright.sdk.forks import Calls, end_with_worker, tell_of_forks


class Told:
    def __init__(self) -> None:
        self.forks = 0
        self.calls = Calls()

    def hold_still(self, timeout_s: float) -> None:
        self.calls.hold(timeout_s)

    def go_on(self) -> None:
        self.calls.go_on()

    def note_fork(self) -> None:
        self.forks += 1


def in_child(action: object) -> int:
    """Return what a forked child exits with: the number of forks it was told of."""
    child = os.fork()
    if child == 0:
        os._exit(action.forks if isinstance(action, Told) else 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_is_told_and_the_parent_is_not() -> None:
    told = Told()
    tell_of_forks(told)
    assert in_child(told) == 1
    assert told.forks == 0


def test_a_fork_waits_for_the_calls_that_are_under_way() -> None:
    told = Told()
    tell_of_forks(told)
    begun, seen = threading.Event(), list[str]()

    def call() -> None:
        with told.calls:
            begun.set()
            # Longer than a fork takes that does not wait.
            time.sleep(0.2)
            seen.append("answered")

    thread = threading.Thread(target=call)
    thread.start()
    begun.wait()
    assert in_child(told) == 1
    assert seen == ["answered"]
    thread.join()
    with told.calls, told.calls:
        seen.append("calls begin again, many at once")


def test_a_call_that_is_not_answered_is_not_waited_for_long() -> None:
    calls = Calls()
    with calls:
        calls.hold(timeout_s=0.01)
        calls.go_on()


def test_a_run_that_is_gone_is_not_kept_for_it() -> None:
    told = Told()
    tell_of_forks(told)
    del told
    gc.collect()
    assert in_child(Told()) == 0


def work(path: Path) -> None:
    end_with_worker(lambda: path.write_text("delivered"))  # pyright: ignore[reportArgumentType]


def test_a_worker_delivers_before_it_is_gone(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("fork").Process(target=work, args=(tmp_path / "a",))
    worker.start()
    worker.join()
    assert (tmp_path / "a").read_text() == "delivered"


def test_the_first_process_ends_by_its_exit_handlers(tmp_path: Path) -> None:
    work(tmp_path / "a")
    assert not (tmp_path / "a").exists()
