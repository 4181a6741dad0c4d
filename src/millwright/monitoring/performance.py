"""How good the decisions were, as far as labels have arrived for them.

Joined by decision id, segment by segment. A decision without an answer counts for nothing here.
A prediction and its label are the same when their texts name the same value: `1`, `1.0`, `"1"`
and `true` are one, since a label often comes from a file that knows only text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from millwright.artifacts.store import ArtifactStore
from millwright.core.errors import NotFound
from millwright.core.ids import DecisionId
from millwright.core.refs import did_you_mean
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import monitoring as tables
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.segments import SegmentRow
from millwright.monitoring.windows import read_decisions
from millwright.records.monitoring import Performance
from millwright.records.serving import Cell, Decision
from millwright.stats.intervals import wilson
from millwright.stats.metrics import auc

Same: TypeAlias = float | str
"""A value as it is compared: a number, or a text that spells none."""

_PAGE = 100
_WORDS = {"true": 1.0, "false": 0.0}
_GRID = 200


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
        """Return accuracy with its 95 % Wilson interval, and AUC where there are two classes.

        Of one version, or of all that answered. AUC needs a score with every labelled answer and
        labels of two classes; the score is the probability of the second one in order. A figure
        that cannot be known is None. Reads all segments if a version is named, else those for
        which labels have come. Raises NotFound.
        """
        with self._database.read() as tx:
            row = find_deployment(tx, project_key, deployment)
        decisions = 0
        right: list[bool] = []
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
                truths.append(truth)
                scores.append(decision.score)
        known = wilson(sum(right), len(right)) if right else None
        return Performance(
            deployment=row.id,
            version=version,
            decisions=decisions,
            labelled=len(right),
            accuracy=None if known is None else known.estimate,
            accuracy_low=None if known is None else known.lower,
            accuracy_high=None if known is None else known.upper,
            auc=_auc(scores, truths),
        )

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


def below_floor_evidence(right: int, labelled: int, *, floor: float) -> float:
    """Return the log e-value against "the accuracy is at least `floor`", valid at every look.

    Bets on each lower accuracy alike: the mean over q below the floor of the likelihood ratio of
    q to the floor, which for a true accuracy at or above the floor is a supermartingale.

    Source: Robbins, Ann. Math. Stat. 1970 (mixtures); the grid takes the place of the integral.
    """
    rates = floor * (np.arange(_GRID) + 0.5) / _GRID
    wrong = labelled - right
    logs = right * np.log(rates / floor) + wrong * np.log((1.0 - rates) / (1.0 - floor))
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def _auc(scores: list[float | None], truths: list[Same]) -> float | None:
    classes = set(truths)
    known = [score for score in scores if score is not None and math.isfinite(score)]
    if len(classes) != 2 or len(known) < len(truths):
        return None
    # Numbers before texts, each in its own order, as `classes_` of an estimator is sorted.
    positive = max(classes, key=lambda value: (isinstance(value, str), value))
    return auc(known, [float(truth == positive) for truth in truths])
