"""What to do with a candidate, given what both arms have shown: a pure function.

The unit of evidence is the sticky key, not the request: requests of one key resemble each
other, and counting them as independent stopped healthy candidates in a quarter of simulated
rollouts. Looks may be taken as often as one likes: rolling back needs an e-value, and going on
needs a bound, both of which hold at every look (`stats.change`). Each of the two measures,
errors and slow answers, gets half of alpha.

What is not known is not passed: a step goes on only when a rise beyond the margin is excluded,
and one that ends without an answer ends the rollout as inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from millwright.records.deployments import ArmSeen, Observed, RolloutPlan
from millwright.stats.change import harm_evidence
from millwright.stats.intervals import Interval, Sample

Action: TypeAlias = Literal["hold", "advance", "promote", "roll_back", "give_up"]

MEASURES = 2
BROKEN_KEYS = 10
BROKEN_RATE = 0.5
"""A candidate that fails half of its requests over ten keys, where the champion fails hardly
any, is broken; nobody waits for statistics then."""
SOUND_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now, and the two differences (candidate less champion) it rests on."""

    action: Action
    why: str
    errors: Interval
    slow: Interval


@dataclass(frozen=True, slots=True)
class _Judged:
    difference: Interval
    is_harm: bool
    is_safe: bool


def decide(plan: RolloutPlan, seen: Observed) -> Step:
    """Return the next step of a rollout.

    Over all looks together a candidate no worse than the champion by more than the margins is
    rolled back with probability at most `plan.alpha` (asymptotically in keys).
    """
    alpha = plan.alpha / MEASURES
    errors = _judge(
        Sample(seen.champion.keys, seen.champion.error_mean, seen.champion.error_variance),
        Sample(seen.candidate.keys, seen.candidate.error_mean, seen.candidate.error_variance),
        margin=plan.error_margin,
        alpha=alpha,
    )
    slow = _judge(
        Sample(seen.champion.keys, seen.champion.slow_mean, seen.champion.slow_variance),
        Sample(seen.candidate.keys, seen.candidate.slow_mean, seen.candidate.slow_variance),
        margin=plan.slow_margin,
        alpha=alpha,
    )

    def step(action: Action, why: str) -> Step:
        return Step(action, why, errors.difference, slow.difference)

    if _is_broken(seen.champion, seen.candidate):
        return step(
            "roll_back",
            f"the candidate failed {seen.candidate.errors} of {seen.candidate.requests} requests "
            f"of {seen.candidate.keys} keys",
        )
    if errors.is_harm:
        return step("roll_back", f"more errors: {_words(errors.difference, plan.error_margin)}")
    if slow.is_harm:
        return step("roll_back", f"more slow answers: {_words(slow.difference, plan.slow_margin)}")
    if seen.step_keys >= plan.min_keys and errors.is_safe and slow.is_safe:
        known = (
            f"errors {_words(errors.difference, plan.error_margin)}; "
            f"slow {_words(slow.difference, plan.slow_margin)}"
        )
        return step("advance" if seen.step + 1 < len(plan.steps) else "promote", known)
    if seen.step_s > plan.max_step_s:
        return step(
            "give_up", f"no answer after {seen.step_s:.0f} s: {_open(plan, seen, errors, slow)}"
        )
    return step("hold", _open(plan, seen, errors, slow))


def keys_needed(plan: RolloutPlan) -> int:
    """Return how many keys of each arm a faultless candidate needs to pass a step."""
    alpha = plan.alpha / MEASURES
    margin = min(plan.error_margin, plan.slow_margin)
    return max(plan.min_keys, math.ceil(math.log(alpha) / math.log1p(-margin)))


def _judge(champion: Sample, candidate: Sample, *, margin: float, alpha: float) -> _Judged:
    found = harm_evidence(champion, candidate, tau=max(margin, 0.01), margin=margin, alpha=alpha)
    difference = found.difference
    if champion.mean == candidate.mean == 0.0 and min(champion.count, candidate.count) > 0:
        # Nothing has failed, so there is no variance to measure. Rates lie in [0, 1]: betting
        # all on "the mean is below p" multiplies the stake by 1 / (1 - p) at each faultless
        # key, which by Ville's inequality excludes every p above 1 - alpha^(1 / keys).
        lower = -(1.0 - alpha ** (1.0 / champion.count))
        upper = 1.0 - alpha ** (1.0 / candidate.count)
        difference = Interval(0.0, lower, upper)
    is_harm = found.log_e >= -math.log(alpha)
    return _Judged(difference, is_harm=is_harm, is_safe=difference.upper < margin)


def _is_broken(champion: ArmSeen, candidate: ArmSeen) -> bool:
    return (
        candidate.keys >= BROKEN_KEYS
        and candidate.error_mean >= BROKEN_RATE
        and champion.error_mean <= SOUND_RATE
    )


def _words(difference: Interval, margin: float) -> str:
    return (
        f"{difference.estimate:+.4f} [{difference.lower:+.4f}, {difference.upper:+.4f}], "
        f"margin {margin:.4f}"
    )


def _open(plan: RolloutPlan, seen: Observed, errors: _Judged, slow: _Judged) -> str:
    missing: list[str] = []
    if seen.step_keys < plan.min_keys:
        missing.append(f"{seen.step_keys} of {plan.min_keys} keys seen in this step")
    if not errors.is_safe:
        missing.append(f"errors undecided: {_words(errors.difference, plan.error_margin)}")
    if not slow.is_safe:
        missing.append(f"slow answers undecided: {_words(slow.difference, plan.slow_margin)}")
    return "; ".join(missing) + f"; about {keys_needed(plan)} faultless keys an arm would decide"
