from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from millwright.deployments.decide import decide, keys_needed
from millwright.records.deployments import ArmSeen, Observed, RolloutPlan

PLAN = RolloutPlan(steps=(500, 2500, 5000), error_margin=0.01, slow_margin=0.05)


def arm(keys: int, *, errors: float = 0.0, variance: float = 0.0, slow: float = 0.0) -> ArmSeen:
    return ArmSeen(
        keys=keys,
        requests=keys * 4,
        errors=round(errors * keys * 4),
        slow=round(slow * keys * 4),
        error_mean=errors,
        error_variance=variance,
        slow_mean=slow,
        slow_variance=slow * (1 - slow) / 4,
    )


def seen(
    champion: ArmSeen, candidate: ArmSeen, *, step: int = 0, keys: int | None = None, s: float = 1.0
) -> Observed:
    return Observed(
        step=step,
        step_keys=candidate.keys if keys is None else keys,
        step_s=s,
        champion=champion,
        candidate=candidate,
    )


class TestCases:
    def test_no_traffic_is_no_answer(self) -> None:
        found = decide(PLAN, seen(ArmSeen(), ArmSeen()))
        assert found.action == "hold"
        assert "0 of 50 keys" in found.why

    def test_too_few_keys_are_inconclusive_when_the_time_is_up_and_never_passed(self) -> None:
        found = decide(PLAN, seen(arm(60), arm(60), s=3601.0))
        assert found.action == "give_up"
        assert f"about {keys_needed(PLAN)} faultless keys" in found.why

    def test_a_faultless_candidate_passes_once_it_has_the_keys_it_needs(self) -> None:
        enough = keys_needed(PLAN)
        assert decide(PLAN, seen(arm(enough - 1), arm(enough - 1))).action == "hold"
        assert decide(PLAN, seen(arm(enough), arm(enough))).action == "advance"
        assert decide(PLAN, seen(arm(enough), arm(enough), step=2)).action == "promote"

    def test_a_step_wants_keys_of_its_own(self) -> None:
        assert decide(PLAN, seen(arm(900), arm(900), step=1, keys=10)).action == "hold"

    def test_a_broken_candidate_is_stopped_after_ten_keys(self) -> None:
        found = decide(PLAN, seen(arm(30), arm(10, errors=0.6, variance=0.1)))
        assert found.action == "roll_back"
        assert "failed 24 of 40 requests of 10 keys" in found.why

    def test_slow_answers_alone_are_harm(self) -> None:
        found = decide(PLAN, seen(arm(400), arm(400, slow=0.5)))
        assert found.action == "roll_back"
        assert found.why.startswith("more slow answers")

    def test_what_fails_alike_in_both_arms_is_no_harm(self) -> None:
        both = arm(400, errors=0.3, variance=0.05)
        assert decide(PLAN, seen(both, both)).action != "roll_back"

    def test_the_intervals_hold_the_difference(self) -> None:
        found = decide(PLAN, seen(arm(300), arm(300, errors=0.02, variance=0.01)))
        assert found.errors.lower < 0.02 < found.errors.upper
        assert found.slow.lower < 0.0 < found.slow.upper


@dataclass(frozen=True)
class Simulated:
    stopped: int
    promoted: int


def simulate(runs: int, *, base: float, candidate: float, seed: int) -> Simulated:
    """Whole rollouts on arrays: 500 keys an arm, in-key correlation 0.05, 40 looks each.

    A key's own rate is drawn from a beta law whose spread gives the correlation; at each look
    every key has sent two more requests.
    """
    rng = np.random.default_rng(seed)
    spread = 1.0 / 0.05 - 1.0
    plan = RolloutPlan(steps=(5000,), error_margin=0.01, min_keys=100)
    outcomes = {"roll_back": 0, "promote": 0, "hold": 0}
    for _ in range(runs):
        arms: list[ArmSeen] = []
        rates = [rng.beta(p * spread, (1 - p) * spread, size=500) for p in (base, candidate)]
        errors = [np.zeros(500), np.zeros(500)]
        action = "hold"
        for look in range(1, 41):
            arms = []
            for index in range(2):
                errors[index] += rng.binomial(2, rates[index])
                per_key = errors[index] / (2 * look)
                arms.append(
                    ArmSeen(
                        keys=500,
                        requests=1000 * look,
                        errors=int(errors[index].sum()),
                        error_mean=float(per_key.mean()),
                        error_variance=float(per_key.var(ddof=1)),
                    )
                )
            action = decide(plan, seen(arms[0], arms[1])).action
            if action != "hold":
                break
        outcomes[action] += 1
    return Simulated(outcomes["roll_back"], outcomes["promote"])


class TestSimulatedRollouts:
    @pytest.mark.parametrize("base", [0.02, 0.05])
    def test_healthy_candidates_are_seldom_stopped(self, base: float) -> None:
        assert simulate(60, base=base, candidate=base, seed=1).stopped <= 3

    def test_of_500_healthy_at_most_5_percent_are_stopped_and_of_500_faulty_95(self) -> None:
        healthy = simulate(500, base=0.05, candidate=0.05, seed=3)
        faulty = simulate(500, base=0.05, candidate=0.12, seed=4)
        assert healthy.stopped <= 25
        assert faulty.stopped >= 475
