"""Captured decisions as they are read back: by rollouts, and by monitors."""

from __future__ import annotations

from millwright.artifacts.store import ArtifactStore
from millwright.journal.segments import read_segment
from millwright.metadata.tables.segments import SegmentRow
from millwright.records.serving import Decision


def read_decisions(artifacts: ArtifactStore, segment: SegmentRow) -> list[Decision]:
    """Return the decisions of a segment, checked; none when its payload has been erased.

    Raises Corrupt when the payload is not the one that the index commits to.
    """
    if not artifacts.has(segment.payload_digest):
        return []
    index = artifacts.read_bytes(segment.index_digest)
    payload = artifacts.read_bytes(segment.payload_digest)
    return [row.decision for row in read_segment(index, payload) if row.decision is not None]
