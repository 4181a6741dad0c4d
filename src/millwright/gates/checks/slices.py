"""No part of the rows may fare much worse than the rest."""

from __future__ import annotations

import numpy as np

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.gates.check import ALPHA, Evidence, Options
from millwright.gates.compare import Answers, Truth, metric_interval
from millwright.records.models import CheckResult


class SlicesOptions(Options, frozen=True, kw_only=True):
    """On each value of `column`, `metric` may lie at most `max_gap` below that of all rows."""

    column: str
    metric: str = "accuracy"
    max_gap: float = 0.1
    min_rows: int = 30
    """A slice with fewer rows is reported and not judged."""


class Slices:
    """Judge every value of a column; intervals are Bonferroni's over the judged slices.

    A slice fails when its whole interval lies below the allowed gap. One whose interval
    reaches both sides is reported as passed with its interval: absence of evidence is shown,
    and a champion comparison guards against a general loss.
    """

    options = SlicesOptions

    def evaluate(self, evidence: Evidence, options: SlicesOptions) -> list[CheckResult]:
        """Return one result a slice; raises Invalid for an unknown column."""
        if options.column not in evidence.columns:
            raise Invalid(
                f"no column {options.column!r} among the judged rows",
                fix=did_you_mean(options.column, evidence.columns),
            )
        values = evidence.columns[options.column].astype(str)
        levels, counts = np.unique(values, return_counts=True)
        judged = max(1, int((counts >= options.min_rows).sum()))
        whole = metric_interval(options.metric, evidence.candidate, evidence.truth, alpha=ALPHA)
        lowest = whole.estimate - options.max_gap
        results: list[CheckResult] = []
        for level, count in zip(levels.tolist(), counts.tolist(), strict=True):
            name = options.name or f"{options.metric}-{options.column}={level}"
            if count < options.min_rows:
                message = f"{count} rows, too few to judge"
                results.append(
                    CheckResult(
                        name=name,
                        kind="slices",
                        verdict="pass",
                        message=message,
                        n=count,
                        n_needed=options.min_rows,
                    )
                )
                continue
            answers, truth = _pick(evidence, values == level)
            found = metric_interval(options.metric, answers, truth, alpha=ALPHA / judged)
            results.append(
                CheckResult(
                    name=name,
                    kind="slices",
                    verdict="fail" if found.upper < lowest else "pass",
                    message=(
                        f"{options.metric} {found.estimate:.4f} "
                        f"[{found.lower:.4f}, {found.upper:.4f}], all rows {whole.estimate:.4f}"
                    ),
                    n=count,
                    value=found.estimate,
                    baseline=whole.estimate,
                    low=found.lower,
                    high=found.upper,
                    threshold=lowest,
                )
            )
        return results


def _pick(evidence: Evidence, rows: np.ndarray) -> tuple[Answers, Truth]:
    score, positive = evidence.candidate.score, evidence.truth.positive
    return (
        Answers(evidence.candidate.prediction[rows], None if score is None else score[rows]),
        Truth(evidence.truth.label[rows], None if positive is None else positive[rows]),
    )
