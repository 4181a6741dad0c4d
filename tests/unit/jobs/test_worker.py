from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from millwright.core.clock import SystemClock
from millwright.core.errors import (
    BY_CODE,
    Denied,
    Invalid,
    Refused,
    Unreachable,
    Unsupported,
)
from millwright.jobs.leases import Lease
from millwright.jobs.queue import Jobs
from millwright.jobs.worker import Handler, Worker, describe
from millwright.metadata.database import Database
from millwright.records.events import Act
from millwright.records.jobs import Job, JobError, JobState
from millwright.testing.clock import FakeClock

# A worker process that does two steps of a job, says so, and then hangs until it is killed.
DOOMED = """
import sys
from pathlib import Path
from millwright.core.clock import SystemClock
from millwright.jobs.queue import Jobs
from millwright.jobs.worker import Worker
from millwright.metadata.database import Database

address, log = sys.argv[1], Path(sys.argv[2])

def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")

def train(lease):
    lease.step("load", lambda: note("load"))
    lease.transact("fit", lambda tx: note("fit"))
    print("hanging", flush=True)
    lease.step("store", sys.stdin.read)

clock = SystemClock()
jobs = Jobs(Database.at(address), clock)
Worker(jobs, {"train": train}, clock, owner="doomed").work_once()
"""


def ended(jobs: Jobs, job: Job, act: Act) -> Job:
    return jobs.get(job.id, project_key=act.project_key)


class TestWorkOnce:
    def test_it_does_a_job_and_keeps_what_the_handler_returned(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        def double(lease: Lease) -> object:
            return {"args": lease.job.args, "for": lease.act.actor}

        job = jobs.enqueue("double", {"n": 2}, act=act)
        worker = Worker(jobs, {"double": double}, clock, owner="w")
        assert worker.work_once() == job.id
        assert worker.work_once() is None
        done = ended(jobs, job, act)
        assert (done.state, done.result) == (
            JobState.FINISHED,
            {"args": {"n": 2}, "for": act.actor},
        )

    def test_kinds_without_a_handler_are_left_to_others(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        job = jobs.enqueue("strange", {}, act=act)
        assert Worker(jobs, {"known": lambda lease: None}, clock, owner="w").work_once() is None
        assert ended(jobs, job, act) == job

    def test_an_exception_is_kept_and_tried_again(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        def broken(lease: Lease) -> object:
            if lease.job.attempt == 1:
                raise ValueError("no luck")
            return "luck"

        job = jobs.enqueue("broken", {}, act=act)
        worker = Worker(jobs, {"broken": broken}, clock, owner="w")
        worker.work_once()
        waiting = ended(jobs, job, act)
        assert waiting.state == JobState.QUEUED
        assert waiting.error is not None
        assert waiting.error.what == "ValueError: no luck"
        assert 'raise ValueError("no luck")' in waiting.error.why
        clock.advance(2)
        worker.work_once()
        assert ended(jobs, job, act).result == "luck"

    def test_an_error_that_would_come_again_fails_for_good(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        def wrong(lease: Lease) -> object:
            raise BY_CODE[str(lease.job.args["code"])]("that cannot be", why="why", fix="fix")

        worker = Worker(jobs, {"wrong": wrong}, clock, owner="w")
        for kind in (Invalid, Denied, Refused, Unsupported):
            job = jobs.enqueue("wrong", {"code": kind.code}, act=act)
            worker.work_once()
            failed = ended(jobs, job, act)
            assert failed.state == JobState.FAILED
            assert failed.error == JobError(
                code=kind.code, what="that cannot be", why="why", fix="fix"
            )

    def test_an_error_that_may_pass_is_tried_again(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        def away(lease: Lease) -> object:
            raise Unreachable("the store does not answer")

        job = jobs.enqueue("away", {}, act=act)
        Worker(jobs, {"away": away}, clock, owner="w").work_once()
        assert ended(jobs, job, act).state == JobState.QUEUED

    def test_a_job_cancelled_while_it_ran_stays_cancelled(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        def train(lease: Lease) -> object:
            jobs.cancel(lease.job.id, act=act)
            if lease.job.args["fails"]:
                raise ValueError("cut off")
            return lease.step("more", lambda: "work")

        worker = Worker(jobs, {"train": train}, clock, owner="w")
        for fails in (False, True):
            job = jobs.enqueue("train", {"fails": fails}, act=act)
            assert worker.work_once() == job.id
            assert ended(jobs, job, act).state == JobState.CANCELLED

    def test_a_result_that_is_not_json_fails_for_good(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        job = jobs.enqueue("train", {}, act=act)
        Worker(jobs, {"train": lambda lease: object()}, clock, owner="w").work_once()
        assert ended(jobs, job, act).state == JobState.FAILED


class TestHeart:
    def test_it_beats_while_the_handler_works_and_tells_it_of_a_cancellation(
        self, database: Database, act: Act
    ) -> None:
        clock = SystemClock()
        jobs = Jobs(database, clock)
        beaten = threading.Event()

        def long(lease: Lease) -> object:
            claimed_until = lease.job.lease_until_us
            assert claimed_until is not None
            pause = threading.Event()
            for _ in range(2000):
                if lease.is_gone:
                    break
                pause.wait(0.005)
                until = jobs.get(lease.job.id, project_key=act.project_key).lease_until_us
                if until is not None and until > claimed_until:
                    beaten.set()
            return "stopped early"

        job = jobs.enqueue("long", {}, act=act)
        worker = Worker(jobs, {"long": long}, clock, owner="w", lease_s=0.09)
        thread = threading.Thread(target=worker.work_once)
        thread.start()
        assert beaten.wait(20)
        jobs.cancel(job.id, act=act)
        thread.join(20)
        assert not thread.is_alive()
        assert ended(jobs, job, act).state == JobState.CANCELLED


class TestRun:
    def test_it_sweeps_works_and_stops_when_told_after_the_job_at_hand(
        self, jobs: Jobs, act: Act, clock: FakeClock
    ) -> None:
        stop = threading.Event()

        def train(lease: Lease) -> object:
            if lease.job.args["n"] == 2:
                stop.set()
            return "done"

        for number in range(4):
            jobs.enqueue("train", {"n": number}, act=act)
        assert jobs.claim("dead", kinds=["train"], lease_s=1) is not None
        clock.advance(2)
        handlers: dict[str, Handler] = {"train": train}
        assert Worker(jobs, handlers, clock, owner="w", poll_s=0.001).run(stop) == 3
        states = [job.state.value for job in jobs.list(project_key=None)]
        assert states == ["queued", "finished", "finished", "finished"]

    def test_a_killed_workers_job_is_taken_up_and_its_finished_steps_are_not_repeated(
        self, database: Database, address: str, act: Act, tmp_path: Path
    ) -> None:
        clock = FakeClock(SystemClock().now_us())
        jobs = Jobs(database, clock)
        job = jobs.enqueue("train", {}, act=act)
        log = tmp_path / "log"
        with subprocess.Popen(
            [sys.executable, "-c", DOOMED, address, str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as doomed:
            assert doomed.stdout is not None
            assert doomed.stdout.readline() == b"hanging\n"
            doomed.kill()

        def note(text: str) -> None:
            with log.open("a") as file:
                file.write(text + "\n")

        def train(lease: Lease) -> object:
            lease.step("load", lambda: note("load"))
            lease.transact("fit", lambda tx: note("fit"))
            lease.step("store", lambda: note("store"))
            return f"finished at attempt {lease.job.attempt}"

        worker = Worker(jobs, {"train": train}, clock, owner="survivor")
        jobs.reap()
        assert worker.work_once() is None, "the dead worker's lease still runs"
        clock.advance(60)
        jobs.reap()
        assert worker.work_once() == job.id
        assert log.read_text().split() == ["load", "fit", "store"]
        assert ended(jobs, job, act).result == "finished at attempt 2"


class TestDescribe:
    def test_our_errors_keep_their_parts_and_others_their_trace(self) -> None:
        ours = Refused("the gate said no", why="auc 0.5", fix="train more")
        assert describe(ours) == JobError(
            code="refused", what="the gate said no", why="auc 0.5", fix="train more"
        )
        assert describe(KeyError("x")) == JobError(
            code="error", what="KeyError: 'x'", why="KeyError: 'x'\n"
        )
