"""Alerts: raised once for what they name, and standing until somebody closes them."""

from __future__ import annotations

from typing import get_args

from millwright.core.clock import Clock
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import AlertId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import monitoring as tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.models import VersionRow
from millwright.metadata.tables.monitoring import MonitorRow
from millwright.records.events import Act, Subject
from millwright.records.monitoring import Alert, AlertState, DriftReport
from millwright.records.operation_events import AlertClosed, AlertRaised

_NAMED_COLUMNS = 5


class Alerts:
    """The alerts of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def list_all(
        self, project_key: int, *, state: str | None = None, limit: int = 100
    ) -> list[Alert]:
        """Return alerts, newest first; raises Invalid for a state that none can have."""
        states: tuple[str, ...] = get_args(AlertState)
        if state is not None and state not in states:
            raise Invalid(f"an alert is never {state!r}", why=f"it is {', '.join(states)}")
        with self._database.read() as tx:
            return tables.list_alerts(tx, project=project_key, state=state, limit=limit)

    def get(self, project_key: int, alert_id: AlertId) -> Alert:
        """Return one alert; raises NotFound."""
        with self._database.read() as tx:
            return _get(tx, project_key, alert_id)

    def open_for(self, project_key: int, monitor: str) -> list[Alert]:
        """Return the alerts of a monitor that nobody has closed, oldest first; raises NotFound."""
        with self._database.read() as tx:
            row = tables.find_monitor(tx, project=project_key, name=monitor)
            if row is None:
                raise NotFound(f"no monitor {monitor!r} in this project")
            return tables.alerts_not_closed(tx, monitor_pk=row.pk)

    def close(self, act: Act, alert_id: AlertId, *, reason: str) -> Alert:
        """Close an alert; one that is closed already is returned as it is.

        Raises NotFound, and Invalid without a reason.
        """
        if not reason.strip():
            raise Invalid(
                "an alert is closed with a reason",
                why="who reads the record later must see why it no longer mattered",
                fix="say what was found or done",
            )
        with self._database.write() as tx:
            changed = tables.close_alert(
                tx, project=act.project_key, alert_id=alert_id, now_us=self._clock.now_us()
            )
            alert = _get(tx, act.project_key, alert_id)
            if changed:
                subject = Subject(kind="alert", id=alert.id, digest=alert.evidence)
                detail = AlertClosed(reason=reason, state=alert.state)
                self._journal.append(tx, act, detail, [subject])
            return alert

    def raise_once(
        self,
        tx: Writer,
        act: Act,
        found: Alert,
        *,
        monitor: MonitorRow,
        deployment: DeploymentRow,
        version: VersionRow,
    ) -> Alert | None:
        """Raise an alert in the caller's transaction, which holds the monitor's lock.

        None when alerts on the same version that are not closed name all of it already: who has
        been told of a column is not told again until that alert is closed.
        """
        standing = [
            alert
            for alert in tables.alerts_not_closed(tx, monitor_pk=monitor.pk)
            if alert.version == found.version and alert.kind == found.kind
        ]
        named = {column for alert in standing for column in alert.columns}
        if standing and named.issuperset(found.columns):
            return None
        tables.insert_alert(tx, found, project=act.project_key, monitor_pk=monitor.pk)
        detail = AlertRaised(
            reason=act.reason,
            monitor=found.monitor,
            deployment=found.deployment,
            version=found.version,
            kind=found.kind,
            columns=found.columns,
            message=found.message,
        )
        subjects = [
            Subject(kind="alert", id=found.id, digest=found.evidence),
            Subject(kind="monitor", id=monitor.id),
            Subject(kind="deployment", id=deployment.id),
            Subject(kind="model_version", id=version.id, digest=version.digest),
        ]
        self._journal.append(tx, act, detail, subjects)
        return found


def drift_alert(report: DriftReport, *, monitor: str, deployment: str, now_us: int) -> Alert:
    """Return the alert that a report calls for; its message names the surest columns first."""
    moved = sorted((one for one in report.columns if one.drifted), key=lambda one: -one.evidence)
    said = "; ".join(f"{one.column} ({one.reason})" for one in moved[:_NAMED_COLUMNS])
    more = f"; and {len(moved) - _NAMED_COLUMNS} more" if len(moved) > _NAMED_COLUMNS else ""
    return Alert(
        id=new_alert_id(),
        monitor=monitor,
        deployment=deployment,
        version=report.version,
        kind="drift",
        state="open",
        columns=report.drifted,
        message=f"{len(moved)} of {len(report.columns)} columns moved in {report.rows} rows: "
        f"{said}{more}",
        evidence=report.digest,
        created_us=now_us,
    )


def new_alert_id() -> AlertId:
    """Return the id of an alert to be raised."""
    return AlertId(new_id("alr"))


def _get(tx: Reader, project_key: int, alert_id: AlertId) -> Alert:
    alert = tables.find_alert(tx, project=project_key, alert_id=alert_id)
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}", fix="list them: mill alert list")
    return alert
