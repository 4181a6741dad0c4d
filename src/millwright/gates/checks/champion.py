"""The candidate must not be worse than the champion, both judged on the same rows."""

from __future__ import annotations

import math

from millwright.gates.check import ALPHA, Evidence, Options
from millwright.gates.compare import metric_difference
from millwright.records.models import CheckResult
from millwright.records.models import Verdict as RecordedVerdict
from millwright.stats.intervals import Interval
from millwright.stats.significance import Verdict, judge


class ChampionOptions(Options, frozen=True, kw_only=True):
    """`metric` may fall by less than `margin`; with `superior` it must rise."""

    metric: str = "auc"
    margin: float = 0.01
    superior: bool = False


class Champion:
    """Compare with the champion by a paired interval of the difference.

    "The new metric is higher" promotes an equal model every second time; here the whole
    interval must lie above minus the margin. Without a champion there is nothing to compare,
    and the check passes saying so.
    """

    options = ChampionOptions

    def evaluate(self, evidence: Evidence, options: ChampionOptions) -> list[CheckResult]:
        """Return the one result."""
        name = options.name or f"{options.metric}-against-champion"
        if evidence.baseline is None:
            message = "there is no champion yet, so there is nothing to compare with"
            return [
                CheckResult(
                    name=name, kind="champion", verdict="pass", message=message, n=evidence.rows
                )
            ]
        found = metric_difference(
            options.metric,
            evidence.candidate,
            evidence.baseline,
            evidence.truth,
            seed=evidence.seed,
            alpha=ALPHA,
        )
        verdict, n_needed = _verdict(found.difference, evidence.rows, options)
        return [
            CheckResult(
                name=name,
                kind="champion",
                verdict=verdict,
                message=(
                    f"{options.metric} {found.challenger:.4f}, champion {found.champion:.4f}; "
                    f"difference {found.difference.estimate:+.4f} "
                    f"[{found.difference.lower:+.4f}, {found.difference.upper:+.4f}], "
                    + ("must be above 0" if options.superior else f"margin {options.margin:.4f}")
                ),
                n=found.rows,
                value=found.challenger,
                baseline=found.champion,
                low=found.difference.lower,
                high=found.difference.upper,
                threshold=0.0 if options.superior else -options.margin,
                n_needed=n_needed,
            )
        ]


def _verdict(
    difference: Interval, rows: int, options: ChampionOptions
) -> tuple[RecordedVerdict, int | None]:
    margin = 0.0 if options.superior else options.margin
    judged = judge(difference, margin=margin)
    if judged is Verdict.SUPERIOR or (judged is Verdict.NOT_INFERIOR and not options.superior):
        return "pass", None
    if judged is Verdict.INFERIOR:
        return "fail", None
    # An interval shrinks with the root of the rows; this many would clear the threshold.
    distance = max(abs(difference.estimate + margin), 1e-6)
    return "undetermined", math.ceil(rows * (difference.width / 2.0 / distance) ** 2)
