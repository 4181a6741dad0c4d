from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from millwright.metadata.database import WouldWait
from millwright.server.mlflow.lane import MAX_IN_A_ROW, SLOW_S, Lane


class Committer:
    """Notes which calls shared a commit; the first waits until others have come."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bool]] = []
        self.go_on = threading.Event()
        self.others_write = False
        self.at_once_count = 0

    def together(
        self, calls: Sequence[Callable[[], object]], *, relaxed: bool = False
    ) -> list[object | Exception]:
        self.batches.append((len(calls), relaxed))
        self.go_on.wait(10)
        return [_outcome(call) for call in calls]

    def at_once(self, call: Callable[[], object]) -> object:
        if self.others_write:
            raise WouldWait
        self.at_once_count += 1
        return call()


def _outcome(call: Callable[[], object]) -> object | Exception:
    try:
        return call()
    except ValueError as error:
        return error


def test_what_waits_shares_a_commit() -> None:
    committer = Committer()

    async def ask() -> list[object | BaseException]:
        lane = Lane(committer)

        def fail() -> object:
            raise ValueError("no")

        first = asyncio.create_task(lane.run(lambda: "first", relaxed=True))
        while not committer.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(lane.run(lambda n=n: n, relaxed=True)) for n in range(3)]
        others.append(asyncio.create_task(lane.run(fail)))
        await asyncio.sleep(0.01)
        committer.go_on.set()
        found = await asyncio.gather(first, *others, return_exceptions=True)
        await asyncio.to_thread(lane.close)
        return found

    *done, failed = asyncio.run(ask())
    assert done == ["first", 0, 1, 2]
    assert isinstance(failed, ValueError)
    # One that must be durable makes all of its commit so.
    assert committer.batches == [(1, True), (4, False)]


def test_it_is_closed_before_it_was_asked_and_after() -> None:
    committer = Committer()
    committer.go_on.set()
    Lane(committer).close()

    async def ask() -> object:
        lane = Lane(committer)
        found = await lane.run(lambda: 1)
        lane.close()
        lane.close()
        return found

    assert asyncio.run(ask()) == 1


def test_who_has_gone_holds_nobody_up() -> None:
    committer = Committer()

    async def ask() -> object:
        lane = Lane(committer)
        gone = asyncio.create_task(lane.run(lambda: "gone"))
        while not committer.batches:
            await asyncio.sleep(0.001)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        committer.go_on.set()
        found = await lane.run(lambda: "here")
        lane.close()
        return found

    assert asyncio.run(ask()) == "here"


class TestTheEventLoop:
    """What is short is stored by the loop itself while nothing else is under way."""

    def ask(self, committer: Committer, *calls: Callable[[], object]) -> list[object]:
        committer.go_on.set()

        async def ask() -> list[object]:
            lane = Lane(committer)
            found = [await lane.run(call, relaxed=True, short=True) for call in calls]
            lane.close()
            return found

        return asyncio.run(ask())

    def test_it_needs_no_thread(self) -> None:
        committer = Committer()
        assert self.ask(committer, threading.get_ident) == [threading.get_ident()]
        assert committer.batches == []

    def test_what_another_writer_holds_up_waits_in_the_thread(self) -> None:
        committer = Committer()
        committer.others_write = True
        assert self.ask(committer, lambda: 1, lambda: 2) == [1, 2]
        assert committer.batches == [(1, True), (1, True)]

    def test_after_a_slow_one_the_thread_stores_for_a_while(self) -> None:
        committer = Committer()
        assert self.ask(committer, lambda: time.sleep(SLOW_S * 10), lambda: 2) == [None, 2]
        assert (committer.at_once_count, committer.batches) == (1, [(1, True)])

    def test_the_thread_comes_by_once_in_a_while(self) -> None:
        committer = Committer()
        lane_calls: list[Callable[[], object]] = [lambda: 1] * (2 * MAX_IN_A_ROW)
        assert self.ask(committer, *lane_calls) == [1] * len(lane_calls)
        assert len(committer.batches) >= 1
        assert committer.at_once_count + len(committer.batches) == len(lane_calls)

    def test_what_is_under_way_is_not_overtaken(self) -> None:
        committer = Committer()

        async def ask() -> list[object]:
            lane = Lane(committer)
            first = asyncio.create_task(lane.run(lambda: "first", relaxed=True))
            while not committer.batches:
                await asyncio.sleep(0.001)
            second = asyncio.create_task(lane.run(lambda: "second", relaxed=True, short=True))
            await asyncio.sleep(0.01)
            committer.go_on.set()
            found = [await first, await second, await lane.run(int, relaxed=True, short=True)]
            lane.close()
            return found

        assert asyncio.run(ask()) == ["first", "second", 0]
        assert (committer.at_once_count, len(committer.batches)) == (1, 2)
