from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.homes import DEPLOYMENT, Place, ServingLife, made_place
from millwright.core.errors import Conflict, Denied, NeedsApproval, Refused
from millwright.governance.policy import Policy
from millwright.records.deployments import RolloutPlan
from millwright.testing.clock import FakeClock

# About 2 x 44 faultless keys an arm pass it.
QUICK = RolloutPlan(steps=(5000,), error_margin=0.08, slow_margin=0.08, min_keys=5)
ENOUGH = 60


def keys(arm: str, count: int = ENOUGH) -> list[str]:
    return [f"{arm}-{at}" for at in range(count)]


def promoted_by_rollout(place: Place, ref: str) -> None:
    """Roll `ref` out and let it win."""
    place.me.deployments.roll_out(name=DEPLOYMENT, model=ref, plan=QUICK, reason="better")
    life = ServingLife(place, instance=f"for {ref}")
    life.send(life.decide(keys("a")))
    life.send(life.decide(keys("b"), role="candidate"))
    look(place, "promote")


def look(place: Place, action: str) -> None:
    running = place.home.deployments.running()
    assert [one.candidate for one in running], "a rollout is on its way"
    taken = place.home.deployments.look(place.act, running[0].pk)
    assert taken is not None
    assert taken.action == action, taken.why


class TestGate:
    def test_what_no_gate_let_pass_is_not_promoted_and_the_checks_are_named(
        self, place: Place
    ) -> None:
        ref = place.version()
        with pytest.raises(Refused, match="the project's gate has not judged it") as caught:
            place.me.models.promote(ref=ref)
        assert caught.value.exit_code == 5
        place.judged(ref, "fail")
        with pytest.raises(Refused, match="its gate said fail") as caught:
            place.me.models.promote(ref=ref)
        assert caught.value.why == "auc-floor: auc 0.61, floor 0.70"
        assert place.events("AliasMoved") == []
        place.judged(ref)
        assert place.me.models.promote(ref=ref, reason="it passed").version == 1

    def test_a_later_verdict_takes_the_permission_back(self, sqlite_place: Place) -> None:
        ref = sqlite_place.passed()
        sqlite_place.judged(ref, "undetermined")
        with pytest.raises(Refused, match="its gate said undetermined"):
            sqlite_place.me.models.promote(ref=ref)

    def test_a_gate_of_ones_own_choice_opens_no_way(self, sqlite_place: Place) -> None:
        ref = sqlite_place.version()
        sqlite_place.judged(ref, by_project_gate=False)
        with pytest.raises(Refused, match="the project's gate has not judged it"):
            sqlite_place.me.models.promote(ref=ref)

    def test_a_verdict_against_yesterdays_champion_is_out_of_date(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        first, second = place.passed(0), place.passed(1)
        place.me.models.promote(ref=first)
        with pytest.raises(Refused, match="churn@v2 cannot become champion: its gate compared it"):
            place.me.models.promote(ref=second)
        place.judged(second)
        assert place.me.models.promote(ref=second).version == 2

    def test_an_alias_that_is_not_protected_is_free(self, sqlite_place: Place) -> None:
        ref = sqlite_place.version(risk="high")
        assert sqlite_place.me.models.promote(ref=ref, alias="shadow").version == 1

    def test_what_is_champion_already_is_asked_nothing(self, sqlite_place: Place) -> None:
        ref = sqlite_place.passed()
        first = sqlite_place.me.models.promote(ref=ref)
        sqlite_place.judged(ref, "fail")
        assert sqlite_place.me.models.promote(ref=ref) == first
        assert len(sqlite_place.events("AliasMoved")) == 1

    def test_the_policy_says_which_aliases_are_protected(
        self, sqlite_address: str, tmp_path: Path
    ) -> None:
        policy = Policy(protected=frozenset({"live"}))
        with made_place(sqlite_address, tmp_path, FakeClock(), policy=policy) as place:
            ref = place.version()
            place.me.models.promote(ref=ref)
            with pytest.raises(Refused, match="cannot become live"):
                place.me.models.promote(ref=ref, alias="live")

    def test_the_guard_stands_in_the_transaction_that_moves_the_alias(
        self, sqlite_place: Place
    ) -> None:
        # Whoever goes to the aliases themselves, past the promotions, meets it too.
        place = sqlite_place
        ref = place.version()
        with pytest.raises(Refused, match="the project's gate has not judged it"):
            place.home.aliases.set_alias(place.act, name="churn", alias="champion", version=1)
        with place.home.database.read() as tx:
            assert tx.value(int, "SELECT count(*) FROM model_alias") == 0
        place.judged(ref)
        place.home.aliases.set_alias(place.act, name="churn", alias="champion", version=1)
        assert place.me.models.history(name="churn").model.aliases == {"champion": 1}


class TestRollback:
    def test_it_needs_no_gate_and_tells_its_history(self, place: Place) -> None:
        first = place.passed(0)
        place.me.models.promote(ref=first, reason="first")
        place.clock.advance(60)
        place.me.models.promote(ref=place.passed(1), reason="better")
        place.judged(first, "fail")
        place.clock.advance(60)
        place.me.models.rollback(name="churn", reason="complaints")
        moves = place.me.models.history(name="churn").aliases
        assert [(one.version, one.previous, one.reason) for one in moves] == [
            (1, None, "first"),
            (2, 1, "better"),
            (1, 2, "complaints"),
        ]
        events = place.events("AliasMoved")
        assert [one.id for one in events] == [one.event for one in moves]
        assert [one.time_us for one in events] == [one.time_us for one in moves]

    def test_it_needs_no_approval_either(self, sqlite_place: Place) -> None:
        place = sqlite_place
        bob = place.person("bob", "approver")
        for seed in (0, 1):
            ref = place.passed(seed, risk="high")
            with pytest.raises(NeedsApproval):
                place.me.models.promote(ref=ref)
            bob.models.approve(ref=ref)
            place.me.models.promote(ref=ref)
        assert place.me.models.rollback(name="churn", reason="complaints").version == 1
        assert place.me.models.approvals(state="waiting") == []

    def test_what_was_never_let_pass_is_no_way_back(self, place: Place) -> None:
        models = place.me.models
        for seed in (0, 1):
            ref = place.version(seed)
            models.govern(name="churn", governed=False)
            models.promote(ref=ref)
        models.govern(name="churn", governed=True)
        with pytest.raises(Refused, match="has never let it pass"):
            models.rollback(name="churn", reason="complaints")
        with pytest.raises(Refused, match="has never let it pass"):
            place.me.deployments.create(name=DEPLOYMENT, model="churn@champion")
        assert models.show(ref="churn@champion").version == 2
        place.judged("churn@v1")
        assert models.rollback(name="churn", reason="complaints").version == 1
        place.me.deployments.create(name=DEPLOYMENT, model="churn@v1")

    def test_a_name_that_is_asked_for_by_a_protected_alias_is_not_given_up(
        self, place: Place
    ) -> None:
        models = place.me.models
        models.promote(ref=place.passed())
        models.remove_alias(name="churn", alias="champion")
        for give_up in (
            lambda: models.rename(name="churn", new_name="other"),
            lambda: models.delete(name="churn"),
        ):
            with pytest.raises(Refused, match="its alias champion is protected"):
                give_up()
        models.govern(name="churn", governed=False)
        models.rename(name="churn", new_name="other")
        models.delete(name="other")


class TestDeploy:
    def test_only_a_champion_answers_requests(self, place: Place) -> None:
        ref = place.passed()
        with pytest.raises(Refused, match="churn@v1 cannot answer requests") as caught:
            place.me.deployments.create(name=DEPLOYMENT, model=ref)
        assert caught.value.fix == "mill model promote churn@v1"
        assert place.me.deployments.list_all() == []
        place.me.models.promote(ref=ref)
        place.me.deployments.create(name=DEPLOYMENT, model=ref)
        other = place.passed(1)
        with pytest.raises(Refused, match="churn@v2 cannot answer requests"):
            place.me.deployments.create(name="side door", model=other)


class TestRollouts:
    def test_a_rollout_asks_before_anybody_is_shown_the_version(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.deployed()
        bad = place.version(1)
        place.judged(bad, "fail")
        revision = place.home.plan_revision()
        with pytest.raises(Refused, match="its gate said fail"):
            place.me.deployments.roll_out(name=DEPLOYMENT, model=bad)
        assert place.home.plan_revision() == revision
        assert place.events("RolloutStarted") == []

    def test_the_winner_becomes_champion_with_the_end_of_the_rollout(self, place: Place) -> None:
        place.deployed()
        promoted_by_rollout(place, place.passed(1))
        assert place.me.models.show(ref="churn@champion").version == 2
        events = place.events("RolloutEnded", "DeploymentChanged", "AliasMoved")[-3:]
        assert [one.kind for one in events] == ["RolloutEnded", "DeploymentChanged", "AliasMoved"]
        assert {one.cause for one in events[1:]} == {events[0].id}

    def test_an_approved_version_that_is_champion_already_can_still_be_rolled_out(
        self, sqlite_place: Place
    ) -> None:
        # Its approval was used up when it became champion; the end of the rollout must not ask
        # for it again.
        place = sqlite_place
        bob = place.person("bob", "approver")
        for seed in (0, 1):
            ref = place.passed(seed, risk="high")
            with pytest.raises(NeedsApproval):
                place.me.models.promote(ref=ref)
            bob.models.approve(ref=ref)
            place.me.models.promote(ref=ref)
            if seed == 0:
                place.me.deployments.create(name=DEPLOYMENT, model=ref)
        promoted_by_rollout(place, "churn@v2")
        shown = place.me.deployments.show(name=DEPLOYMENT)
        assert [one.version for one in shown.variants] == [2]

    def test_what_answers_requests_is_not_deleted(self, place: Place) -> None:
        models, first = place.me.models, place.deployed()
        models.govern(name="churn", governed=False)
        models.promote(ref=place.version(1))
        for delete in (
            lambda: models.delete_version(ref=first),
            lambda: models.delete(name="churn"),
        ):
            with pytest.raises(Conflict, match="answers by it"):
                delete()
        models.remove_alias(name="churn", alias="champion")
        models.delete_version(ref="churn@v2")

    def test_rolling_back_moves_deployment_and_alias_together_and_asks_nobody(
        self, place: Place
    ) -> None:
        first = place.deployed()
        promoted_by_rollout(place, place.passed(1))
        place.judged(first, "fail")
        back = place.me.deployments.rollback(name=DEPLOYMENT, reason="complaints")
        assert [(one.version, one.weight) for one in back.variants] == [(1, 10_000)]
        assert place.me.models.show(ref="churn@champion").version == 1
        last = place.events("DeploymentChanged", "AliasMoved")[-2:]
        assert [(one.kind, (one.detail or {})["reason"]) for one in last] == [
            ("DeploymentChanged", "complaints"),
            ("AliasMoved", "complaints"),
        ]
        with pytest.raises(Conflict, match="has nothing to go back to"):
            place.me.deployments.rollback(name=DEPLOYMENT, reason="further")

    def test_while_a_rollout_runs_rolling_back_ends_it_and_goes_no_further(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        place.deployed()
        promoted_by_rollout(place, place.passed(1))
        place.me.deployments.roll_out(name=DEPLOYMENT, model=place.passed(2), plan=QUICK)
        back = place.me.deployments.rollback(name=DEPLOYMENT, reason="complaints")
        newest = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert (newest.candidate, newest.state, newest.why) == (3, "rolled_back", "complaints")
        assert (back.rollout, [one.version for one in back.variants]) == (None, [2])
        assert place.me.models.show(ref="churn@champion").version == 2

    def test_one_rollback_behind_another_goes_further_back(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.deployed()
        promoted_by_rollout(place, place.passed(1))
        promoted_by_rollout(place, place.passed(2))
        for version in (2, 1):
            back = place.me.deployments.rollback(name=DEPLOYMENT, reason="complaints")
            assert [one.version for one in back.variants] == [version]
            assert place.me.models.show(ref="churn@champion").version == version

    def test_a_winner_whose_gate_has_changed_its_mind_does_not_become_champion(
        self, place: Place
    ) -> None:
        place.deployed()
        ref = place.passed(1)
        place.me.deployments.roll_out(name=DEPLOYMENT, model=ref, plan=QUICK)
        life = ServingLife(place)
        life.send(life.decide(keys("a")))
        life.send(life.decide(keys("b"), role="candidate"))
        place.judged(ref, "fail")
        look(place, "give_up")
        ended = place.me.deployments.rollouts(name=DEPLOYMENT)[0]
        assert ended.state == "inconclusive"
        assert "it may not become champion: churn@v2 cannot become champion" in ended.why
        shown = place.me.deployments.show(name=DEPLOYMENT)
        assert [one.version for one in shown.variants] == [1]
        assert place.me.models.show(ref="churn@champion").version == 1

    def test_who_only_works_here_cannot_promote(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.deployed()
        ref = place.passed(1)
        for role in ("viewer", "approver", "auditor"):
            who = place.person(role, role)
            with pytest.raises(Denied, match=r"model\.promote"):
                who.models.promote(ref=ref)
            with pytest.raises(Denied):
                who.deployments.roll_out(name=DEPLOYMENT, model=ref)
