"""How good the decisions were, as far as labels have arrived for them.

Joined by decision id, segment by segment. A decision without an answer counts for nothing here.
A prediction and its label are the same when their texts name the same value: `1`, `1.0`, `"1"`
and `true` are one, since a label often comes from a file that knows only text.

The unit of evidence is the case (else the sticky key), not the row: answers on one thing are
right or wrong together. Accuracy is the mean over cases of the share that was right of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from millwright.artifacts.store import ArtifactStore
from millwright.core.errors import NotFound
from millwright.core.ids import DecisionId
from millwright.core.refs import did_you_mean
from millwright.journal.captured import read_decisions
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import monitoring as tables
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.segments import SegmentRow
from millwright.records.monitoring import Performance
from millwright.records.serving import Cell, Decision
from millwright.stats.arrays import Floats
from millwright.stats.intervals import Interval, wilson
from millwright.stats.metrics import auc

Same: TypeAlias = float | str
"""A value as it is compared: a number, or a text that spells none."""

_PAGE = 100
_WORDS = {"true": 1.0, "false": 0.0}
_GRID = 200
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures, and the shares of right answers by case that accuracy rests on."""

    performance: Performance
    means: Floats
    """(cases,): of each case with labelled answers, the share that was right."""


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Inputs whose truth is known, oldest first."""

    columns: dict[str, list[Cell]]
    labels: list[Cell]
    decisions: list[DecisionId]
    cases: list[str]
    """What keeps decisions on one thing together: their case, else their sticky key."""


class Outcomes:
    """What labels say of the decisions of a home."""

    def __init__(self, database: Database, artifacts: ArtifactStore) -> None:
        self._database = database
        self._artifacts = artifacts

    def performance(
        self, project_key: int, deployment: str, version: int | None = None
    ) -> Performance:
        """Return accuracy with its 95 % interval, and AUC where there are two classes.

        As `measure`, without what it rests on. Raises NotFound.
        """
        return self.measure(project_key, deployment, version).performance

    def measure(self, project_key: int, deployment: str, version: int | None = None) -> Measured:
        """Return the figures on labelled decisions, and accuracy by case.

        Of one version, or of all that answered. AUC needs a score with every labelled answer and
        labels of two classes; the score is the probability of the second one in order. A figure
        that cannot be known is None. Reads all segments if a version is named, else those for
        which labels have come. Raises NotFound.
        """
        with self._database.read() as tx:
            row = find_deployment(tx, project_key, deployment)
        decisions = 0
        right: list[bool] = []
        cases: list[str] = []
        truths: list[Same] = []
        scores: list[float | None] = []
        for segment in self._segments(row.pk):
            labels = self._labels(row.pk, segment)
            if not labels and version is None:
                decisions += segment.row_count
                continue
            for decision in read_decisions(self._artifacts, segment):
                if version not in {None, decision.version}:
                    continue
                decisions += 1
                label = labels.get(decision.id)
                if label is None or decision.error is not None:
                    continue
                truth = same(label)
                right.append(same(decision.prediction) == truth)
                cases.append(decision.case or decision.key)
                truths.append(truth)
                scores.append(decision.score)
        means = case_means(right, cases)
        known = accuracy_interval(means, labelled=len(right)) if right else None
        found = Performance(
            deployment=row.id,
            version=version,
            decisions=decisions,
            labelled=len(right),
            accuracy=None if known is None else known.estimate,
            accuracy_low=None if known is None else known.lower,
            accuracy_high=None if known is None else known.upper,
            auc=_auc(scores, truths),
        )
        return Measured(found, means)

    def labelled_rows(
        self, project_key: int, deployment: str, *, since_us: int = 0, limit: int = 100_000
    ) -> LabelledRows:
        """Return the newest `limit` captured inputs whose labels have arrived, oldest first.

        `since_us` leaves out decisions taken before. A column that a decision did not have is
        None there. Any version's decisions count, also failed ones: the truth is known of both.
        Raises NotFound.
        """
        with self._database.read() as tx:
            row = find_deployment(tx, project_key, deployment)
        found: list[tuple[Decision, Cell]] = []
        for segment in reversed(list(self._segments(row.pk))):
            if len(found) >= limit:
                break
            if segment.last_us < since_us:
                continue
            labels = self._labels(row.pk, segment)
            if not labels:
                continue
            of_segment = [
                (decision, labels[decision.id])
                for decision in read_decisions(self._artifacts, segment)
                if decision.id in labels and decision.time_us >= since_us
            ]
            found.extend(reversed(of_segment))
        found = found[:limit][::-1]
        names = sorted({name for decision, _ in found for name in decision.inputs})
        return LabelledRows(
            columns={name: [each.inputs.get(name) for each, _ in found] for name in names},
            labels=[label for _, label in found],
            decisions=[decision.id for decision, _ in found],
            cases=[decision.case or decision.key for decision, _ in found],
        )

    def _segments(self, deployment_pk: int) -> Iterator[SegmentRow]:
        at = 0
        while True:
            with self._database.read() as tx:
                page = segment_tables.segments_from(
                    tx, deployment_pk=deployment_pk, from_pk=at, limit=_PAGE
                )
            yield from page
            if len(page) < _PAGE:
                return
            at = page[-1].pk + 1

    def _labels(self, deployment_pk: int, segment: SegmentRow) -> dict[DecisionId, Cell]:
        with self._database.read() as tx:
            found = tables.labels_between(
                tx, deployment_pk=deployment_pk, first=segment.first_id, last=segment.last_id
            )
        return {label.decision: label.value for label in found}


def find_deployment(tx: Reader, project_key: int, name: str) -> DeploymentRow:
    """Return a deployment by name or id; raises NotFound naming the nearest."""
    row = deployment_tables.find_deployment(tx, project=project_key, name=name)
    if row is None:
        names = [each.name for each in deployment_tables.list_deployments(tx, project=project_key)]
        raise NotFound(f"no deployment {name!r} in this project", fix=did_you_mean(name, names))
    return row


def same(value: Cell) -> Same:
    """Return a value as it is compared: numbers, and texts that spell one, as that number.

    >>> same("1") == same(1.0) == same(True)
    True
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            number = float(text)
        except ValueError:
            return _WORDS.get(text.casefold(), text)
        return text if math.isnan(number) else number
    return "" if value is None else float(value)


def case_means(right: Sequence[bool], cases: Sequence[str]) -> Floats:
    """Return of each case (in the order of their first answers) the share that was right.

    `right` (n,) and `cases` (n,) tell of each answer whether it was right and of what it was.
    """
    found: dict[str, list[bool]] = {}
    for is_right, case in zip(right, cases, strict=True):
        found.setdefault(case, []).append(is_right)
    return np.array([sum(answers) / len(answers) for answers in found.values()], dtype=np.float64)


def accuracy_interval(means: Floats, *, labelled: int) -> Interval:
    """Return the mean over cases with its 95 % interval, for one look.

    `means` (cases,) holds each case's share of right answers, of `labelled` answers in all.
    Wilson's interval for as many independent answers as would vary like these means do: from
    one a case, when a case's answers stand or fall together, to all of them. With one answer a
    case it is Wilson's own. A share of an answer is rounded outwards.

    Source: Kish, Survey Sampling, 1965 (effective size); Wilson, JASA 1927.
    """
    cases = len(means)
    mean = float(means.mean())
    spread = mean * (1.0 - mean)
    worth = cases
    if spread > 0.0:
        # Few cases may look alike by chance: one more is added that is all right or all wrong.
        variance = (float(((means - mean) ** 2).sum()) + spread) / cases
        worth = max(cases, min(labelled, math.floor(cases * spread / variance)))
    right = mean * worth
    # Sums of thirds and the like miss the whole number that they mean by some ulps.
    low, high = math.floor(right + _ROUNDING), math.ceil(right - _ROUNDING)
    return Interval(mean, wilson(low, worth).lower, wilson(high, worth).upper)


def below_floor_evidence(means: Floats, *, floor: float, revisions: int = 0) -> float:
    """Return the log e-value against "the accuracy is at least `floor`", valid at every look.

    `means` (cases,) holds each case's share of right answers, in [0, 1]; cases are independent.
    Each lower accuracy q is bet on alike, and a bet on q multiplies its stake at a case of mean
    x by x q / floor + (1 - x) (1 - q) / (1 - floor), whose mean is at most 1 when the case's
    accuracy is at least the floor. With one answer a case that is the likelihood ratio of q to
    the floor, and over growing numbers of cases a supermartingale.

    A case that gets a second label changes its mean, and a bet that was made cannot be changed
    so: `revisions` counts the looks taken at cases with more than one label. Each is a bet made
    anew; the r-th is weighed by 1 / ((r + 1) (r + 2)), and all weights add up to 1.

    Source: Waudby-Smith, Ramdas, JRSS B 2024 (betting on bounded means); Robbins, Ann. Math.
    Stat. 1970 (mixtures); the grid takes the place of the integral.
    """
    rates = floor * (np.arange(_GRID) + 0.5) / _GRID
    logs = np.zeros(_GRID)
    values, counts = np.unique(means, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        factor = value * rates / floor + (1.0 - value) * (1.0 - rates) / (1.0 - floor)
        logs += count * np.log(factor)
    top = float(logs.max())
    evidence = top + math.log(float(np.exp(logs - top).mean()))
    return evidence - math.log((revisions + 1) * (revisions + 2))


def _auc(scores: list[float | None], truths: list[Same]) -> float | None:
    classes = set(truths)
    known = [score for score in scores if score is not None and math.isfinite(score)]
    if len(classes) != 2 or len(known) < len(truths):
        return None
    # Numbers before texts, each in its own order, as `classes_` of an estimator is sorted.
    positive = max(classes, key=lambda value: (isinstance(value, str), value))
    return auc(known, [float(truth == positive) for truth in truths])
