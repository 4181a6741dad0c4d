from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.homes import DEPLOYMENT, Place, ServingLife
from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import Digest
from millwright.core.errors import (
    Conflict,
    Invalid,
    MillwrightError,
    NeedsApproval,
    NotFound,
    Refused,
)
from millwright.deployments import looks
from millwright.deployments.controller import Deployments
from millwright.metadata.database import Writer
from millwright.metadata.tables import deployments as tables
from millwright.metadata.tables.models import VersionRow
from millwright.records.deployments import Look, RolloutPlan
from millwright.records.events import Act
from millwright.records.serving import DecisionPolicy, DeploymentPlan

# 45 faultless keys an arm exclude a rise by 0.08 at this level.
PLAN = RolloutPlan(
    steps=(1000, 5000), error_margin=0.08, slow_margin=0.08, min_keys=20, max_step_s=60.0
)
ENOUGH = 50


def keys(arm: str, count: int = ENOUGH) -> list[str]:
    return [f"{arm}-{at}" for at in range(count)]


def begun(place: Place, plan: RolloutPlan = PLAN) -> ServingLife:
    """Deploy v1, begin to roll v2 out, and return a serving process that answers."""
    place.deployed()
    place.me.deployments.roll_out(
        name=DEPLOYMENT, model=place.passed(1), plan=plan, reason="fresher data"
    )
    return ServingLife(place)


def look(place: Place) -> Look:
    running = place.home.deployments.running()
    assert len(running) == 1
    found = place.home.deployments.look(place.act, running[0].pk)
    assert found is not None
    return found


def weights(place: Place) -> dict[int, int]:
    shown = place.me.deployments.show(name=DEPLOYMENT)
    return {one.version: one.weight for one in shown.variants}


def plan_of(place: Place) -> DeploymentPlan:
    plans = place.home.deployments.plans(place.key)
    assert plans.revision == place.home.plan_revision()
    assert len(plans.plans) == 1
    return plans.plans[0]


def at_once(place: Place, *calls: Callable[[], object]) -> list[object]:
    """Make the calls while the deployment is locked, then let go of it.

    So each has read the deployment as it was before the others changed it, where the database
    lets it. Returns what each returned or raised.
    """

    def one(call: Callable[[], object]) -> object:
        try:
            return call()
        except MillwrightError as error:
            return error

    database = place.home.database
    with ThreadPoolExecutor(len(calls)) as pool:
        with database.write() as tx:
            row = tables.find_deployment(tx, project=place.key, name=DEPLOYMENT)
            assert row is not None
            tables.lock_deployment(tx, row.pk)
            asked = [pool.submit(one, call) for call in calls]
            deadline = time.monotonic() + 10
            # SQLite's writers wait before they have read anything.
            while database.dialect.name != "sqlite" and time.monotonic() < deadline:
                if tx.value(int, "SELECT count(*) FROM pg_locks WHERE NOT granted") == len(calls):
                    break
        return [future.result() for future in asked]


class TestCreate:
    def test_a_version_answers_everything_from_now_on(self, place: Place) -> None:
        ref = place.passed()
        place.me.models.promote(ref=ref)
        policy = DecisionPolicy(version="offers-7", threshold=0.3)
        made = place.me.deployments.create(
            name=DEPLOYMENT, model=ref, policy=policy, reason="launch"
        )
        assert (made.model, made.revision, made.policy, made.rollout) == ("churn", 1, policy, None)
        assert [(one.role, one.version, one.weight) for one in made.variants] == [
            ("champion", 1, 10_000)
        ]
        assert place.me.deployments.show(name=DEPLOYMENT) == made
        assert place.me.deployments.show(name=made.id) == made
        assert [one.detail for one in place.events("DeploymentCreated")] == [
            {"reason": "launch", "name": DEPLOYMENT, "model": "churn", "version": 1}
        ]
        plan = plan_of(place)
        assert (plan.project, plan.revision, plan.rollout) == ("default", 1, None)
        assert len(bytes.fromhex(plan.hash_key)) == 32

    def test_the_same_again_is_the_same_deployment(self, place: Place) -> None:
        place.deployed()
        before, revision = place.me.deployments.list_all(), place.home.plan_revision()
        assert place.me.deployments.create(name=DEPLOYMENT, model="churn@v1") == before[0]
        assert place.me.deployments.list_all() == before
        assert place.home.plan_revision() == revision
        assert len(place.events("DeploymentCreated")) == 1

    def test_another_version_under_the_name_is_a_conflict(self, sqlite_place: Place) -> None:
        sqlite_place.deployed()
        other = sqlite_place.passed(1)
        sqlite_place.me.models.promote(ref=other)
        with pytest.raises(Conflict, match="answers with another version already") as caught:
            sqlite_place.me.deployments.create(name=DEPLOYMENT, model=other)
        assert caught.value.fix == f"roll it out: mill deploy promote {DEPLOYMENT} churn@v2"
        assert weights(sqlite_place) == {1: 10_000}

    def test_an_unknown_name_is_not_found_and_the_nearest_offered(
        self, sqlite_place: Place
    ) -> None:
        sqlite_place.deployed()
        with pytest.raises(NotFound, match="no deployment called 'wb'") as caught:
            sqlite_place.me.deployments.show(name="wb")
        assert caught.value.fix == "did you mean 'web'?"


class TestRollOut:
    def test_the_candidate_gets_the_first_share_of_newly_mixed_keys(self, place: Place) -> None:
        place.deployed()
        before, revision = plan_of(place), place.home.plan_revision()
        made = place.me.deployments.roll_out(
            name=DEPLOYMENT, model=place.passed(1), plan=PLAN, reason="fresher data"
        )
        assert (made.champion, made.candidate, made.state, made.step) == (1, 2, "running", 0)
        assert (made.plan, made.why, made.looks) == (PLAN, "fresher data", [])
        after = plan_of(place)
        assert weights(place) == {1: 9_000, 2: 1_000}
        assert (after.rollout, after.revision) == (made.id, before.revision + 1)
        assert after.slow_after_us == PLAN.slow_after_us
        assert after.salt != before.salt
        assert after.hash_key == before.hash_key
        assert place.home.plan_revision() == revision + 1
        started, changed = place.events("RolloutStarted", "DeploymentChanged")
        assert changed.cause == started.id
        assert (changed.detail or {})["weights"] == {"v1": 9_000, "v2": 1_000}

    def test_one_at_a_time(self, place: Place) -> None:
        begun(place)
        third = place.passed(2)
        with pytest.raises(Conflict, match="another rollout of web is on its way"):
            place.me.deployments.roll_out(name=DEPLOYMENT, model=third)
        assert weights(place) == {1: 9_000, 2: 1_000}

    def test_of_two_begun_at_once_one_is(self, place: Place) -> None:
        place.deployed()
        refs = [place.passed(1), place.passed(2)]
        found = at_once(
            place,
            *(
                lambda ref=ref: place.me.deployments.roll_out(name=DEPLOYMENT, model=ref)
                for ref in refs
            ),
        )
        assert [type(one) for one in found if isinstance(one, MillwrightError)] == [Conflict]
        assert len(place.home.deployments.running()) == 1

    def test_what_answers_already_cannot_be_rolled_out(self, sqlite_place: Place) -> None:
        ref = sqlite_place.deployed()
        with pytest.raises(Conflict, match="churn@v1 answers for web already"):
            sqlite_place.me.deployments.roll_out(name=DEPLOYMENT, model=ref)

    def test_nor_a_version_of_another_model_or_a_plan_that_cannot_be(
        self, sqlite_place: Place
    ) -> None:
        sqlite_place.deployed()
        other = sqlite_place.passed(1, name="loans")
        with pytest.raises(Invalid, match="web serves the model churn, not loans"):
            sqlite_place.me.deployments.roll_out(name=DEPLOYMENT, model=other)
        second = sqlite_place.passed(1)
        with pytest.raises(Invalid, match="cannot be taken"):
            sqlite_place.me.deployments.roll_out(
                name=DEPLOYMENT, model=second, plan=RolloutPlan(steps=(5000, 100))
            )
        assert sqlite_place.home.deployments.running() == []


class TestLooks:
    def test_without_evidence_a_look_is_kept_and_changes_nothing(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("a", 3)))
        revision = place.home.plan_revision()
        taken = look(place)
        assert (taken.n, taken.action) == (1, "hold")
        assert "0 of 20 keys seen in this step" in taken.why
        assert place.home.plan_revision() == revision
        assert place.events("RolloutLooked") == []
        assert place.me.deployments.rollouts(name=DEPLOYMENT)[0].looks == [taken]

    def test_a_sound_candidate_goes_step_by_step_and_is_promoted(self, place: Place) -> None:
        life = begun(place)
        salt = plan_of(place).salt
        life.send(life.decide(keys("a")))
        life.send(life.decide(keys("b"), role="candidate"))
        revision = place.home.plan_revision()
        assert look(place).action == "advance"
        assert weights(place) == {1: 5_000, 2: 5_000}
        assert place.home.plan_revision() == revision + 1
        # The keys that a candidate has stay with it when its share grows.
        assert plan_of(place).salt == salt

        # A step wants keys of its own.
        assert look(place).action == "hold"
        life.send(life.decide(keys("c", 19), role="candidate"))
        assert look(place).action == "hold"
        life.send(life.decide(keys("d", 1), role="candidate"))
        taken = look(place)
        assert (taken.n, taken.action) == (4, "promote")
        assert (taken.seen.step, taken.seen.step_keys, taken.seen.candidate.keys) == (1, 20, 70)

        ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (ended.state, ended.why, len(ended.looks)) == ("promoted", taken.why, 4)
        assert ended.ended_us == place.clock.now_us()
        assert weights(place) == {2: 10_000}
        assert plan_of(place).rollout is None
        assert place.home.deployments.running() == []
        assert place.me.models.show(ref="churn@champion").version == 2
        assert [one.kind for one in place.events()[-8:]] == [
            "RolloutLooked",
            "DeploymentChanged",
            "SegmentSealed",
            "SegmentSealed",
            "RolloutLooked",
            "RolloutEnded",
            "DeploymentChanged",
            "AliasMoved",
        ]

    def test_a_broken_candidate_is_rolled_back_at_once(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("a", 30)))
        life.send(life.decide(keys("b", 10), role="candidate", errors=8))
        taken = look(place)
        assert taken.action == "roll_back"
        assert "failed 8 of 10 requests of 10 keys" in taken.why
        assert weights(place) == {1: 10_000}
        ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (ended.state, ended.why) == ("rolled_back", taken.why)
        assert place.me.models.show(ref="churn@champion").version == 1
        assert (place.events("RolloutEnded")[0].detail or {})["state"] == "rolled_back"

    def test_a_slow_candidate_is_rolled_back_too(self, sqlite_place: Place) -> None:
        life = begun(sqlite_place)
        life.send(life.decide(keys("a", 60)))
        life.send(life.decide(keys("b", 60), role="candidate", slow=45))
        taken = look(sqlite_place)
        assert (taken.action, taken.why.split(":")[0]) == ("roll_back", "more slow answers")
        assert taken.slow_low is not None
        assert taken.slow_low > PLAN.slow_margin

    def test_without_an_answer_in_time_it_is_inconclusive_and_nothing_is_promoted(
        self, sqlite_place: Place
    ) -> None:
        life = begun(sqlite_place)
        life.send(life.decide(keys("b", 4), role="candidate"))
        sqlite_place.clock.advance(61)
        taken = look(sqlite_place)
        assert (taken.action, taken.why.startswith("no answer after 61 s")) == ("give_up", True)
        ended = sqlite_place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert ended.state == "inconclusive"
        assert weights(sqlite_place) == {1: 10_000}
        assert sqlite_place.me.models.show(ref="churn@champion").version == 1

    def test_the_time_of_a_step_begins_with_the_step(self, sqlite_place: Place) -> None:
        life = begun(sqlite_place)
        sqlite_place.clock.advance(50)
        life.send(life.decide(keys("a")) + life.decide(keys("b"), role="candidate"))
        assert look(sqlite_place).action == "advance"
        sqlite_place.clock.advance(50)
        assert look(sqlite_place).action == "hold"

    def test_only_what_was_decided_in_the_rollout_counts(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.deployed()
        before = ServingLife(place, instance="before.1")
        before.send(before.decide(keys("early")))
        late = before.decide(keys("late"))
        place.me.deployments.roll_out(name=DEPLOYMENT, model=place.passed(1), plan=PLAN)
        before.send(late)
        seen = look(place).seen
        assert (seen.champion.keys, seen.candidate.keys) == (0, 0)

    def test_a_key_that_both_arms_answered_counts_for_the_candidate_only(
        self, place: Place
    ) -> None:
        life = begun(place)
        life.send(life.decide(["x", "y", "z"], errors=1))
        life.send(life.decide(["x", "x", "w"], role="candidate", errors=1))
        seen = look(place).seen
        assert (seen.champion.keys, seen.champion.requests, seen.champion.errors) == (2, 2, 0)
        assert (seen.candidate.keys, seen.candidate.requests) == (2, 3)
        # The mean is over keys: x failed one of two, w none of one.
        assert seen.candidate.error_mean == 0.25

    def test_a_segment_is_counted_once_however_often_one_looks(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("b", 5), role="candidate"))
        assert [look(place).seen.candidate.requests for _ in range(3)] == [5, 5, 5]

    def test_each_course_changing_look_is_bound_by_its_digest(self, sqlite_place: Place) -> None:
        life = begun(sqlite_place)
        life.send(life.decide(keys("b", 12), role="candidate", errors=12))
        look(sqlite_place)
        event = sqlite_place.events("RolloutLooked")[0]
        assert (event.detail or {})["action"] == "roll_back"
        assert [one.kind for one in event.subjects if one.digest] == ["rollout"]


class TestAtOnce:
    def test_two_who_look_at_once_take_one_look_or_two_one_after_the_other(
        self, place: Place
    ) -> None:
        life = begun(place)
        running = place.home.deployments.running()[0].pk
        for turn in range(1, 6):
            life.send(life.decide([f"key {turn}"], role="candidate"))
            at_once(
                place, *(lambda: place.home.deployments.look(place.act, running) for _ in range(3))
            )
            looks = place.me.deployments.rollouts(name=DEPLOYMENT)[0].looks
            assert [one.n for one in looks] == list(range(1, len(looks) + 1))
            # Whoever was too late has counted nothing twice.
            assert looks[-1].seen.candidate.requests == turn

    def test_a_course_is_changed_once(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("b", 12), role="candidate", errors=12))
        running = place.home.deployments.running()[0].pk
        found = at_once(
            place, *(lambda: place.home.deployments.look(place.act, running) for _ in range(3))
        )
        assert len([one for one in found if isinstance(one, Look)]) == 1
        assert found.count(None) == 2
        assert len(place.events("RolloutEnded")) == 1

    def test_a_look_promotes_nothing_that_is_aborted_meanwhile(self, place: Place) -> None:
        plan = RolloutPlan(steps=(5000,), error_margin=0.2, slow_margin=0.2, min_keys=20)
        place.deployed()
        place.passed(1)
        for turn in range(1, 5):
            other = 2 if weights(place) == {1: 10_000} else 1
            place.judged(f"churn@v{other}")
            place.me.deployments.roll_out(name=DEPLOYMENT, model=f"churn@v{other}", plan=plan)
            life = ServingLife(place, instance=f"here.{turn}")
            life.send(life.decide(keys("a")) + life.decide(keys("b"), role="candidate"))
            running = place.home.deployments.running()[0].pk
            at_once(
                place,
                lambda running=running: place.home.deployments.look(place.act, running),
                lambda: place.me.deployments.abort(name=DEPLOYMENT, reason="by hand"),
            )
            ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
            assert ended.state in {"promoted", "aborted"}
            winner = ended.candidate if ended.state == "promoted" else ended.champion
            assert weights(place) == {winner: 10_000}
            assert len(place.events("RolloutEnded")) == turn


class Meanwhile(ArtifactStore):
    """A store in which something happens whenever the payload of a segment is looked for."""

    def __init__(self, store: ArtifactStore, happens: Callable[[], object]) -> None:
        super().__init__(store.backend)
        self.happens = happens

    def has(self, digest: Digest) -> bool:
        self.happens()
        return super().has(digest)


def looker(place: Place, happens: Callable[[], object]) -> Deployments:
    """Return deployments that read segments from a store in which something happens."""
    home = place.home
    return Deployments(
        home.database,
        Meanwhile(home.artifacts, happens),
        home.journal,
        place.clock,
        on_promoted=home.promotions.finish_rollout,
    )


class TestReading:
    def test_others_write_while_a_look_reads(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("a", 3)))
        taken = looker(place, lambda: place.me.models.create(name="meanwhile")).look(
            place.act, place.home.deployments.running()[0].pk
        )
        assert taken is not None
        assert "meanwhile" in {one.name for one in place.me.models.list_all()}

    def test_of_two_who_have_read_the_same_segments_one_counts_them(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("a", 3), role="candidate"))
        running = place.home.deployments.running()[0].pk
        both = threading.Barrier(2, timeout=20)
        deployments = looker(place, both.wait)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(deployments.look, place.act, running) for _ in range(2)]
            found = [one.result() for one in asked]
        assert found.count(None) == 1
        (taken,) = place.me.deployments.rollouts(name=DEPLOYMENT)[0].looks
        assert taken in found
        assert taken.seen.candidate.requests == 3

    def test_what_was_ended_while_it_was_read_stays_ended(self, place: Place) -> None:
        life = begun(place)
        life.send(life.decide(keys("b", 12), role="candidate", errors=12))
        running = place.home.deployments.running()[0].pk
        found = looker(
            place, lambda: place.me.deployments.abort(name=DEPLOYMENT, reason="by hand")
        ).look(place.act, running)
        assert found is None
        ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (ended.state, ended.looks) == ("aborted", [])

    def test_a_look_reads_so_much_and_gives_nothing_up_before_it_has_read_all(
        self, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looks, "ROWS_PER_LOOK", 5)
        life = begun(sqlite_place)
        for part in range(3):
            life.send(life.decide(keys(f"b{part}", 3), role="candidate"))
        sqlite_place.clock.advance(61)
        first = look(sqlite_place)
        assert (first.action, first.seen.candidate.requests) == ("hold", 6)
        assert first.why.startswith("segments left to read; no answer after 61 s")
        second = look(sqlite_place)
        assert (second.action, second.seen.candidate.requests) == ("give_up", 9)


class TestRefusal:
    @pytest.mark.parametrize(
        "refusal", [Refused("its gate said fail"), NeedsApproval("nobody has approved of it")]
    )
    def test_a_winner_that_may_not_become_champion_ends_the_rollout(
        self, place: Place, refusal: MillwrightError
    ) -> None:
        def refuse(tx: Writer, act: Act, version: VersionRow) -> None:
            raise refusal

        plan = RolloutPlan(steps=(5000,), error_margin=0.2, slow_margin=0.2, min_keys=20)
        life = begun(place, plan)
        life.send(life.decide(keys("a")) + life.decide(keys("b"), role="candidate"))
        home = place.home
        deployments = Deployments(
            home.database, home.artifacts, home.journal, place.clock, on_promoted=refuse
        )
        taken = deployments.look(place.act, home.deployments.running()[0].pk)
        assert taken is not None
        assert taken.action == "give_up"
        assert taken.why.startswith(f"it may not become champion: {refusal.what}; errors +0.0000")
        ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (ended.state, ended.why, ended.looks) == ("inconclusive", taken.why, [taken])
        assert (taken.seen.champion.requests, taken.seen.candidate.requests) == (ENOUGH, ENOUGH)
        assert weights(place) == {1: 10_000}
        assert home.deployments.running() == []
        assert len(place.events("RolloutEnded")) == 1


class TestAbort:
    def test_by_hand_the_champion_answers_everything_again(self, place: Place) -> None:
        begun(place)
        ended = place.me.deployments.abort(name=DEPLOYMENT, reason="we saw enough")
        assert (ended.state, ended.why) == ("aborted", "we saw enough")
        assert weights(place) == {1: 10_000}
        assert (place.events("RolloutEnded")[0].detail or {})["why"] == "we saw enough"
        with pytest.raises(Conflict, match="no rollout of web is on its way"):
            place.me.deployments.abort(name=DEPLOYMENT, reason="again")

    def test_what_was_aborted_is_looked_at_no_more_and_can_be_tried_again(
        self, sqlite_place: Place
    ) -> None:
        begun(sqlite_place)
        pk = sqlite_place.home.deployments.running()[0].pk
        sqlite_place.me.deployments.abort(name=DEPLOYMENT, reason="we saw enough")
        assert sqlite_place.home.deployments.look(sqlite_place.act, pk) is None
        assert sqlite_place.home.deployments.look(sqlite_place.act, pk + 1000) is None
        again = sqlite_place.me.deployments.roll_out(name=DEPLOYMENT, model="churn@v2", plan=PLAN)
        states = [one.state for one in sqlite_place.me.deployments.rollouts(name=DEPLOYMENT)]
        assert (again.state, states) == ("running", ["running", "aborted"])


def test_a_restart_in_the_middle_changes_nothing(place: Place) -> None:
    life = begun(place)
    life.send(life.decide(keys("a")))
    first = look(place)
    later = place.reopened()
    assert later.me.deployments.rollouts(name=DEPLOYMENT)[0].looks == [first]
    assert plan_of(later) == plan_of(place)
    life.send(life.decide(keys("b"), role="candidate"))
    second = look(later)
    assert (second.n, second.action) == (2, "advance")
    assert second.seen.champion.keys == ENOUGH
    assert weights(place) == {1: 5_000, 2: 5_000}
