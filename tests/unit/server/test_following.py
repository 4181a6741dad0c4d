"""Serving processes that wait for a plan."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from fixtures.example_host import ExampleHost
from millwright.core.errors import Unreachable
from millwright.records.serving import Plans
from millwright.server.following import PlanFollower

EVERY_S = 0.002


class Revision:
    """A revision that tests move, and that counts how often it was read."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.error: Exception | None = None

    def read(self) -> int:
        self.reads += 1
        if self.error:
            raise self.error
        return self.value


def follower_of(revision: Revision, *, stopping: list[bool] | None = None) -> PlanFollower:
    ended = stopping or []
    return PlanFollower(revision.read, is_stopping=lambda: any(ended), look_every_s=EVERY_S)


def test_one_loop_wakes_everybody_who_waits() -> None:
    async def scene() -> None:
        revision = Revision()
        follower = follower_of(revision)
        waits = [asyncio.create_task(follower.wait(0, timeout_s=20)) for _ in range(500)]
        while revision.reads < 3:
            await asyncio.sleep(EVERY_S)
        assert follower.waiting == 500
        revision.value = 1
        assert await asyncio.gather(*waits) == [True] * 500
        # One reader for all of them: not one more for each that waits.
        assert revision.reads < 100
        assert follower.waiting == 0

    asyncio.run(scene())


def test_nothing_is_read_while_nobody_waits() -> None:
    async def scene() -> None:
        revision = Revision()
        follower = follower_of(revision)
        assert not await follower.wait(0, timeout_s=EVERY_S * 5)
        await asyncio.sleep(EVERY_S * 5)
        reads = revision.reads
        await asyncio.sleep(EVERY_S * 10)
        assert revision.reads == reads
        revision.value = 1
        assert await follower.wait(0, timeout_s=20)

    asyncio.run(scene())


def test_a_home_that_does_not_answer_is_told_to_who_waits_and_forgotten() -> None:
    async def scene() -> None:
        revision = Revision()
        follower = follower_of(revision)
        revision.error = Unreachable("the database is down")
        with pytest.raises(Unreachable, match="down"):
            await follower.wait(0, timeout_s=20)
        revision.error, revision.value = None, 1
        assert await follower.wait(0, timeout_s=20)

    asyncio.run(scene())


def test_a_server_that_stops_keeps_nobody_waiting() -> None:
    async def scene() -> None:
        stopping = [False]
        follower = follower_of(Revision(), stopping=stopping)
        wait = asyncio.create_task(follower.wait(0, timeout_s=20))
        await asyncio.sleep(EVERY_S)
        stopping[0] = True
        assert await wait is False

    asyncio.run(scene())


@pytest.mark.sockets
def test_the_long_poll_answers_when_a_plan_changes(host: ExampleHost, admin: httpx.Client) -> None:
    answer_with_revision(host)
    host.revision = 7
    at_once = admin.get("/api/v1/serving/plans", params={"after": 6, "wait_s": 30})
    assert at_once.json()["revision"] == 7
    looks = host.looks
    with ThreadPoolExecutor(4) as pool:
        waits = [
            pool.submit(admin.get, "/api/v1/serving/plans?after=7&wait_s=30") for _ in range(4)
        ]
        while host.looks < looks + 6:
            time.sleep(0.01)
        assert not any(wait.done() for wait in waits)
        host.revision = 8
        assert [wait.result().json()["revision"] for wait in waits] == [8, 8, 8, 8]


@pytest.mark.sockets
def test_the_long_poll_ends_when_its_time_is_up(host: ExampleHost, admin: httpx.Client) -> None:
    answer_with_revision(host)
    answer = admin.get("/api/v1/serving/plans", params={"after": host.revision, "wait_s": 0.05})
    assert answer.json() == {"revision": host.revision, "plans": []}


@pytest.mark.sockets
@pytest.mark.parametrize("wait", ["-1", "nan"])
def test_a_wait_that_cannot_be_one(wait: str, admin: httpx.Client) -> None:
    assert admin.get(f"/api/v1/serving/plans?wait_s={wait}").status_code == 400


def answer_with_revision(host: ExampleHost) -> None:
    def plans(**arguments: object) -> Plans:
        return Plans(revision=host.revision, plans=[])

    host.answers["serving.plans"] = plans
