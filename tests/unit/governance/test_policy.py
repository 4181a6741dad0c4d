from __future__ import annotations

import msgspec
import pytest

from millwright.core.digest import digest_bytes
from millwright.core.errors import Refused
from millwright.core.ids import ActorId, ApprovalId, GateId, new_id
from millwright.governance.policy import Policy, check_gate, needs_approval, usable
from millwright.records.models import Approval, CheckResult, GateReport, Verdict

DIGEST = digest_bytes(b"model")


def report(
    verdict: Verdict = "pass", *, baseline: int | None = 2, by_project_gate: bool = True
) -> GateReport:
    checks = [
        CheckResult(name="auc-floor", kind="floor", verdict=verdict, message="auc 0.61", n=200),
        CheckResult(name="signature", kind="signature", verdict="pass", message="fits", n=200),
    ]
    return GateReport(
        id=GateId(new_id("gat")),
        model="churn",
        version=3,
        baseline=baseline,
        verdict=verdict,
        metrics={},
        baseline_metrics={},
        checks=checks,
        evidence={},
        digest=DIGEST,
        by_project_gate=by_project_gate,
        actor=ActorId("act_1"),
        created_us=0,
    )


def check(
    *verdicts: GateReport,
    alias: str = "champion",
    policy: Policy | None = None,
    champion: int | None = 2,
) -> None:
    check_gate(
        policy or Policy(), alias=alias, ref="churn@v3", verdicts=verdicts, champion=champion
    )


APPROVED = Approval(
    id=ApprovalId("apr_1"),
    model="churn",
    version=3,
    alias="champion",
    digest=DIGEST,
    state="approved",
    requested_by=ActorId("act_1"),
    requested_us=0,
    reason="",
    decided_by=ActorId("act_2"),
    decided_us=5,
    decision_reason="",
    expires_us=100,
)


class TestGate:
    def test_a_protected_alias_wants_a_verdict(self) -> None:
        with pytest.raises(Refused, match="the project's gate has not judged it"):
            check()

    def test_a_verdict_that_is_no_pass_is_refused_naming_only_the_checks_that_said_so(self) -> None:
        for verdict in ("fail", "undetermined"):
            newest = report(verdict)
            with pytest.raises(Refused, match=f"its gate said {verdict}") as caught:
                check(newest)
            assert caught.value.why == "auc-floor: auc 0.61"
            assert newest.id in caught.value.fix

    def test_the_newest_verdict_counts_and_no_older_one(self) -> None:
        check(report("pass"), report("fail"))
        with pytest.raises(Refused):
            check(report("fail"), report("pass"))

    def test_a_gate_of_ones_own_choice_neither_opens_nor_shuts_the_way(self) -> None:
        own = report("pass", by_project_gate=False)
        with pytest.raises(Refused, match="the project's gate has not judged it"):
            check(own)
        with pytest.raises(Refused, match="its gate said fail"):
            check(own, report("fail"))
        check(report("fail", by_project_gate=False), report("pass"))

    def test_a_verdict_holds_against_the_champion_it_compared_with(self) -> None:
        with pytest.raises(Refused, match="its gate compared it with v2") as caught:
            check(report(), champion=4)
        assert caught.value.why == "v4 is champion now"
        with pytest.raises(Refused, match="its gate compared it with no champion"):
            check(report(baseline=None))
        with pytest.raises(Refused, match="its gate compared it with v2") as caught:
            check(report(), champion=None)
        assert caught.value.why == "there is none now"
        check(report(baseline=None), champion=None)

    def test_other_aliases_and_a_policy_without_gates_ask_for_none(self) -> None:
        check(alias="shadow")
        check(policy=Policy(needs_gate=False))


def test_only_high_risk_behind_a_protected_alias_needs_approval() -> None:
    policy = Policy(protected=frozenset({"champion", "live"}))
    asked = {
        (alias, risk): needs_approval(policy, alias=alias, risk=risk)
        for alias in ("champion", "live", "shadow")
        for risk in ("low", "high")
    }
    assert {pair for pair, needed in asked.items() if needed} == {
        ("champion", "high"),
        ("live", "high"),
    }


def test_an_approval_allows_one_digest_while_it_is_approved_and_has_not_expired() -> None:
    assert usable(APPROVED, digest=DIGEST, now_us=99)
    assert not usable(None, digest=DIGEST, now_us=99)
    assert not usable(APPROVED, digest=DIGEST, now_us=100)
    assert not usable(APPROVED, digest=digest_bytes(b"another"), now_us=99)
    for state in ("waiting", "rejected", "used"):
        other = msgspec.structs.replace(APPROVED, state=state)
        assert not usable(other, digest=DIGEST, now_us=99)
