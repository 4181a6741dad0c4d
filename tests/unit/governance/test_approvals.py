from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.homes import Place
from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, Denied, MillwrightError, NeedsApproval, NotFound
from millwright.workspace.open import Workspace

DAY_S = 86_400.0


def asked(place: Place, who: Workspace) -> str:
    """Have a passed version of high risk wait for its approval; return its reference."""
    ref = place.passed(risk="high")
    with pytest.raises(NeedsApproval, match=f"{ref} waits for approval to become champion"):
        who.models.promote(ref=ref, reason="it is better")
    return ref


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make the calls at the same moment; return what each returned or raised."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> object:
        ready.wait(10)
        try:
            return call()
        except MillwrightError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


class TestFourEyes:
    def test_asked_for_by_one_given_by_another_and_used_by_the_promotion(
        self, place: Place
    ) -> None:
        ada, bob = place.person("ada"), place.person("bob", "approver")
        ref = asked(place, ada)
        waiting = place.me.models.approvals(state="waiting")
        assert [(one.model, one.version, one.reason) for one in waiting] == [
            ("churn", 1, "it is better")
        ]
        assert waiting[0].digest == place.row(ref).digest
        assert place.me.jobs.status().waiting_approvals == 1

        granted = bob.models.approve(ref=ref, reason="looked at it")
        assert (granted.state, granted.decided_by, granted.decision_reason) == (
            "approved",
            bob.session.principal.actor,
            "looked at it",
        )
        change = ada.models.promote(ref=ref, reason="it is better")
        assert (change.version, change.previous) == (1, None)
        assert [one.state for one in place.me.models.approvals()] == ["used"]
        events = place.events("ApprovalRequested", "ApprovalGranted", "AliasMoved")
        assert [(one.kind, one.actor) for one in events] == [
            ("ApprovalRequested", ada.session.principal.actor),
            ("ApprovalGranted", bob.session.principal.actor),
            ("AliasMoved", ada.session.principal.actor),
        ]
        assert events[0].subjects[0] == events[1].subjects[0]
        assert events[0].subjects[0].digest == place.row(ref).digest

    def test_the_requester_can_neither_approve_nor_reject(self, sqlite_place: Place) -> None:
        # An admin may approve, but not what he asked for himself.
        ref = asked(sqlite_place, sqlite_place.me)
        with pytest.raises(Denied, match="cannot be decided by who asked for it"):
            sqlite_place.me.models.approve(ref=ref)
        with pytest.raises(Denied, match="cannot be decided by who asked for it"):
            sqlite_place.me.models.reject(ref=ref, reason="no")
        assert [one.state for one in sqlite_place.me.models.approvals()] == ["waiting"]

    def test_an_editor_may_not_approve_at_all(self, sqlite_place: Place) -> None:
        ref = asked(sqlite_place, sqlite_place.me)
        eve = sqlite_place.person("eve")
        with pytest.raises(Denied, match=r"eve may not do model\.approve"):
            eve.models.approve(ref=ref)

    def test_what_nobody_asked_for_cannot_be_approved(self, sqlite_place: Place) -> None:
        ref = sqlite_place.passed(risk="high")
        with pytest.raises(NotFound, match="no promotion of churn@v1 to champion waits") as caught:
            sqlite_place.person("bob", "approver").models.approve(ref=ref)
        assert caught.value.why == "none was asked for"


class TestOneApproval:
    def test_it_is_used_once(self, sqlite_place: Place) -> None:
        place = sqlite_place
        bob = place.person("bob", "approver")
        ref = asked(place, place.me)
        bob.models.approve(ref=ref)
        place.me.models.promote(ref=ref)
        # The next version takes the alias; the first one's approval brings it back no more.
        second = place.passed(1, risk="high")
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=second)
        bob.models.approve(ref=second)
        place.me.models.promote(ref=second)
        place.judged(ref)
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=ref)
        assert [one.state for one in place.me.models.approvals()] == ["waiting", "used", "used"]

    def test_it_holds_for_its_version_and_no_other(self, sqlite_place: Place) -> None:
        place = sqlite_place
        ref = asked(place, place.me)
        place.person("bob", "approver").models.approve(ref=ref)
        other = place.passed(1, risk="high")
        with pytest.raises(NeedsApproval, match="churn@v2 waits"):
            place.me.models.promote(ref=other)

    def test_it_is_bound_to_the_digest_that_was_looked_at(self, sqlite_place: Place) -> None:
        place = sqlite_place
        ref = asked(place, place.me)
        place.person("bob", "approver").models.approve(ref=ref)
        # Somebody with the database in his hands puts other weights under the approved version.
        with place.home.database.write() as tx:
            tx.run("UPDATE model_version SET digest = :d", d=digest_bytes(b"other weights"))
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=ref)

    def test_asking_again_while_it_waits_adds_nothing(self, sqlite_place: Place) -> None:
        ref = asked(sqlite_place, sqlite_place.me)
        with pytest.raises(NeedsApproval):
            sqlite_place.person("ada").models.promote(ref=ref)
        assert len(sqlite_place.me.models.approvals()) == 1
        assert len(sqlite_place.events("ApprovalRequested")) == 1

    def test_a_rejection_sticks_and_gives_its_reason(self, place: Place) -> None:
        ref = asked(place, place.me)
        bob = place.person("bob", "approver")
        assert bob.models.reject(ref=ref, reason="unfair to the old").state == "rejected"
        with pytest.raises(Denied, match="churn@v1 was refused as champion") as caught:
            place.me.models.promote(ref=ref)
        assert caught.value.why == "unfair to the old"
        with pytest.raises(NotFound) as again:
            bob.models.approve(ref=ref)
        assert again.value.why == "it is rejected"
        assert place.me.models.history(name="churn").aliases == []
        assert [one.kind for one in place.events("ApprovalGranted", "ApprovalRejected")] == [
            "ApprovalRejected"
        ]


class TestExpiry:
    def test_a_request_that_has_expired_cannot_be_granted_but_asked_for_again(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        ref = asked(place, place.me)
        bob = place.person("bob", "approver")
        place.clock.advance(14 * DAY_S)
        with pytest.raises(Conflict, match="has expired"):
            bob.models.approve(ref=ref)
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=ref)
        assert len(place.me.models.approvals()) == 2
        bob.models.approve(ref=ref)
        assert place.me.models.promote(ref=ref).version == 1

    def test_an_approval_that_has_expired_promotes_nothing(self, sqlite_place: Place) -> None:
        place = sqlite_place
        ref = asked(place, place.me)
        place.person("bob", "approver").models.approve(ref=ref)
        place.clock.advance(14 * DAY_S)
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=ref)
        assert place.me.models.history(name="churn").aliases == []


class TestAtOnce:
    def test_of_two_who_decide_at_once_one_does(self, place: Place) -> None:
        ref = asked(place, place.me)
        bob, eve = place.person("bob", "approver"), place.person("eve", "approver")
        found = at_once(
            lambda: bob.models.approve(ref=ref),
            lambda: eve.models.reject(ref=ref, reason="not yet"),
        )
        errors = [one for one in found if isinstance(one, MillwrightError)]
        # The slower one meets a row that has just changed, or finds none that waits.
        assert [type(error) for error in errors] in ([Conflict], [NotFound])
        assert len(place.events("ApprovalGranted", "ApprovalRejected")) == 1
        assert len(place.me.models.approvals()) == 1

    def test_two_who_ask_at_once_make_one_request(self, place: Place) -> None:
        ref = place.passed(risk="high")
        ada, bob = place.person("ada"), place.person("bob")
        found = at_once(
            *(lambda who=who: who.models.promote(ref=ref) for who in (ada, bob, ada, bob))
        )
        assert [type(one) for one in found] == [NeedsApproval] * 4
        assert len(place.me.models.approvals()) == 1

    def test_one_approval_promotes_once_however_many_try(self, place: Place) -> None:
        ref = asked(place, place.me)
        place.person("bob", "approver").models.approve(ref=ref)
        found = at_once(*(lambda: place.me.models.promote(ref=ref) for _ in range(3)))
        assert not [one for one in found if isinstance(one, MillwrightError)]
        assert len(place.events("AliasMoved")) == 1
        assert [one.state for one in place.me.models.approvals()] == ["used"]
