"""Sealed segments arrive: checked against the bytes they describe, then anchored in the journal."""

from __future__ import annotations

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Corrupt, NotFound
from millwright.journal.log import Journal
from millwright.journal.segments import verify_segment
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import segments as tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.records.events import Act, Subject
from millwright.records.operation_events import SegmentGap, SegmentSealed
from millwright.records.serving import Segment, SegmentHeader


class Intake:
    """Takes the segments that serving processes seal."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, journal: Journal, clock: Clock
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock

    def seal(self, act: Act, header: SegmentHeader) -> Segment:
        """Anchor a segment whose index and payload are stored; sent again, it is the same one.

        Raises Corrupt, naming the first bad row, when the header does not fit the bytes,
        Conflict when another segment has its place, and NotFound for an unknown deployment.
        A hole in an instance's numbers is journaled as a gap.
        """
        problems = verify_segment(
            header,
            self._artifacts.read_bytes(header.index_digest),
            self._artifacts.read_bytes(header.payload_digest),
        )
        if problems:
            raise Corrupt(
                f"segment {header.id} is not what its header says",
                why="; ".join(problem.what for problem in problems[:3]),
            )
        with self._database.write() as tx:
            deployment = deployment_tables.find_deployment(
                tx, project=act.project_key, name=header.deployment
            )
            if deployment is None:
                raise NotFound(f"no deployment {header.deployment} in this project")
            deployment_tables.lock_deployment(tx, deployment.pk)
            known = tables.find_segment(
                tx, deployment_pk=deployment.pk, instance=header.instance, seq=header.seq
            )
            if known is None:
                self._insert(tx, act, deployment, header)
                known = tables.find_segment(
                    tx, deployment_pk=deployment.pk, instance=header.instance, seq=header.seq
                )
        assert known is not None
        if known.root != header.root:
            raise Conflict(
                f"segment {header.seq} of {header.instance} is another one already",
                why=f"its root is {known.root}, not {header.root}",
            )
        return known.segment()

    def _insert(
        self, tx: Writer, act: Act, deployment: DeploymentRow, header: SegmentHeader
    ) -> None:
        last_n = tables.last_n_before(
            tx, deployment_pk=deployment.pk, instance=header.instance, seq=header.seq
        )
        expected_n = 0 if last_n is None else last_n + 1
        subjects = [
            Subject(kind="segment", id=header.id, digest=Digest(f"sha256:{header.root}")),
            Subject(kind="deployment", id=deployment.id),
        ]
        if header.first_n > expected_n:
            gap = SegmentGap(
                deployment=deployment.name,
                instance=header.instance,
                missing_from=expected_n,
                missing_to=header.first_n - 1,
            )
            self._journal.append(tx, act, gap, subjects)
        detail = SegmentSealed(
            reason=act.reason,
            deployment=deployment.name,
            instance=header.instance,
            rows=header.rows,
            first_n=header.first_n,
            last_n=header.last_n,
        )
        event = self._journal.append(tx, act, detail, subjects)
        tables.insert_segment(
            tx,
            header,
            project=act.project_key,
            deployment_pk=deployment.pk,
            event_id=event,
            now_us=self._clock.now_us(),
        )
