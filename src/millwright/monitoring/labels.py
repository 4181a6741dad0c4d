"""Ground truth arrives: late, in part, corrected, sometimes for decisions nobody has heard of yet.

A label belongs to a decision by its id. One that no segment holds yet is kept, and counts as soon
as its segment is sealed, since joining is done when performance is asked for. The newest label
of a decision wins. The batch itself is stored with its id and a random salt; what goes into the
journal is an HMAC under that salt. It binds the batch, lets nobody try out likely labels, and is
no address by which a reader of the journal could fetch them. The batch can be erased.
"""

from __future__ import annotations

import hmac
import math
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.errors import Invalid
from millwright.core.ids import DecisionId, LabelsId, new_id, parse_id
from millwright.journal.log import Journal
from millwright.journal.segments import read_segment
from millwright.metadata.database import Database
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import monitoring as tables
from millwright.monitoring.performance import find_deployment
from millwright.records.events import Act, Subject
from millwright.records.operation_events import LabelsAdded
from millwright.records.serving import Label

MAX_LABELS = 20_000
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch of labels."""

    joined: int
    """For decisions that segments hold."""
    unknown: int
    """For ids that no segment of the deployment holds yet."""
    corrected: int
    """Of decisions that had another label before."""


class Labels:
    """The labels of all projects of a home."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, journal: Journal, clock: Clock
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock

    def add(self, act: Act, deployment: str, labels: Sequence[Label]) -> Taken:
        """Record what turned out to be true of decisions; all of it is kept, or nothing.

        Where a decision stands twice in the batch, the newest label of it counts, and the later
        one of two equally new. A label older than the one that is there changes nothing.

        Raises NotFound for an unknown deployment, and Invalid for an id that names no decision,
        a label without a value, or more than 20,000 labels.
        """
        wanted = _newest(labels, now_us=self._clock.now_us())
        with self._database.read() as tx:
            row = find_deployment(tx, act.project_key, deployment)
        if not wanted:
            return Taken(0, 0, 0)
        joined = self._known(row.pk, sorted(wanted))
        batch = LabelsId(new_id("lab"))
        salt = secrets.token_bytes(_SALT_BYTES)
        body = msgspec.json.encode(list(wanted.values()))
        self._artifacts.put_bytes(
            msgspec.json.encode({"id": batch, "salt": salt.hex(), "labels": msgspec.Raw(body)})
        )
        commitment = f"sha256:{hmac.digest(salt, body, 'sha256').hex()}"
        corrected = 0
        with self._database.write() as tx:
            deployment_tables.lock_deployment(tx, row.pk)
            for label in wanted.values():
                there = tables.find_label(tx, project=act.project_key, decision=label.decision)
                if there is not None and there.time_us > label.time_us:
                    continue
                differs = there is not None and there.value != label.value
                corrected += differs
                tables.put_label(
                    tx,
                    label,
                    project=act.project_key,
                    deployment_pk=row.pk,
                    corrections=(there.corrections if there else 0) + differs,
                )
            detail = LabelsAdded(reason=act.reason, deployment=row.name, count=len(wanted))
            subjects = [
                Subject(kind="labels", id=batch, digest=commitment),
                Subject(kind="deployment", id=row.id),
            ]
            self._journal.append(tx, act, detail, subjects)
        return Taken(joined, len(wanted) - joined, corrected)

    def _known(self, deployment_pk: int, ids: list[DecisionId]) -> int:
        """Return how many of the sorted ids the deployment's segments hold."""
        with self._database.read() as tx:
            segments = tables.indexes_between(
                tx, deployment_pk=deployment_pk, first=ids[0], last=ids[-1]
            )
        held: set[str] = set()
        for segment in segments:
            asked = ids[bisect_left(ids, segment.first_id) : bisect_right(ids, segment.last_id)]
            if asked:
                index = read_segment(self._artifacts.read_bytes(segment.index_digest), None)
                held |= {row.leaf.id for row in index}.intersection(asked)
        return len(held)


def _newest(labels: Sequence[Label], *, now_us: int) -> dict[DecisionId, Label]:
    """Return the label that counts of each decision, with its time and its id in one spelling."""
    if len(labels) > MAX_LABELS:
        raise Invalid(
            f"{len(labels)} labels came at once",
            why=f"at most {MAX_LABELS} are taken in one transaction",
            fix="send them in several calls",
        )
    newest: dict[DecisionId, Label] = {}
    for label in labels:
        decision = DecisionId(parse_id(label.decision, "dec"))
        value = label.value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise Invalid(
                f"the label of {decision} has no value",
                why=f"it is {value}",
                fix="leave out decisions whose truth is not known yet",
            )
        there = newest.get(decision)
        dated = Label(decision=decision, value=value, time_us=label.time_us or now_us)
        if there is None or there.time_us <= dated.time_us:
            newest[decision] = dated
    return newest
