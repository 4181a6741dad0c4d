"""One decision, and everything that led to it, walked backwards with proofs.

Ids follow time, so the few segments whose range holds an id are looked into; from the decision
the way leads to the model version, its run, the data, the verdicts, the approvals. Reading a
decision is itself an event.
"""

from __future__ import annotations

from dataclasses import dataclass

from millwright.artifacts.store import ArtifactStore
from millwright.core.errors import NotFound
from millwright.core.ids import DecisionId, EventId, RunId, parse_id
from millwright.journal import merkle, segments
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import approvals as approval_tables
from millwright.metadata.tables import data as data_tables
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import gates as gate_tables
from millwright.metadata.tables import model_changes as change_tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables import monitoring as label_tables
from millwright.metadata.tables import segments as tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.models import VersionRow
from millwright.records.data import DatasetVersion
from millwright.records.events import Act, Subject
from millwright.records.models import AliasChange, Approval, GateReport, ModelVersion
from millwright.records.operation_events import DecisionRead
from millwright.records.runs import Run
from millwright.records.serving import Cell, Decision, SegmentHeader
from millwright.tracking.runs import MAX_PAGE, Runs

DATASET = "dataset_version"


@dataclass(frozen=True, slots=True)
class Found:
    """A decision in its segment, and that it stands there."""

    decision: Decision
    header: SegmentHeader
    event: EventId
    """The event that anchors the segment."""
    index: int
    size: int
    leaf: bytes
    path: list[bytes]


@dataclass(frozen=True, slots=True)
class Chain:
    """A decision and all that led to it."""

    found: Found
    label: Cell
    version: ModelVersion
    run: Run | None
    datasets: list[DatasetVersion]
    gates: list[GateReport]
    approvals: list[Approval]
    aliases: list[AliasChange]


class Decisions:
    """The captured decisions of all projects of a home."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, journal: Journal, *, runs: Runs
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._runs = runs

    def find(self, project_key: int, decision: DecisionId) -> Found:
        """Return a decision with the proof that its sealed segment holds it.

        Raises NotFound when no segment does, Corrupt when the segment's bytes have changed,
        and Invalid for what is no decision's id.
        """
        wanted = DecisionId(parse_id(decision, "dec"))
        with self._database.read() as tx:
            candidates = tables.segments_with_id(tx, project=project_key, decision=wanted)
        for row in candidates:
            index = self._artifacts.read_bytes(row.index_digest)
            place = segments.find(index, wanted)
            if place is None:
                continue
            is_kept = self._artifacts.has(row.payload_digest)
            payload = self._artifacts.read_bytes(row.payload_digest) if is_kept else None
            found = segments.read_segment(index, payload)[place].decision
            if found is None:
                raise NotFound(
                    f"what the decision {wanted} was about has been erased",
                    why=f"segment {row.id} keeps only the proof that it was taken",
                )
            return Found(
                decision=found,
                header=row.segment().header,
                event=row.event_id,
                index=place,
                size=row.row_count,
                leaf=index.splitlines()[place],
                path=segments.prove(index, place),
            )
        raise NotFound(
            f"no sealed segment holds the decision {wanted}",
            why="segments are sealed about a second after the answer was given",
            fix="try again in a moment, or check the id",
        )

    def chain(self, act: Act, decision: DecisionId) -> Chain:
        """Return a decision with everything that led to it, and journal that it was read."""
        found = self.find(act.project_key, decision)
        with self._database.read() as tx:
            deployment = self._deployment(tx, act.project_key, found)
            version = model_tables.find_version(
                tx, model_pk=deployment.model_pk, version=found.decision.version
            )
            assert version is not None, "versions are never removed"
            label = label_tables.find_label(tx, project=act.project_key, decision=decision)
            gates = gate_tables.list_verdicts(tx, version_pk=version.pk)
            approvals = approval_tables.list_approvals(
                tx, project=act.project_key, version_pk=version.pk
            )
            aliases = model_tables.list_alias_changes(tx, model_pk=version.model_pk)
            named = change_tables.read_aliases(tx, version_pks=[version.pk])
            tags = change_tables.read_tags(tx, pks=[version.pk], of_version=True)
        run = None if version.run_id is None else self._runs.get(act.project_key, version.run_id)
        self._note(act, found, deployment, version, "show")
        return Chain(
            found=found,
            label=None if label is None else label.value,
            version=version.model_version(tags.get(version.pk), named.get(version.pk)),
            run=run,
            datasets=[] if run is None else self._datasets(act.project_key, run),
            gates=gates,
            approvals=approvals,
            aliases=aliases,
        )

    def version_of(self, act: Act, found: Found, *, how: str) -> VersionRow:
        """Return the model version that decided, and journal that the decision was read."""
        with self._database.read() as tx:
            deployment = self._deployment(tx, act.project_key, found)
            version = model_tables.find_version(
                tx, model_pk=deployment.model_pk, version=found.decision.version
            )
        assert version is not None, "versions are never removed"
        self._note(act, found, deployment, version, how)
        return version

    def _deployment(self, tx: Reader, project_key: int, found: Found) -> DeploymentRow:
        row = deployment_tables.find_deployment(
            tx, project=project_key, name=found.decision.deployment
        )
        assert row is not None, "a segment belongs to a deployment"
        return row

    def _datasets(self, project_key: int, run: Run) -> list[DatasetVersion]:
        """Return the dataset versions that the run, or the pipeline it was a step of, read."""
        links = list(run.links)
        if run.parent is not None:
            parent = RunId(run.parent)
            page = self._runs.list_page(project_key, parent=parent, limit=MAX_PAGE)
            for relative in (self._runs.get(project_key, parent), *page.runs):
                links += relative.links
        ids = sorted({link.id for link in links if link.what == DATASET and link.way == "input"})
        with self._database.read() as tx:
            return [
                version
                for one in ids
                for version in data_tables.find_by_id(tx, project=project_key, low=one, high=one)
            ]

    def _note(
        self, act: Act, found: Found, deployment: DeploymentRow, version: VersionRow, how: str
    ) -> None:
        detail = DecisionRead(reason=act.reason, deployment=deployment.name, how=how)
        subjects = [
            Subject(kind="decision", id=found.decision.id),
            Subject(kind="model_version", id=version.id, digest=version.digest),
        ]
        with self._database.write() as tx:
            self._journal.append(tx, act, detail, subjects)


def is_proven(found: Found) -> bool:
    """Tell whether the decision's leaf leads to the root that the journal anchors."""
    return merkle.verify_inclusion(
        merkle.leaf_hash(found.leaf),
        index=found.index,
        size=found.size,
        path=found.path,
        root=bytes.fromhex(found.header.root),
    )
