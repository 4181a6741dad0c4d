from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from millwright.server.mlflow.lane import Lane


class Committer:
    """Notes which calls shared a commit; the first waits until others have come."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bool]] = []
        self.go_on = threading.Event()

    def together(
        self, calls: Sequence[Callable[[], object]], *, relaxed: bool = False
    ) -> list[object | Exception]:
        self.batches.append((len(calls), relaxed))
        self.go_on.wait(10)
        return [_outcome(call) for call in calls]


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
