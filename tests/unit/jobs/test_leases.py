from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.clock import US_PER_S
from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import new_id
from millwright.jobs.leases import BACKOFF_CAP_S, Lease, Standing, backoff_s
from millwright.jobs.queue import Jobs
from millwright.records.events import Act
from millwright.records.jobs import Job, JobError, JobState
from millwright.testing.clock import FakeClock

BROKEN = JobError(code="failed", what="it broke")


def claim(jobs: Jobs, owner: str = "w1") -> Lease:
    lease = jobs.claim(owner, kinds=["train"], lease_s=30)
    assert lease is not None
    return lease


def now(jobs: Jobs, lease: Lease) -> Job:
    return jobs.get(lease.job.id, project_key=lease.act.project_key)


class TestHeartbeat:
    def test_it_extends_the_lease_by_its_full_time(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = claim(jobs)
        clock.advance(29)
        assert lease.heartbeat() is Standing.HELD
        clock.advance(29)
        assert jobs.reap().requeued == []
        assert now(jobs, lease).lease_until_us == clock.now_us() + 1 * US_PER_S
        assert not lease.is_gone

    def test_it_tells_a_cancelled_job_from_a_lost_one(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        for _ in range(2):
            jobs.enqueue("train", {}, act=act)
        cancelled, lost = claim(jobs), claim(jobs)
        jobs.cancel(cancelled.job.id, act=act)
        clock.advance(31)
        assert jobs.reap().requeued == [lost.job.id]
        assert (cancelled.heartbeat(), cancelled.is_gone) == (Standing.CANCELLED, True)
        assert (lost.heartbeat(), lost.is_gone) == (Standing.LOST, True)
        claim(jobs, "w2")
        assert lost.heartbeat() is Standing.LOST


class TestReports:
    def test_a_finished_job_keeps_its_result(self, jobs: Jobs, act: Act, clock: FakeClock) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = claim(jobs)
        clock.advance(3)
        lease.finish({"auc": 0.5, "rows": [1, 2]})
        job = now(jobs, lease)
        assert (job.state, job.owner, job.lease_until_us) == (JobState.FINISHED, None, None)
        assert (job.result, job.finished_us) == ({"auc": 0.5, "rows": [1, 2]}, clock.now_us())
        with pytest.raises(Conflict):
            lease.finish()

    def test_a_result_that_is_not_json_is_refused(self, jobs: Jobs, act: Act) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = claim(jobs)
        with pytest.raises(Invalid, match=r"the result of job_.* cannot be stored as JSON"):
            lease.finish(object())
        assert now(jobs, lease).state == JobState.RUNNING

    def test_failures_are_tried_again_with_growing_pauses_and_then_no_more(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act, max_attempts=3)
        for pause_s in (2, 4):
            lease = claim(jobs)
            assert lease.fail(BROKEN) is JobState.QUEUED
            assert now(jobs, lease).error == BROKEN
            clock.advance(pause_s - 0.001)
            assert jobs.claim("w1", kinds=["train"]) is None
            clock.advance(0.001)
        lease = claim(jobs)
        assert lease.job.attempt == 3
        assert lease.fail(BROKEN) is JobState.FAILED
        job = now(jobs, lease)
        assert (job.state, job.error, job.finished_us) == (JobState.FAILED, BROKEN, clock.now_us())

    def test_a_failure_for_good_is_not_tried_again(self, jobs: Jobs, act: Act) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = claim(jobs)
        assert lease.fail(BROKEN, retry=False) is JobState.FAILED
        assert now(jobs, lease).state == JobState.FAILED

    def test_success_after_a_failure_clears_the_error(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act)
        claim(jobs).fail(BROKEN)
        clock.advance(2)
        lease = claim(jobs)
        lease.finish()
        assert (now(jobs, lease).error, now(jobs, lease).attempt) == (None, 2)


class TestFencing:
    def test_a_late_owner_changes_nothing_before_or_after_another_took_up(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act)
        late = claim(jobs, "late")
        clock.advance(31)
        jobs.reap()
        self.refuse_all(late)
        current = claim(jobs, "current")
        self.refuse_all(late)
        assert now(jobs, current) == current.job
        current.finish("right")
        self.refuse_all(late)
        job = now(jobs, current)
        assert (job.state, job.result, job.attempt) == (JobState.FINISHED, "right", 2)

    def test_the_same_owner_by_name_is_refused_under_its_older_claim(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act)
        before = claim(jobs, "w1")
        clock.advance(31)
        jobs.reap()
        claim(jobs, "w1")
        self.refuse_all(before)

    def refuse_all(self, lease: Lease) -> None:
        called: list[str] = []
        fresh = new_id("req")  # A step's name is used once in a lease.
        reports: list[Callable[[], object]] = [
            lambda: lease.finish("wrong"),
            lambda: lease.fail(BROKEN),
            lambda: lease.fail(BROKEN, retry=False),
            lambda: lease.step(f"step {fresh}", lambda: called.append("step")),
            lambda: lease.transact(f"transact {fresh}", lambda tx: called.append("transact")),
        ]
        for report in reports:
            with pytest.raises(Conflict, match="is not held under fence 1 any more"):
                report()
        assert called == []


class TestBackoff:
    @settings(max_examples=50)
    @given(st.integers(1, 10_000))
    def test_it_grows_to_its_cap_and_never_shrinks(self, attempt: int) -> None:
        assert 2.0 <= backoff_s(attempt) <= backoff_s(attempt + 1) <= BACKOFF_CAP_S
