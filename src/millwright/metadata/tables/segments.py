"""The SQL of sealed segments of decisions."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import DecisionId, EventId, SegmentId
from millwright.metadata.database import Reader, Writer
from millwright.records.serving import Segment, SegmentHeader


class SegmentRow(Struct, frozen=True, kw_only=True):
    """A segment as its table holds it."""

    pk: int
    id: SegmentId
    deployment: str
    instance: str
    seq: int
    first_n: int
    last_n: int
    first_id: DecisionId
    last_id: DecisionId
    first_us: int
    last_us: int
    row_count: int
    error_count: int
    root: str
    index_digest: Digest
    payload_digest: Digest
    sealed_by: str
    event_id: EventId
    created_us: int

    def segment(self) -> Segment:
        """Return the record."""
        fields = {name: getattr(self, name) for name in _SHARED}
        header = fields | {"rows": self.row_count, "errors": self.error_count}
        return Segment(
            header=msgspec.convert(header, SegmentHeader),
            event=self.event_id,
            created_us=self.created_us,
        )


_SHARED = frozenset(SegmentHeader.__struct_fields__) & frozenset(SegmentRow.__struct_fields__)
_SEGMENT = """
    SELECT s.pk, s.id, d.id AS deployment, s.instance, s.seq, s.first_n, s.last_n, s.first_id,
           s.last_id, s.first_us, s.last_us, s.row_count, s.error_count, s.root, s.index_digest,
           s.payload_digest, s.sealed_by, s.event_id, s.created_us
    FROM segment s JOIN deployment d ON d.pk = s.deployment_pk
"""


def insert_segment(
    tx: Writer,
    header: SegmentHeader,
    *,
    project: int,
    deployment_pk: int,
    event_id: str,
    now_us: int,
) -> None:
    """Add a sealed segment."""
    tx.run(
        """
        INSERT INTO segment (id, project_id, deployment_pk, instance, seq, first_n, last_n,
            first_id, last_id, first_us, last_us, row_count, error_count, root, index_digest,
            payload_digest, sealed_by, event_id, created_us)
        VALUES (:id, :project, :deployment, :instance, :seq, :first_n, :last_n, :first_id,
            :last_id, :first_us, :last_us, :rows, :errors, :root, :index, :payload, :sealed_by,
            :event, :now)
        """,
        id=header.id,
        project=project,
        deployment=deployment_pk,
        instance=header.instance,
        seq=header.seq,
        first_n=header.first_n,
        last_n=header.last_n,
        first_id=header.first_id,
        last_id=header.last_id,
        first_us=header.first_us,
        last_us=header.last_us,
        rows=header.rows,
        errors=header.errors,
        root=header.root,
        index=header.index_digest,
        payload=header.payload_digest,
        sealed_by=header.sealed_by,
        event=event_id,
        now=now_us,
    )


def find_segment(tx: Reader, *, deployment_pk: int, instance: str, seq: int) -> SegmentRow | None:
    """Return the segment with that number of that instance."""
    return tx.first(
        SegmentRow,
        _SEGMENT
        + "WHERE s.deployment_pk = :deployment AND s.instance = :instance AND s.seq = :seq",
        deployment=deployment_pk,
        instance=instance,
        seq=seq,
    )


def last_n_before(tx: Reader, *, deployment_pk: int, instance: str, seq: int) -> int | None:
    """Return the last decision's number of the segment before `seq`; None when there is none."""
    return tx.value(
        int,
        "SELECT last_n FROM segment WHERE deployment_pk = :deployment AND instance = :instance "
        "AND seq < :seq ORDER BY seq DESC LIMIT 1",
        deployment=deployment_pk,
        instance=instance,
        seq=seq,
    )


def segments_from(tx: Reader, *, deployment_pk: int, from_pk: int, limit: int) -> list[SegmentRow]:
    """Return segments with a key of at least `from_pk`, in the order they arrived."""
    return tx.rows(
        SegmentRow,
        _SEGMENT + "WHERE s.deployment_pk = :deployment AND s.pk >= :from_pk "
        "ORDER BY s.pk LIMIT :limit",
        deployment=deployment_pk,
        from_pk=from_pk,
        limit=limit,
    )


def segments_with_id(tx: Reader, *, project: int, decision: str) -> list[SegmentRow]:
    """Return the segments whose range of ids holds a decision's: few, since ids follow time."""
    return tx.rows(
        SegmentRow,
        _SEGMENT + "WHERE s.project_id = :project AND s.first_id <= :id AND s.last_id >= :id "
        "ORDER BY s.pk",
        project=project,
        id=decision,
    )


def next_segment_pk(tx: Reader) -> int:
    """Return a key that every segment yet to come will reach or exceed."""
    newest = tx.value(int | None, "SELECT max(pk) FROM segment")  # pyright: ignore[reportArgumentType]
    return 1 + (newest or 0)


def count_decisions(tx: Reader, *, deployment_pk: int) -> tuple[int, int]:
    """Return how many decisions the deployment's segments hold, and how many are errors."""
    found = tx.first(
        tuple[int, int],
        "SELECT CAST(coalesce(sum(row_count), 0) AS BIGINT), "
        "CAST(coalesce(sum(error_count), 0) AS BIGINT) FROM segment WHERE deployment_pk = :d",
        d=deployment_pk,
    )
    return found or (0, 0)
