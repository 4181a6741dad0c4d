"""Monitors: what they compare, what they found, and the alerts they raise."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import AlertId, DeploymentId, MonitorId

AlertState: TypeAlias = Literal["open", "acknowledged", "closed"]


class MonitorSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a monitor watches for."""

    alpha: float = 0.05
    """Chance, over all columns and all looks together, of an alarm where nothing changed."""
    min_effect: float = 0.1
    """Smallest total-variation distance that matters; less raises no alarm, however certain."""
    min_rows: int = 100
    """Rows a window needs before it is judged."""
    window_rows: int = 2000
    """Rows after which a window is closed and the next one begins."""
    accuracy_floor: float | None = None
    """Alarm when the accuracy on labelled decisions is certainly below this."""


class ColumnDrift(Struct, frozen=True, kw_only=True):
    """How one column's values compare with those the model was trained on."""

    column: str
    distance: float
    """Total variation over the reference's bins, 0 to 1, noise of finite samples included."""
    low: float
    high: float
    evidence: float
    """e-value against 'nothing changed', capped at 1e300; valid at every look."""
    missing_now: float
    missing_reference: float
    unseen_now: float
    """Share of values outside every bin or level of the reference."""
    drifted: bool
    reason: str
    detectable: float
    """Smallest distance this sample could have been expected to show."""


class DriftReport(Struct, frozen=True, kw_only=True):
    """One look of a monitor at one window."""

    monitor: MonitorId
    deployment: DeploymentId
    version: int
    n: int
    """Counts the looks of this monitor."""
    rows: int
    reference_rows: int
    first_us: int
    last_us: int
    columns: list[ColumnDrift]
    drifted: list[str]
    threshold: float
    """Evidence a column needs at this look."""
    digest: Digest
    """Over the verdict and its figures; never over ids and times."""
    window: int = 1
    """Counts the windows held against this version's training profile."""
    independent_rows: int = 0
    """How many independent rows these are worth: fewer where the same rows come again."""


class Performance(Struct, frozen=True, kw_only=True):
    """What labels say of the decisions they have arrived for."""

    deployment: DeploymentId
    version: int | None
    decisions: int
    labelled: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    auc: float | None


class Monitor(Struct, frozen=True, kw_only=True):
    """A monitor of one deployment."""

    id: MonitorId
    name: str
    deployment: str
    spec: MonitorSpec
    looks: int
    last: DriftReport | None
    created_us: int


class Alert(Struct, frozen=True, kw_only=True):
    """Something a monitor wants somebody to know."""

    id: AlertId
    monitor: str
    deployment: str
    version: int
    kind: Literal["drift", "performance"]
    state: AlertState
    columns: list[str]
    message: str
    evidence: Digest
    """Digest of the report that raised it."""
    created_us: int
    closed_us: int | None = None
