from __future__ import annotations

import threading

from millwright.core.ids import JobId
from millwright.jobs.queue import Jobs
from millwright.jobs.reaper import Reaped, reap
from millwright.metadata.database import Database
from millwright.records.events import Act
from millwright.records.jobs import JobState
from millwright.testing.clock import FakeClock


class TestReap:
    def test_a_silent_owners_job_is_claimed_by_another(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        job = jobs.enqueue("train", {}, act=act)
        assert jobs.claim("w1", kinds=["train"], lease_s=10) is not None
        clock.advance(10)
        assert jobs.reap() == Reaped([], []), "a lease holds through its last moment"
        clock.advance(0.001)
        assert jobs.reap() == Reaped([job.id], [])
        again = jobs.claim("w2", kinds=["train"])
        assert again is not None
        assert (again.job.id, again.job.attempt, again.job.owner) == (job.id, 2, "w2")
        assert again.job.error is not None
        assert again.job.error.what == "the process that worked on this job went silent"

    def test_a_job_that_kills_its_owners_fails_at_last(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        job = jobs.enqueue("train", {}, act=act, max_attempts=2)
        swept: list[Reaped] = []
        for owner in ("w1", "w2"):
            assert jobs.claim(owner, kinds=["train"], lease_s=1) is not None
            clock.advance(2)
            swept.append(jobs.reap())
        assert swept == [Reaped([job.id], []), Reaped([], [job.id])]
        ended = jobs.get(job.id, project_key=act.project_key)
        assert (ended.state, ended.finished_us) == (JobState.FAILED, clock.now_us())
        assert jobs.claim("w3", kinds=["train"]) is None

    def test_what_waits_or_has_ended_is_left_alone(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = jobs.claim("w1", kinds=["train"])
        assert lease is not None
        lease.finish()
        jobs.enqueue("train", {}, act=act)
        before = jobs.list(project_key=None)
        clock.advance(1e6)
        assert jobs.reap() == Reaped([], [])
        assert jobs.list(project_key=None) == before

    def test_sweepers_at_once_give_each_job_back_once(
        self, jobs: Jobs, act: Act, clock: FakeClock, database: Database
    ) -> None:
        made: list[JobId] = []
        for _ in range(20):
            made.append(jobs.enqueue("train", {}, act=act).id)
            assert jobs.claim("dead", kinds=["train"], lease_s=1) is not None
        clock.advance(2)
        swept: list[JobId] = []
        threads = [
            threading.Thread(
                target=lambda: swept.extend(reap(database, now_us=clock.now_us()).requeued)
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(swept) == sorted(made)
