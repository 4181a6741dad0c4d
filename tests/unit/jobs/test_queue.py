from __future__ import annotations

import threading
from collections import Counter

import msgspec
import pytest

from millwright.core.clock import SystemClock
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import EventId, JobId, RequestId
from millwright.jobs.leases import Lease
from millwright.jobs.queue import Jobs
from millwright.metadata.database import Database
from millwright.metadata.tables.access import insert_project
from millwright.records.events import Act
from millwright.records.jobs import Job, JobError, JobState
from millwright.testing.clock import FakeClock


def claim(jobs: Jobs, owner: str = "w1", kind: str = "train", *, lease_s: float = 30.0) -> Lease:
    lease = jobs.claim(owner, kinds=[kind], lease_s=lease_s)
    assert lease is not None
    return lease


class TestEnqueue:
    def test_a_job_is_read_back_as_it_was_asked_for(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        asked = msgspec.structs.replace(act, cause=EventId("evt_1"), request=RequestId("req_1"))
        job = jobs.enqueue("train", {"depth": [1, {"x": None}]}, act=asked, key="k", priority=-2)
        assert job == Job(
            id=job.id,
            project=act.project,
            queue="default",
            kind="train",
            key="k",
            args={"depth": [1, {"x": None}]},
            state=JobState.QUEUED,
            priority=-2,
            run_at_us=clock.now_us(),
            attempt=0,
            max_attempts=5,
            actor=act.actor,
            cause=EventId("evt_1"),
            request=RequestId("req_1"),
            reason=act.reason,
            created_us=clock.now_us(),
        )
        assert jobs.get(job.id, project_key=act.project_key) == job
        assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job

    def test_the_same_key_is_the_same_job_also_when_it_has_ended(
        self, jobs: Jobs, act: Act
    ) -> None:
        first = jobs.enqueue("train", {"n": 1}, act=act, key="tick 7")
        claim(jobs).finish("done")
        again = jobs.enqueue("train", {"n": 1}, act=act, key="tick 7")
        assert (again.id, again.state, again.result) == (first.id, JobState.FINISHED, "done")
        with pytest.raises(Conflict, match=r"belongs to job_.*, a train job"):
            jobs.enqueue("deploy", {}, act=act, key="tick 7")

    def test_keys_are_a_projects_own_and_no_key_is_never_the_same(
        self, jobs: Jobs, act: Act, database: Database
    ) -> None:
        with database.write() as tx:
            key = insert_project(tx, project_id="prj_2", name="loans", now_us=0)
        assert key is not None
        other = msgspec.structs.replace(act, project="prj_2", project_key=key)
        keyed = {jobs.enqueue("train", {}, act=who, key="k").id for who in (act, other, act)}
        free = {jobs.enqueue("train", {}, act=act).id for _ in range(2)}
        assert (len(keyed), len(free)) == (2, 2)

    def test_eight_that_enqueue_one_key_at_once_get_one_job(self, jobs: Jobs, act: Act) -> None:
        barrier = threading.Barrier(8)
        got: list[JobId] = []

        def work() -> None:
            for number in range(5):
                barrier.wait()
                got.append(jobs.enqueue("train", {}, act=act, key=f"k{number}").id)

        run_threads([threading.Thread(target=work) for _ in range(8)])
        assert sorted(Counter(got).values()) == [8] * 5
        assert len(jobs.list(project_key=None)) == 5

    def test_it_is_part_of_the_callers_transaction(
        self, jobs: Jobs, act: Act, database: Database
    ) -> None:
        with pytest.raises(ZeroDivisionError), database.write() as tx:
            jobs.enqueue("train", {}, act=act, tx=tx)
            raise ZeroDivisionError
        assert jobs.list(project_key=None) == []

    def test_what_cannot_be_right_is_refused(self, jobs: Jobs, act: Act) -> None:
        with pytest.raises(Invalid, match="cannot have 0 attempts"):
            jobs.enqueue("train", {}, act=act, max_attempts=0)
        with pytest.raises(Invalid, match="the arguments of the train job cannot be stored"):
            jobs.enqueue("train", {"x": object()}, act=act)


class TestClaim:
    def test_the_lowest_priority_number_then_the_earliest_comes_first(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        now = clock.now_us()
        for name, priority, run_at_us in [
            ("late", 0, now),
            ("urgent", -1, now),
            ("early", 0, now - 5),
            ("last", 9, now - 50),
            ("later", 0, now),
            ("not yet", -9, now + 1),
        ]:
            jobs.enqueue("train", {"n": name}, act=act, priority=priority, run_at_us=run_at_us)
        order = [claim(jobs).job.args["n"] for _ in range(5)]
        assert order == ["urgent", "early", "late", "later", "last"]
        assert jobs.claim("w1", kinds=["train"]) is None
        clock.advance(1)
        assert claim(jobs).job.args["n"] == "not yet"

    def test_only_named_kinds_and_queues_are_claimed(self, jobs: Jobs, act: Act) -> None:
        jobs.enqueue("train", {}, act=act)
        slow = jobs.enqueue("train", {}, act=act, queue="slow")
        assert jobs.claim("w1", kinds=["deploy"]) is None
        assert jobs.claim("w1", kinds=[]) is None
        assert jobs.claim("w1", kinds=["train"], queues=["none"]) is None
        found = jobs.claim("w1", kinds=["train", "deploy"], queues=["slow", "none"])
        assert found is not None
        assert found.job.id == slow.id

    def test_a_claimed_job_names_its_owner_and_acts_for_who_asked(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        asked = msgspec.structs.replace(act, cause=EventId("evt_1"), request=RequestId("req_1"))
        jobs.enqueue("train", {}, act=asked)
        lease = claim(jobs, "w7", lease_s=12.5)
        assert lease.act == asked
        seen = jobs.get(lease.job.id, project_key=act.project_key)
        assert seen == lease.job
        assert (seen.state, seen.owner, seen.attempt) == (JobState.RUNNING, "w7", 1)
        assert seen.lease_until_us == clock.now_us() + 12_500_000

    def test_eight_workers_share_two_hundred_jobs_and_none_runs_twice(
        self, database: Database, act: Act
    ) -> None:
        jobs = Jobs(database, SystemClock())
        with database.write() as tx:
            made = {jobs.enqueue("train", {}, act=act, tx=tx).id for _ in range(200)}
        done: list[JobId] = []

        def work(owner: str) -> None:
            while (lease := jobs.claim(owner, kinds=["train"])) is not None:
                lease.finish()
                done.append(lease.job.id)

        run_threads([threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)])
        assert sorted(done) == sorted(made)
        finished = jobs.list(project_key=None, limit=500)
        assert {(job.state, job.attempt) for job in finished} == {(JobState.FINISHED, 1)}


class TestCancel:
    def test_a_waiting_job_is_never_claimed(self, jobs: Jobs, act: Act, clock: FakeClock) -> None:
        job = jobs.enqueue("train", {}, act=act)
        cancelled = jobs.cancel(job.id, act=act)
        assert cancelled == jobs.cancel(job.id, act=act)
        assert cancelled == msgspec.structs.replace(
            job,
            state=JobState.CANCELLED,
            error=JobError(code="cancelled", what="cancelled by act_1", why="because"),
            finished_us=clock.now_us(),
        )
        assert jobs.claim("w1", kinds=["train"]) is None

    def test_a_running_jobs_report_is_refused(self, jobs: Jobs, act: Act) -> None:
        jobs.enqueue("train", {}, act=act)
        lease = claim(jobs)
        jobs.cancel(lease.job.id, act=act)
        with pytest.raises(Conflict, match="not held under fence 1 any more"):
            lease.finish()
        assert jobs.get(lease.job.id, project_key=act.project_key).state == JobState.CANCELLED

    def test_an_ended_job_and_another_projects_job_are_not_cancelled(
        self, jobs: Jobs, act: Act
    ) -> None:
        job = jobs.enqueue("train", {}, act=act)
        stranger = msgspec.structs.replace(act, project_key=act.project_key + 1)
        with pytest.raises(NotFound):
            jobs.cancel(job.id, act=stranger)
        with pytest.raises(NotFound):
            jobs.get(job.id, project_key=stranger.project_key)
        claim(jobs).finish()
        with pytest.raises(Conflict, match="it has finished already"):
            jobs.cancel(job.id, act=act)


class TestList:
    def test_the_newest_come_first_and_can_be_narrowed(self, jobs: Jobs, act: Act) -> None:
        made = [jobs.enqueue(kind, {}, act=act) for kind in ("train", "deploy", "train")]
        claim(jobs).finish()
        key = act.project_key
        assert [job.id for job in jobs.list(project_key=key)] == [job.id for job in made[::-1]]
        assert [job.id for job in jobs.list(project_key=key, limit=1)] == [made[2].id]
        assert jobs.list(project_key=key + 1) == []
        waiting = jobs.list(project_key=None, state=JobState.QUEUED, kind="train")
        assert [job.id for job in waiting] == [made[2].id]


def run_threads(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
