from __future__ import annotations

import msgspec
import pytest

from millwright.core.errors import Conflict, Invalid
from millwright.jobs.leases import Lease
from millwright.jobs.queue import Jobs
from millwright.metadata.database import Database, Writer
from millwright.records.events import Act
from millwright.records.jobs import JobError
from millwright.testing.clock import FakeClock

BROKEN = JobError(code="failed", what="it broke")


class Fitted(msgspec.Struct, frozen=True):
    auc: float
    columns: list[str]


@pytest.fixture
def lease(jobs: Jobs, act: Act) -> Lease:
    jobs.enqueue("train", {}, act=act)
    return claim(jobs)


def claim(jobs: Jobs) -> Lease:
    lease = jobs.claim("w", kinds=["train"])
    assert lease is not None
    return lease


def next_attempt(jobs: Jobs, lease: Lease, clock: FakeClock) -> Lease:
    lease.fail(BROKEN)
    clock.advance(300)
    return claim(jobs)


class TestStep:
    def test_a_finished_step_is_not_run_again(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        called: list[int] = []

        def fit() -> Fitted:
            called.append(1)
            return Fitted(0.75, ["a", "b"])

        first = lease.step("fit", fit, Fitted)
        second = next_attempt(jobs, lease, clock).step("fit", fit, Fitted)
        assert first == second == Fitted(0.75, ["a", "b"])
        assert called == [1]

    def test_the_first_run_gives_what_a_later_one_would(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        value = {"pair": (1, 2), "nan": float("nan"), "none": None}
        first = lease.step("x", lambda: value)
        assert first == {"pair": [1, 2], "nan": None, "none": None}
        assert next_attempt(jobs, lease, clock).step("x", lambda: value) == first

    def test_a_step_that_returned_nothing_is_done_too(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        called: list[int] = []
        lease.step("x", lambda: called.append(1))
        next_attempt(jobs, lease, clock).step("x", lambda: called.append(2))
        assert called == [1]

    def test_a_step_that_raised_is_run_again(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        with pytest.raises(ZeroDivisionError):
            lease.step("x", lambda: 1 // 0)
        assert next_attempt(jobs, lease, clock).step("x", lambda: 1, int) == 1

    def test_a_job_lost_while_a_step_ran_keeps_nothing_of_it(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        def slow() -> str:
            clock.advance(31)
            jobs.reap()
            return "late"

        with pytest.raises(Conflict, match="is not held under fence 1"):
            lease.step("x", slow)
        assert claim(jobs).step("x", lambda: "right") == "right"

    def test_a_step_extends_the_lease(self, jobs: Jobs, lease: Lease, clock: FakeClock) -> None:
        clock.advance(29)
        lease.step("x", lambda: None)
        clock.advance(29)
        assert jobs.reap().requeued == []

    def test_a_name_used_twice_is_refused_and_jobs_do_not_share_names(
        self, jobs: Jobs, lease: Lease, act: Act
    ) -> None:
        lease.step("x", lambda: 1)
        with pytest.raises(Invalid, match="the step x was run twice in job_"):
            lease.transact("x", lambda tx: 2)
        jobs.enqueue("train", {}, act=act)
        assert claim(jobs).step("x", lambda: 3) == 3

    def test_a_result_of_the_wrong_shape_is_named_and_not_stored(
        self, jobs: Jobs, lease: Lease, clock: FakeClock
    ) -> None:
        with pytest.raises(Invalid, match="the result of step x cannot be stored as JSON"):
            lease.step("x", object)
        with pytest.raises(Invalid, match="the result of step y is not what was expected"):
            lease.step("y", lambda: "text", int)
        again = next_attempt(jobs, lease, clock)
        assert (again.step("x", lambda: 1), again.step("y", lambda: 2, int)) == (1, 2)


class TestTransact:
    def test_its_change_and_its_memo_are_one(
        self, jobs: Jobs, lease: Lease, clock: FakeClock, database: Database
    ) -> None:
        def add(tx: Writer) -> int:
            return tx.run(
                "INSERT INTO project (id, name, created_us) VALUES ('prj_x', 'x', 0)"
                " ON CONFLICT (name) DO UPDATE SET created_us = project.created_us + 1"
            )

        assert lease.transact("add", add, int) == 1
        assert next_attempt(jobs, lease, clock).transact("add", add, int) == 1
        with database.read() as tx:
            assert tx.value(int, "SELECT created_us FROM project WHERE name = 'x'") == 0

    def test_an_error_undoes_both(
        self, jobs: Jobs, lease: Lease, clock: FakeClock, database: Database
    ) -> None:
        def add(tx: Writer) -> int:
            tx.run("INSERT INTO project (id, name, created_us) VALUES ('prj_x', 'x', 0)")
            return 1 // 0

        with pytest.raises(ZeroDivisionError):
            lease.transact("add", add)
        with database.read() as tx:
            assert tx.value(int, "SELECT count(*) FROM project WHERE name = 'x'") == 0
        assert next_attempt(jobs, lease, clock).transact("add", lambda tx: 7, int) == 7

    def test_it_extends_the_lease(self, jobs: Jobs, lease: Lease, clock: FakeClock) -> None:
        clock.advance(29)
        lease.transact("x", lambda tx: None)
        clock.advance(29)
        assert jobs.reap().requeued == []
