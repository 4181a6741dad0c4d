"""A metric must be at least so good."""

from __future__ import annotations

import math

from millwright.gates.check import ALPHA, Evidence, Options
from millwright.gates.compare import metric_interval
from millwright.records.models import CheckResult


class FloorOptions(Options, frozen=True, kw_only=True):
    """`metric` must be at least `at_least`, losses counted as negative numbers."""

    metric: str = "auc"
    at_least: float
    certain: bool = False
    """Ask that the whole interval lies above the floor, not only the estimate."""


class Floor:
    """Compare a metric on the judged rows with an absolute floor.

    By default the estimate decides and the interval is shown, as a floor is a sanity check;
    with `certain` the interval decides, and one that holds the floor is undetermined.
    """

    options = FloorOptions

    def evaluate(self, evidence: Evidence, options: FloorOptions) -> list[CheckResult]:
        """Return the one result."""
        found = metric_interval(options.metric, evidence.candidate, evidence.truth, alpha=ALPHA)
        n_needed: int | None = None
        if options.certain and found.lower < options.at_least <= found.upper:
            verdict = "undetermined"
            gap = max(abs(found.estimate - options.at_least), 1e-6)
            n_needed = math.ceil(evidence.rows * (found.width / 2.0 / gap) ** 2)
        else:
            verdict = "pass" if found.estimate >= options.at_least else "fail"
        return [
            CheckResult(
                name=options.name or f"{options.metric}-floor",
                kind="floor",
                verdict=verdict,
                message=f"{options.metric} {found.estimate:.4f}, floor {options.at_least:.4f}",
                n=evidence.rows,
                value=found.estimate,
                low=found.lower,
                high=found.upper,
                threshold=options.at_least,
                n_needed=n_needed,
            )
        ]
