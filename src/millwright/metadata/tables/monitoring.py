"""The SQL of labels, monitors, their looks and their alerts."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import AlertId, DecisionId, MonitorId, ProjectId
from millwright.metadata.database import Reader, Writer
from millwright.records.monitoring import Alert, AlertState, DriftReport, Monitor, MonitorSpec
from millwright.records.serving import Cell, Label


class LabelRow(Struct, frozen=True, kw_only=True):
    """A label as its table holds it."""

    decision: DecisionId
    value_json: str
    time_us: int
    corrections: int

    @property
    def value(self) -> Cell:
        """What turned out to be true."""
        return msgspec.json.decode(self.value_json, type=Cell)


class IndexRow(Struct, frozen=True, kw_only=True):
    """Where the ids of a segment's decisions are listed, and between which they lie."""

    first_id: DecisionId
    last_id: DecisionId
    index_digest: Digest


class MonitorRow(Struct, frozen=True, kw_only=True):
    """A monitor as its table holds it, with its deployment's and project's names."""

    pk: int
    id: MonitorId
    project_id: int
    project: ProjectId
    deployment_pk: int
    deployment: str
    name: str
    spec_json: str
    state_json: str
    next_segment: int
    looks: int
    last_json: str | None
    created_us: int

    @property
    def spec(self) -> MonitorSpec:
        """What it watches for."""
        return msgspec.json.decode(self.spec_json, type=MonitorSpec)

    def monitor(self) -> Monitor:
        """Return the record."""
        last = self.last_json
        return Monitor(
            id=self.id,
            name=self.name,
            deployment=self.deployment,
            spec=self.spec,
            looks=self.looks,
            last=None if last is None else msgspec.json.decode(last, type=DriftReport),
            created_us=self.created_us,
        )


class AlertRow(Struct, frozen=True, kw_only=True):
    """An alert as its table holds it, with its monitor's and deployment's names."""

    pk: int
    id: AlertId
    monitor: str
    deployment: str
    version: int
    kind: str
    state: AlertState
    columns_json: str
    message: str
    evidence: Digest
    created_us: int
    closed_us: int | None

    def alert(self) -> Alert:
        """Return the record."""
        fields = msgspec.structs.asdict(self)
        del fields["pk"]
        fields["columns"] = msgspec.json.decode(fields.pop("columns_json"), type=list[str])
        return msgspec.convert(fields, Alert)


_LABEL = "SELECT decision, value_json, time_us, corrections FROM label "
_MONITOR = """
    SELECT m.pk, m.id, m.project_id, p.id AS project, m.deployment_pk, d.name AS deployment,
           m.name, m.spec_json, m.state_json, m.next_segment, m.looks,
           l.report_json AS last_json, m.created_us
    FROM monitor m
    JOIN project p ON p.pk = m.project_id
    JOIN deployment d ON d.pk = m.deployment_pk
    LEFT JOIN monitor_look l ON l.monitor_pk = m.pk AND l.n = m.looks
"""
_ALERT = """
    SELECT a.pk, a.id, m.name AS monitor, d.name AS deployment, a.version, a.kind, a.state,
           a.columns_json, a.message, a.evidence, a.created_us, a.closed_us
    FROM alert a
    JOIN monitor m ON m.pk = a.monitor_pk
    JOIN deployment d ON d.pk = m.deployment_pk
"""


def find_label(tx: Reader, *, project: int, decision: str) -> LabelRow | None:
    """Return the label of a decision."""
    return tx.first(
        LabelRow,
        _LABEL + "WHERE project_id = :project AND decision = :decision",
        project=project,
        decision=decision,
    )


def put_label(
    tx: Writer, label: Label, *, project: int, deployment_pk: int, corrections: int
) -> None:
    """Add a label, or put it in the place of the one that is there."""
    tx.run(
        """
        INSERT INTO label (project_id, decision, deployment_pk, value_json, time_us, corrections)
        VALUES (:project, :decision, :deployment, :value, :time, :corrections)
        ON CONFLICT (project_id, decision) DO UPDATE SET
            deployment_pk = excluded.deployment_pk, value_json = excluded.value_json,
            time_us = excluded.time_us, corrections = excluded.corrections
        """,
        project=project,
        decision=label.decision,
        deployment=deployment_pk,
        value=msgspec.json.encode(label.value).decode(),
        time=label.time_us,
        corrections=corrections,
    )


def labels_between(tx: Reader, *, deployment_pk: int, first: str, last: str) -> list[LabelRow]:
    """Return the labels of decisions whose ids lie in [first, last]."""
    return tx.rows(
        LabelRow,
        _LABEL + "WHERE deployment_pk = :deployment AND decision >= :first AND decision <= :last "
        "ORDER BY decision",
        deployment=deployment_pk,
        first=first,
        last=last,
    )


def indexes_between(tx: Reader, *, deployment_pk: int, first: str, last: str) -> list[IndexRow]:
    """Return the indexes of the deployment's segments that may hold ids in [first, last]."""
    return tx.rows(
        IndexRow,
        "SELECT first_id, last_id, index_digest FROM segment "
        "WHERE deployment_pk = :deployment AND first_id <= :last AND last_id >= :first ORDER BY pk",
        deployment=deployment_pk,
        first=first,
        last=last,
    )


def count_labels(tx: Reader, *, deployment_pk: int) -> int:
    """Return a number that grows with every label and every correction of a deployment."""
    found = tx.value(
        int,
        "SELECT CAST(count(*) + coalesce(sum(corrections), 0) AS BIGINT) FROM label "
        "WHERE deployment_pk = :deployment",
        deployment=deployment_pk,
    )
    return found or 0


def insert_monitor(
    tx: Writer,
    *,
    monitor_id: str,
    project: int,
    deployment_pk: int,
    name: str,
    spec: MonitorSpec,
    state_json: str,
    now_us: int,
) -> bool:
    """Add a monitor that has seen nothing; False when the name is taken."""
    added = tx.run(
        """
        INSERT INTO monitor (id, project_id, deployment_pk, name, spec_json, state_json,
                             next_segment, looks, created_us)
        VALUES (:id, :project, :deployment, :name, :spec, :state, 0, 0, :now)
        ON CONFLICT (project_id, name) DO NOTHING
        """,
        id=monitor_id,
        project=project,
        deployment=deployment_pk,
        name=name,
        spec=msgspec.json.encode(spec).decode(),
        state=state_json,
        now=now_us,
    )
    return added == 1


def find_monitor(tx: Reader, *, project: int, name: str) -> MonitorRow | None:
    """Return the monitor of that name or id."""
    return tx.first(
        MonitorRow,
        _MONITOR + "WHERE m.project_id = :project AND (m.name = :name OR m.id = :name)",
        project=project,
        name=name,
    )


def list_monitors(tx: Reader, *, project: int | None = None) -> list[MonitorRow]:
    """Return a project's monitors by name; those of every project when none is named."""
    if project is None:
        return tx.rows(MonitorRow, _MONITOR + "ORDER BY m.pk")
    return tx.rows(
        MonitorRow, _MONITOR + "WHERE m.project_id = :project ORDER BY m.name", project=project
    )


def has_segment_from(tx: Reader, *, deployment_pk: int, from_pk: int) -> bool:
    """Tell whether a segment of the deployment has a key of at least `from_pk`."""
    found = tx.value(
        int,
        "SELECT 1 FROM segment WHERE deployment_pk = :deployment AND pk >= :from_pk LIMIT 1",
        deployment=deployment_pk,
        from_pk=from_pk,
    )
    return found is not None


def move_monitor(
    tx: Writer,
    before: MonitorRow,
    *,
    next_segment: int,
    state_json: str,
    report: DriftReport | None = None,
) -> bool:
    """Take a monitor on from where `before` saw it, with a look if `report` is given.

    False, with nothing changed, when somebody else has moved it meanwhile.
    """
    moved = tx.run(
        """
        UPDATE monitor SET state_json = :state, next_segment = :next, looks = :looks
        WHERE pk = :pk AND looks = :old_looks AND next_segment = :old_next
            AND state_json = :old_state
        """,
        pk=before.pk,
        state=state_json,
        next=next_segment,
        looks=before.looks if report is None else report.n,
        old_looks=before.looks,
        old_next=before.next_segment,
        old_state=before.state_json,
    )
    if moved == 1 and report is not None:
        tx.run(
            "INSERT INTO monitor_look (monitor_pk, n, report_json) VALUES (:pk, :n, :report)",
            pk=before.pk,
            n=report.n,
            report=msgspec.json.encode(report).decode(),
        )
    return moved == 1


def read_reports(tx: Reader, *, monitor_pk: int, limit: int) -> list[DriftReport]:
    """Return the newest reports of a monitor, newest first."""
    found = tx.column(
        str,
        "SELECT report_json FROM monitor_look WHERE monitor_pk = :pk ORDER BY n DESC LIMIT :limit",
        pk=monitor_pk,
        limit=limit,
    )
    return [msgspec.json.decode(text, type=DriftReport) for text in found]


def insert_alert(tx: Writer, alert: Alert, *, project: int, monitor_pk: int) -> None:
    """Add an alert."""
    tx.run(
        """
        INSERT INTO alert (id, project_id, monitor_pk, version, kind, state, columns_json,
                           message, evidence, created_us, closed_us)
        VALUES (:id, :project, :monitor, :version, :kind, :state, :columns, :message, :evidence,
                :created, :closed)
        """,
        id=alert.id,
        project=project,
        monitor=monitor_pk,
        version=alert.version,
        kind=alert.kind,
        state=alert.state,
        columns=msgspec.json.encode(alert.columns).decode(),
        message=alert.message,
        evidence=alert.evidence,
        created=alert.created_us,
        closed=alert.closed_us,
    )


def find_alert(tx: Reader, *, project: int, alert_id: str) -> Alert | None:
    """Return one alert."""
    row = tx.first(
        AlertRow,
        _ALERT + "WHERE a.project_id = :project AND a.id = :id",
        project=project,
        id=alert_id,
    )
    return None if row is None else row.alert()


def list_alerts(tx: Reader, *, project: int, state: str | None, limit: int) -> list[Alert]:
    """Return alerts, of one state if it is given, newest first."""
    rows = tx.rows(
        AlertRow,
        _ALERT + "WHERE a.project_id = :project AND (a.state = :state OR :any = 1) "
        "ORDER BY a.pk DESC LIMIT :limit",
        project=project,
        state=state or "",
        any=int(state is None),
        limit=limit,
    )
    return [row.alert() for row in rows]


def alerts_not_closed(tx: Reader, *, monitor_pk: int) -> list[Alert]:
    """Return a monitor's alerts that nobody has closed, oldest first."""
    rows = tx.rows(
        AlertRow,
        _ALERT + "WHERE a.monitor_pk = :monitor AND a.state <> 'closed' ORDER BY a.pk",
        monitor=monitor_pk,
    )
    return [row.alert() for row in rows]


def close_alert(tx: Writer, *, project: int, alert_id: str, now_us: int) -> bool:
    """Close an alert; False when there is none, or it is closed already."""
    changed = tx.run(
        "UPDATE alert SET state = 'closed', closed_us = :now "
        "WHERE project_id = :project AND id = :id AND state <> 'closed'",
        project=project,
        id=alert_id,
        now=now_us,
    )
    return changed == 1
