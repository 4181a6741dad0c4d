from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fixtures.homes import DEPLOYMENT, TRAINED_ROWS, Place, table
from millwright.automation.actions import NEEDS, CollectLabels, handlers
from millwright.core.errors import Conflict, Denied, Invalid, NeedsApproval
from millwright.core.ids import DecisionId, JobId, RunId
from millwright.jobs.worker import Handler, Worker
from millwright.records.access import Role
from millwright.records.events import Act, JsonValue
from millwright.records.jobs import Job, JobState
from millwright.workspace.open import Workspace


@dataclass
class Work:
    """The jobs' handlers over a real home; pipelines and labels only note what they are told."""

    place: Place
    ran: list[tuple[Act, str, dict[str, JsonValue]]] = field(
        default_factory=list[tuple[Act, str, dict[str, JsonValue]]]
    )
    collected: list[tuple[CollectLabels, list[DecisionId]]] = field(
        default_factory=list[tuple[CollectLabels, list[DecisionId]]]
    )
    labels_missing: bool = False

    def run_pipeline(
        self,
        act: Act,
        pipeline: str,
        params: dict[str, JsonValue],
        *,
        is_wanted: Callable[[], bool],
    ) -> RunId:
        assert is_wanted()
        self.ran.append((act, pipeline, params))
        return RunId("run_1")

    def choose(self, act: Act, args: CollectLabels) -> list[DecisionId]:
        if self.labels_missing:
            raise Conflict("3 labels have arrived for web; 50 are needed")
        return [DecisionId("dec_1"), DecisionId("dec_2")]

    def build(self, act: Act, args: CollectLabels, decisions: list[DecisionId]) -> str:
        self.collected.append((args, decisions))
        return f"{args.dataset}@v2"

    def handlers(self) -> dict[str, Handler]:
        home = self.place.home
        return handlers(
            permit=home.permit,
            judge=home.judge,
            promotions=home.promotions,
            run_pipeline=self.run_pipeline,
            collect=self,
        )

    def once(self) -> None:
        """Do the next job."""
        home = self.place.home
        worker = Worker(home.jobs, self.handlers(), home.clock, owner="w")
        assert worker.work_once() is not None

    def done(self, kind: str, args: dict[str, JsonValue], who: Workspace | None = None) -> Job:
        """Submit a job, do it, and return how it ended."""
        door = who or self.place.me
        job = door.jobs.submit(kind=kind, args=args, reason="a test")
        self.once()
        return self.place.me.jobs.show(id=job.id)


def test_every_kind_of_job_has_a_handler_and_a_permission(sqlite_place: Place) -> None:
    assert set(Work(sqlite_place).handlers()) == set(NEEDS)


class TestDoing:
    def test_a_pipeline_is_run_in_the_name_of_who_asked(self, sqlite_place: Place) -> None:
        eve = sqlite_place.person("eve")
        work = Work(sqlite_place)
        job = work.done("pipeline.run", {"pipeline": "train.py", "params": {"depth": 3}}, who=eve)
        assert (job.state, job.result) == (JobState.FINISHED, {"run": "run_1"})
        act, pipeline, params = work.ran[0]
        assert (act.actor, pipeline, params) == (
            eve.session.principal.actor,
            "train.py",
            {"depth": 3},
        )

    def test_a_gate_is_judged_and_a_no_is_no_failure(self, place: Place) -> None:
        place.home.datasets.add(place.act, "held out", table().slice(TRAINED_ROWS))
        ref = place.trained()
        args: dict[str, JsonValue] = {"model": ref, "dataset": "held out", "target": "y"}
        good = Work(place).done("gate.check", args)
        assert good.state is JobState.FINISHED
        strict = "checks: [{check: floor, metric: accuracy, at_least: 0.9999}]"
        bad = Work(place).done("gate.check", args | {"spec": strict})
        verdicts = place.me.gates.verdicts(ref=ref)
        assert [one.verdict for one in verdicts] == ["fail", "pass"]
        assert good.result == {"gate": verdicts[1].id, "verdict": "pass"}
        assert bad.result == {"gate": verdicts[0].id, "verdict": "fail"}
        assert [one.by_project_gate for one in verdicts] == [False, True]

    def test_what_was_done_before_a_crash_is_not_done_again(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.home.datasets.add(place.act, "held out", table().slice(TRAINED_ROWS))
        ref = place.trained()
        place.deployed()
        second = place.passed(1)
        wanted: dict[str, dict[str, JsonValue]] = {
            "gate.check": {"model": ref, "dataset": "held out", "target": "y"},
            "deployment.roll_out": {"deployment": DEPLOYMENT, "model": second},
        }
        verdicts = len(place.me.gates.verdicts(ref=ref))
        for kind, args in wanted.items():
            place.me.jobs.submit(kind=kind, args=args)
            # The first owner does all of it, and dies before it can report.
            lease = place.home.jobs.claim("dead", kinds=[kind], lease_s=10.0)
            assert lease is not None
            first = Work(place).handlers()[kind](lease)
            place.clock.advance(11)
            place.home.jobs.reap()
            place.clock.advance(60)  # A job that was lost waits a little.
            Work(place).once()
            job = place.me.jobs.show(id=JobId(lease.job.id))
            assert (job.state, job.result, job.attempt) == (JobState.FINISHED, first, 2)
        assert len(place.me.gates.verdicts(ref=ref)) == verdicts + 1
        assert len(place.me.deployments.rollouts(name=DEPLOYMENT)) == 1

    def test_labels_that_come_after_a_crash_belong_to_the_next_version(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        args: dict[str, JsonValue] = {
            "base": "people",
            "dataset": "fresh",
            "deployment": DEPLOYMENT,
            "target": "y",
            "key": "id",
        }
        place.me.jobs.submit(kind="labels.collect", args=args)
        lease = place.home.jobs.claim("dead", kinds=["labels.collect"], lease_s=10.0)
        assert lease is not None
        lease.step("chosen", lambda: ["dec_1"])
        place.clock.advance(11)
        place.home.jobs.reap()
        place.clock.advance(60)
        work = Work(place)
        work.once()
        assert [decisions for _, decisions in work.collected] == [["dec_1"]]

    def test_a_rollout_is_begun(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.deployed()
        args: dict[str, JsonValue] = {"deployment": DEPLOYMENT, "model": place.passed(1)}
        job = Work(place).done("deployment.roll_out", args)
        begun = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (job.state, job.result) == (JobState.FINISHED, {"rollout": begun.id})

    def test_a_rollout_that_wants_approval_waits_without_failing(self, sqlite_place: Place) -> None:
        place = sqlite_place
        bob = place.person("bob", "approver")
        first = place.passed(0, risk="high")
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=first)
        bob.models.approve(ref=first)
        place.me.models.promote(ref=first)
        place.me.deployments.create(name=DEPLOYMENT, model=first)
        args: dict[str, JsonValue] = {
            "deployment": DEPLOYMENT,
            "model": place.passed(1, risk="high"),
        }
        waiting = Work(place).done("deployment.roll_out", args)
        assert (waiting.state, waiting.result) == (
            JobState.FINISHED,
            {"waits": "churn@v2 waits for approval to become champion"},
        )
        assert [one.version for one in place.me.models.approvals(state="waiting")] == [2]
        bob.models.approve(ref="churn@v2")
        begun = Work(place).done("deployment.roll_out", args)
        rollout = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert begun.result == {"rollout": rollout.id}

    def test_a_version_that_its_gate_refused_fails_the_job_for_good(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        place.deployed()
        bad = place.version(1)
        place.judged(bad, "fail")
        job = Work(place).done("deployment.roll_out", {"deployment": DEPLOYMENT, "model": bad})
        assert job.error is not None
        assert (job.state, job.error.code) == (JobState.FAILED, "refused")

    def test_labels_are_collected_once_enough_have_come(self, sqlite_place: Place) -> None:
        work = Work(sqlite_place, labels_missing=True)
        args: dict[str, JsonValue] = {
            "base": "people",
            "dataset": "fresh",
            "deployment": DEPLOYMENT,
            "target": "y",
            "key": "id",
        }
        job = work.done("labels.collect", args)
        assert job.error is not None
        assert (job.state, job.error.code) == (JobState.QUEUED, "conflict")
        work.labels_missing = False
        sqlite_place.clock.advance(10)
        work.once()
        after = sqlite_place.me.jobs.show(id=job.id)
        assert (after.state, after.result) == (JobState.FINISHED, {"dataset": "fresh@v2"})
        assert work.collected[0][1] == ["dec_1", "dec_2"]


class TestPermission:
    def test_nobody_submits_a_job_whose_doing_is_not_his(self, place: Place) -> None:
        bob = place.person("bob", "approver")
        for kind in NEEDS:
            with pytest.raises(Denied):
                bob.jobs.submit(kind=kind, args={})
        assert place.me.jobs.list_all() == []

    def test_a_job_whose_actor_has_lost_the_permission_fails_as_denied(self, place: Place) -> None:
        eve = place.person("eve")
        work = Work(place)
        kinds: dict[str, dict[str, JsonValue]] = {
            "pipeline.run": {"pipeline": "train.py"},
            "gate.check": {"model": "churn", "dataset": "d", "target": "y"},
            "deployment.roll_out": {"deployment": DEPLOYMENT, "model": "churn"},
            "labels.collect": {},
        }
        assert set(kinds) == set(NEEDS)
        asked = [eve.jobs.submit(kind=kind, args=args) for kind, args in kinds.items()]
        place.home.grants.revoke_role("eve", Role.EDITOR, act=place.act, project="default")
        held = place.home.principal("eve").grants
        assert not any(held.values()), "eve holds no role any more"
        for job in asked:
            work.once()
            ended = place.me.jobs.show(id=job.id)
            assert ended.error is not None
            assert (ended.state, ended.error.code) == (JobState.FAILED, "denied")
        assert (work.ran, work.collected) == ([], [])

    def test_nor_may_a_disabled_actor_have_anything_done(self, sqlite_place: Place) -> None:
        eve = sqlite_place.person("eve")
        job = eve.jobs.submit(kind="pipeline.run", args={"pipeline": "train.py"})
        sqlite_place.home.directory.disable("eve", act=sqlite_place.act)
        work = Work(sqlite_place)
        work.once()
        ended = sqlite_place.me.jobs.show(id=job.id)
        assert ended.error is not None
        assert (ended.state, ended.error.code) == (JobState.FAILED, "denied")
        assert work.ran == []

    def test_a_job_nobody_can_do_is_not_taken(self, sqlite_place: Place) -> None:
        with pytest.raises(Invalid, match=r"no job is called 'pipeline\.rnu'") as caught:
            sqlite_place.me.jobs.submit(kind="pipeline.rnu", args={})
        assert caught.value.fix == "did you mean 'pipeline.run'?"


def test_arguments_that_do_not_fit_are_refused_before_anything_happens(
    sqlite_place: Place,
) -> None:
    work = Work(sqlite_place)
    wrong: list[dict[str, JsonValue]] = [
        {},
        {"pipeline": 3},
        {"pipeline": "train.py", "parms": {}},
    ]
    for args in wrong:
        job = work.done("pipeline.run", args)
        assert job.error is not None
        assert (job.state, job.error.code) == (JobState.FAILED, "invalid")
        assert job.error.fix == "it takes: pipeline, params"
    assert work.ran == []
