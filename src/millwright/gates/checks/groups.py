"""Groups of people should be treated alike; small groups are not judged by chance."""

from __future__ import annotations

import numpy as np

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.gates.check import Evidence, Options
from millwright.records.models import CheckResult, Verdict
from millwright.stats.groups import GroupCounts, GroupVerdict, compare_rates


class GroupsOptions(Options, frozen=True, kw_only=True):
    """Each value of `column` is compared with the largest group."""

    column: str
    rate: str = "selection"
    """`selection`: how often the positive class is predicted; `recall`: among true positives."""
    enforce: bool = False
    """Let a breach fail the gate; otherwise it is reported, and a person decides."""


class Groups:
    """Compare groups by the ratio of their rates, in three verdicts.

    A breach is practical (the ratio lies below four fifths) and statistical; clear is a ratio
    certainly above it; everything else is undetermined and says how many rows it would take.
    """

    options = GroupsOptions

    def evaluate(self, evidence: Evidence, options: GroupsOptions) -> list[CheckResult]:
        """Return one result a group; raises Invalid for an unknown column or rate."""
        if options.column not in evidence.columns:
            raise Invalid(
                f"no column {options.column!r} among the judged rows",
                fix=did_you_mean(options.column, evidence.columns),
            )
        if evidence.truth.positive is None or evidence.candidate.score is None:
            raise Invalid("groups are compared for a model that decides between two classes")
        if options.rate not in {"selection", "recall"}:
            raise Invalid(f"no rate is called {options.rate!r}", fix="selection or recall")
        values = evidence.columns[options.column].astype(str)
        counts = {
            str(level): _count(evidence, values == level) for level in np.unique(values).tolist()
        }
        largest = max(counts, key=lambda level: counts[level].rows)
        return [
            _result(options, level, counts[level], largest, counts[largest], len(counts) - 1)
            for level in sorted(counts)
            if level != largest
        ]


def _count(evidence: Evidence, rows: np.ndarray) -> GroupCounts:
    score, positive = evidence.candidate.score, evidence.truth.positive
    assert score is not None
    assert positive is not None
    predicted, true = score[rows] >= 0.5, positive[rows] > 0.5
    return GroupCounts(
        rows=int(rows.sum()),
        selected=int(predicted.sum()),
        positives=int(true.sum()),
        hits=int((predicted & true).sum()),
    )


def _result(
    options: GroupsOptions,
    level: str,
    group: GroupCounts,
    largest: str,
    reference: GroupCounts,
    comparisons: int,
) -> CheckResult:
    before = reference.selection if options.rate == "selection" else reference.recall
    now = group.selection if options.rate == "selection" else group.recall
    found = compare_rates(before, now, comparisons=max(1, comparisons))
    said = found.verdict.value
    verdict: Verdict = "pass"
    if options.enforce and found.verdict is GroupVerdict.BREACH:
        verdict = "fail"
    elif options.enforce and found.verdict is GroupVerdict.UNDETERMINED:
        verdict = "undetermined"
    return CheckResult(
        name=options.name or f"{options.rate}-{options.column}={level}",
        kind="groups",
        verdict=verdict,
        message=(
            f"{said}: {options.rate} {now[0]} of {now[1]}, {options.column}={largest} "
            f"{before[0]} of {before[1]}; ratio {found.ratio.estimate:.3f} "
            f"[{found.ratio.lower:.3f}, {found.ratio.upper:.3f}]"
        ),
        n=now[1],
        value=now[0] / now[1] if now[1] else None,
        baseline=before[0] / before[1] if before[1] else None,
        low=found.ratio.lower,
        high=found.ratio.upper,
        threshold=0.8,
        n_needed=found.rows_needed,
    )
