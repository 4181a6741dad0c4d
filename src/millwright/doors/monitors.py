"""The door to monitors, alerts and automation rules."""

from __future__ import annotations

from typing import Protocol

from millwright.core.ids import AlertId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.automation import Rule, RuleSpec
from millwright.records.monitoring import Alert, DriftReport, Monitor, MonitorSpec, Performance


class Monitors(Protocol):
    """Watchers of deployments."""

    @operation("GET", "/monitors", needs=Permission.MONITOR_READ)
    def list_all(self) -> list[Monitor]:
        """Return the project's monitors, by name."""
        ...

    @operation("POST", "/monitors", needs=Permission.MONITOR_WRITE)
    def create(
        self, *, name: str, deployment: str, spec: MonitorSpec | None = None, reason: str = ""
    ) -> Monitor:
        """Watch a deployment; a monitor of the same name and settings is returned as it is."""
        ...

    @operation("GET", "/monitors/{name}", needs=Permission.MONITOR_READ)
    def show(self, *, name: str) -> Monitor:
        """Return a monitor with its newest report."""
        ...

    @operation("POST", "/monitors/{name}/check", needs=Permission.MONITOR_WRITE)
    def check(self, *, name: str) -> DriftReport | None:
        """Look at what came in since the last look; None when that is too little."""
        ...

    @operation("GET", "/monitors/{name}/reports", needs=Permission.MONITOR_READ)
    def reports(self, *, name: str, limit: int = 50) -> list[DriftReport]:
        """Return the newest reports, newest first."""
        ...

    @operation("GET", "/deployments/{deployment}/performance", needs=Permission.MONITOR_READ)
    def performance(self, *, deployment: str, version: int | None = None) -> Performance:
        """Return what the labels that have arrived say."""
        ...


class Alerts(Protocol):
    """What monitors found."""

    @operation("GET", "/alerts", needs=Permission.ALERT_READ)
    def list_all(self, *, state: str | None = None, limit: int = 100) -> list[Alert]:
        """Return alerts, newest first."""
        ...

    @operation("GET", "/alerts/{id}", needs=Permission.ALERT_READ)
    def show(self, *, id: AlertId) -> Alert:
        """Return one alert."""
        ...

    @operation("POST", "/alerts/{id}/close", needs=Permission.ALERT_WRITE)
    def close(self, *, id: AlertId, reason: str) -> Alert:
        """Close an alert."""
        ...


class Rules(Protocol):
    """What happens by itself."""

    @operation("GET", "/rules", needs=Permission.RULE_READ)
    def list_all(self) -> list[Rule]:
        """Return the project's rules, by name."""
        ...

    @operation("PUT", "/rules/{name}", needs=Permission.RULE_WRITE)
    def put(self, *, name: str, spec: RuleSpec, reason: str = "") -> Rule:
        """Make or replace a rule: an event of one kind starts a job of another."""
        ...
