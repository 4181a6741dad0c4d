"""Monitors as state: what each has read, every look it took, and the alert a look raised.

A look reads and judges outside any transaction, and is written in one that succeeds only if
the monitor stands where it stood when the look began: of two workers that look at once, one
writes and the other finds that there is nothing left for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import MonitorId, ProjectId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.journal.captured import read_decisions
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables import monitoring as tables
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.models import VersionRow
from millwright.metadata.tables.monitoring import MonitorRow
from millwright.monitoring.alerts import Alerts, drift_alert, new_alert_id
from millwright.monitoring.drift import judge, report_digest, threshold
from millwright.monitoring.performance import Outcomes, below_floor_evidence, find_deployment
from millwright.monitoring.windows import (
    WindowState,
    advance,
    answers,
    begin,
    fill,
)
from millwright.records.events import Act, Subject
from millwright.records.monitoring import Alert, DriftReport, Monitor, MonitorSpec
from millwright.records.operation_events import MonitorCreated
from millwright.records.serving import Decision
from millwright.stats.profile import TableProfile

SEGMENTS_PER_LOOK = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A monitor that has something to look at."""

    project_key: int
    project: ProjectId
    name: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look begins with."""

    monitor: MonitorRow
    deployment: DeploymentRow
    version: VersionRow
    state: WindowState
    """Begun anew where another version has become champion."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What the window's segments hold."""

    decisions: list[Decision]
    has_more: bool
    """Whether a segment was new and held answers that count."""
    next_segment: int


class Monitors:
    """The monitors of all projects of a home."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, journal: Journal, clock: Clock
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock
        self._alerts = Alerts(database, journal, clock)
        self._outcomes = Outcomes(database, artifacts)

    def create(
        self, act: Act, name: str, deployment: str, spec: MonitorSpec | None = None
    ) -> Monitor:
        """Watch a deployment, from the decisions captured so far on.

        A monitor of the same name and settings is returned as it is; Conflict when the name is
        another's. Raises NotFound for an unknown deployment, and Invalid for settings that
        cannot be kept.
        """
        check_name(name, "monitor")
        spec = check_spec(spec or MonitorSpec())
        monitor_id = MonitorId(new_id("mon"))
        with self._database.write() as tx:
            watched = find_deployment(tx, act.project_key, deployment)
            added = tables.insert_monitor(
                tx,
                monitor_id=monitor_id,
                project=act.project_key,
                deployment_pk=watched.pk,
                name=name,
                spec=spec,
                state_json=_encode(WindowState()),
                now_us=self._clock.now_us(),
            )
            row = _monitor(tx, act.project_key, name)
            if added:
                detail = MonitorCreated(reason=act.reason, name=name, deployment=watched.name)
                subjects = [
                    Subject(kind="monitor", id=monitor_id),
                    Subject(kind="deployment", id=watched.id),
                ]
                self._journal.append(tx, act, detail, subjects)
            elif row.deployment_pk != watched.pk or row.spec != spec:
                raise Conflict(
                    f"there is a monitor {name!r} already, with other settings",
                    why=f"it watches {row.deployment} with {row.spec}",
                    fix="use another name, or ask for those settings",
                )
            return row.monitor()

    def list_all(self, project_key: int) -> list[Monitor]:
        """Return the project's monitors, by name."""
        with self._database.read() as tx:
            return [row.monitor() for row in tables.list_monitors(tx, project=project_key)]

    def get(self, project_key: int, name: str) -> Monitor:
        """Return a monitor by name or id, with its newest report; raises NotFound."""
        with self._database.read() as tx:
            return _monitor(tx, project_key, name).monitor()

    def reports(self, project_key: int, name: str, *, limit: int = 50) -> list[DriftReport]:
        """Return the newest reports, newest first; raises NotFound."""
        with self._database.read() as tx:
            row = _monitor(tx, project_key, name)
            return tables.read_reports(tx, monitor_pk=row.pk, limit=limit)

    def due(self) -> list[Due]:
        """Return the monitors of all projects for which segments or labels have come in."""
        with self._database.read() as tx:
            return [
                Due(row.project_id, row.project, row.name)
                for row in tables.list_monitors(tx)
                if tables.has_segment_from(
                    tx, deployment_pk=row.deployment_pk, from_pk=row.next_segment
                )
                or self._has_labels(tx, row)
            ]

    def check(self, act: Act, name: str) -> DriftReport | None:
        """Look at what came in since the last look, and raise the alerts it calls for.

        None when nothing new came in, when that is too little to judge, or when somebody else
        has just looked. One call goes on to the end of the window at most; `due` tells if
        segments are left. Raises NotFound, and Conflict when the version that answers has no
        training profile to compare with.
        """
        with self._database.read() as tx:
            seen = self._begin(tx, act.project_key, name)
        report = self._look(act, seen)
        if seen.monitor.spec.accuracy_floor is not None:
            self._check_accuracy(act, name)
        return report

    def _begin(self, tx: Reader, project_key: int, name: str) -> _Seen:
        monitor = _monitor(tx, project_key, name)
        deployment = find_deployment(tx, project_key, monitor.deployment)
        champion = next(one for one in deployment.variants if one.role == "champion")
        version = model_tables.find_version(
            tx, model_pk=deployment.model_pk, version=champion.version
        )
        assert version is not None, "a deployment's variants name versions of its model"
        state = msgspec.json.decode(monitor.state_json, type=WindowState)
        state = begin(state, version=version.version, next_segment=monitor.next_segment)
        return _Seen(monitor, deployment, version, state)

    def _look(self, act: Act, seen: _Seen) -> DriftReport | None:
        monitor, spec = seen.monitor, seen.monitor.spec
        reference = self._reference(seen.version)
        read = self._read(seen)
        if read.next_segment == monitor.next_segment:
            return None
        report = None
        state = seen.state
        if read.has_more and len(read.decisions) >= spec.min_rows:
            report = self._judge(seen, reference, read.decisions)
            is_full = len(read.decisions) >= spec.window_rows
            state = advance(state, is_full=is_full, next_segment=read.next_segment)
        elif not read.decisions:
            # Nothing of this version so far: the window begins behind what was passed over.
            state = msgspec.structs.replace(state, from_segment=read.next_segment)
        with self._database.write() as tx:
            moved = tables.move_monitor(
                tx,
                monitor,
                next_segment=read.next_segment,
                state_json=_encode(state),
                report=report,
            )
            if not moved:
                return None
            if report is not None and report.drifted:
                self._alerts.raise_once(
                    tx,
                    act,
                    drift_alert(
                        report,
                        monitor=monitor.name,
                        deployment=seen.deployment.name,
                        now_us=self._clock.now_us(),
                    ),
                    monitor=monitor,
                    deployment=seen.deployment,
                    version=seen.version,
                )
        return report

    def _reference(self, version: VersionRow) -> TableProfile:
        if version.profile_digest is None:
            raise Conflict(
                f"{version.name}@v{version.version} has no training profile to compare with",
                why="it was registered without one",
                fix="register it with the profile of the rows it was trained on",
            )
        return TableProfile.from_bytes(self._artifacts.read_bytes(version.profile_digest))

    def _read(self, seen: _Seen) -> _Read:
        """Read the window's segments again, and new ones until it is full."""
        monitor, state = seen.monitor, seen.state
        decisions: list[Decision] = []
        at, has_more, new = state.from_segment, False, 0
        while True:
            with self._database.read() as tx:
                page = segment_tables.segments_from(
                    tx, deployment_pk=monitor.deployment_pk, from_pk=at, limit=100
                )
            for segment in page:
                is_new = segment.pk >= monitor.next_segment
                if is_new and (
                    len(decisions) >= monitor.spec.window_rows or new >= SEGMENTS_PER_LOOK
                ):
                    return _Read(decisions, has_more, max(at, monitor.next_segment))
                counted = answers(read_decisions(self._artifacts, segment), version=state.version)
                decisions += counted
                new += is_new
                has_more = has_more or (is_new and bool(counted))
                at = segment.pk + 1
            if len(page) < 100:
                return _Read(decisions, has_more, max(at, monitor.next_segment))

    def _judge(
        self, seen: _Seen, reference: TableProfile, decisions: list[Decision]
    ) -> DriftReport:
        spec = seen.monitor.spec
        inputs = [column.name for column in seen.version.model_version().signature.inputs]
        window = fill(reference, inputs, decisions)
        columns = judge(
            reference,
            window.profile,
            spec=spec,
            window=seen.state.window,
            independent=window.independent,
        )
        bar = threshold(spec, columns=len(columns))
        return DriftReport(
            monitor=seen.monitor.id,
            deployment=seen.deployment.id,
            version=seen.version.version,
            n=seen.monitor.looks + 1,
            rows=len(decisions),
            reference_rows=reference.rows,
            first_us=window.first_us,
            last_us=window.last_us,
            columns=columns,
            drifted=[one.column for one in columns if one.drifted],
            threshold=bar,
            digest=report_digest(
                version=seen.version.version,
                rows=len(decisions),
                reference_rows=reference.rows,
                bar=bar,
                columns=columns,
            ),
            window=seen.state.window,
            independent_rows=round(window.independent_rows),
        )

    # Accuracy

    def _has_labels(self, tx: Reader, row: MonitorRow) -> bool:
        if row.spec.accuracy_floor is None:
            return False
        state = msgspec.json.decode(row.state_json, type=WindowState)
        return tables.count_labels(tx, deployment_pk=row.deployment_pk) != state.labels

    def _check_accuracy(self, act: Act, name: str) -> None:
        """Weigh the labels that have arrived for the champion's answers against the floor."""
        with self._database.read() as tx:
            seen = self._begin(tx, act.project_key, name)
            labels = tables.count_labels(tx, deployment_pk=seen.monitor.deployment_pk)
        if labels == seen.state.labels:
            return
        floor = seen.monitor.spec.accuracy_floor
        assert floor is not None, "only monitors with a floor come here"
        measured = self._outcomes.measure(
            act.project_key, seen.deployment.name, seen.version.version
        )
        found, cases = measured.performance, len(measured.means)
        columns = len(seen.version.model_version().signature.inputs)
        bar = math.log(threshold(seen.monitor.spec, columns=columns))
        revisions = seen.state.revisions + (found.labelled > cases)
        evidence = below_floor_evidence(measured.means, floor=floor, revisions=revisions)
        state = msgspec.structs.replace(seen.state, labels=labels, revisions=revisions)
        with self._database.write() as tx:
            moved = tables.move_monitor(
                tx,
                seen.monitor,
                next_segment=seen.monitor.next_segment,
                state_json=_encode(state),
            )
            if not moved or evidence < bar:
                return
            alert = Alert(
                id=new_alert_id(),
                monitor=seen.monitor.name,
                deployment=seen.deployment.name,
                version=seen.version.version,
                kind="performance",
                state="open",
                columns=[],
                message=f"accuracy {found.accuracy:.3f} on {found.labelled} labelled decisions "
                f"of {cases} cases, certainly below {floor:g}",
                evidence=digest_bytes(
                    f"accuracy {found.accuracy!r} of {cases} cases, floor {floor!r}".encode()
                ),
                created_us=self._clock.now_us(),
            )
            self._alerts.raise_once(
                tx,
                act,
                alert,
                monitor=seen.monitor,
                deployment=seen.deployment,
                version=seen.version,
            )


def check_spec(spec: MonitorSpec) -> MonitorSpec:
    """Return the settings; raises Invalid, naming each that cannot be kept."""
    rules: list[tuple[str, float | None, Callable[[float], bool], str]] = [
        ("alpha", spec.alpha, lambda x: 0.0 < x < 1.0, "between 0 and 1"),
        ("min_effect", spec.min_effect, lambda x: 0.0 <= x < 1.0, "from 0 to below 1"),
        ("min_rows", spec.min_rows, lambda x: x >= 1, "at least 1"),
        (
            "window_rows",
            spec.window_rows,
            lambda x: x >= spec.min_rows,
            f"at least min_rows, {spec.min_rows}",
        ),
        ("accuracy_floor", spec.accuracy_floor, lambda x: 0.0 < x < 1.0, "between 0 and 1"),
    ]
    faults = [
        f"{name} is {value:g}; it lies {range_}"
        for name, value, holds, range_ in rules
        if value is not None and not holds(value)
    ]
    if faults:
        raise Invalid("a monitor cannot keep these settings", why="; ".join(faults))
    return spec


def _monitor(tx: Reader, project_key: int, name: str) -> MonitorRow:
    row = tables.find_monitor(tx, project=project_key, name=name)
    if row is None:
        names = [each.name for each in tables.list_monitors(tx, project=project_key)]
        raise NotFound(f"no monitor {name!r} in this project", fix=did_you_mean(name, names))
    return row


def _encode(state: WindowState) -> str:
    return msgspec.json.encode(state).decode()
