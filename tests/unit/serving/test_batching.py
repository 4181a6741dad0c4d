"""Slow models answer what is queued in one go, and say no in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pytest

from millwright.core.clock import SystemClock
from millwright.core.errors import TimedOut, Unreachable
from millwright.registry.signature import Array, Columns
from millwright.serving.batching import Batcher

T = TypeVar("T")


class Held:
    """A model that answers only while `go` is set, and remembers its batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[float]] = []

    def predict(self, columns: Columns) -> dict[str, Array]:
        assert self.go.wait(10)
        values = columns["x"].astype(np.float64)
        self.batches.append(values.tolist())
        if bool((values < 0).any()):
            raise ValueError("negative")
        return {"prediction": values * 2}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def column(*values: float) -> Columns:
    return {"x": np.array(values)}


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


async def ask(batcher: Batcher, *values: float) -> list[float]:
    outcome = await batcher.predict(column(*values), len(values))
    assert outcome.ended_s >= outcome.began_s
    return outcome.outputs["prediction"].astype(np.float64).tolist()


def test_what_queued_during_a_call_is_answered_by_the_next_one(pool: ThreadPoolExecutor) -> None:
    model = Held()
    batcher = Batcher(model, pool=pool, clock=SystemClock())

    async def work() -> list[list[float]]:
        first = asyncio.ensure_future(ask(batcher, 0))
        await asyncio.sleep(0.02)
        rest = [asyncio.ensure_future(ask(batcher, n, n + 0.5)) for n in range(1, 6)]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *rest)

    answers = run(work())
    assert answers == [[0.0], *([2.0 * n, 2 * n + 1] for n in range(1, 6))]
    assert [len(batch) for batch in model.batches] == [1, 10]


def test_one_callers_bad_rows_do_not_fail_the_others(pool: ThreadPoolExecutor) -> None:
    model = Held()
    batcher = Batcher(model, pool=pool, clock=SystemClock())

    async def work() -> list[object]:
        asked = [asyncio.ensure_future(ask(batcher, n)) for n in (5, 1, -1, 2)]
        await asyncio.sleep(0.02)
        model.go.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))

    answers = run(work())
    assert [answers[0], answers[1], answers[3]] == [[10.0], [2.0], [4.0]]
    assert isinstance(answers[2], ValueError)


def test_a_full_queue_refuses_at_once_and_a_late_answer_times_out(
    pool: ThreadPoolExecutor,
) -> None:
    model = Held()
    batcher = Batcher(model, pool=pool, clock=SystemClock(), max_queued_rows=3, deadline_s=0.1)

    async def work() -> None:
        at_work = asyncio.ensure_future(ask(batcher, 1))
        await asyncio.sleep(0.02)
        # Larger than the queue, but alone in it.
        queued = asyncio.ensure_future(ask(batcher, 1, 2, 3, 4))
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match="overloaded"):
            await ask(batcher, 1)
        with pytest.raises(TimedOut, match=r"within 0\.1 s"):
            await at_work
        with pytest.raises(TimedOut):
            await queued
        model.go.set()
        assert await ask(batcher, 3) == [6.0]

    run(work())
    # The rows nobody waited for any more were not computed.
    assert model.batches == [[1.0], [3.0]]


def test_models_take_turns(pool: ThreadPoolExecutor) -> None:
    models = [Held(), Held(), Held()]
    batchers = [Batcher(model, pool=pool, clock=SystemClock()) for model in models]
    for model in models:
        model.go.set()

    async def work() -> list[list[float]]:
        return await asyncio.gather(*(ask(batcher, n) for n in range(50) for batcher in batchers))

    assert run(work()) == [[2.0 * n] for n in range(50) for _ in models]
