"""How much a project may hold, and how long what was deleted can be restored.

A limit that is not set costs nothing: what it would count is then never counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What `[retention]` and `[quota]` of `millwright.toml` say; None stands for no limit."""

    retention_days: float = 30.0
    """How long what was deleted stays, unless a purge asks for another time."""
    runs_per_experiment: int | None = None
    points_per_run: int | None = None
    artifact_bytes: int | None = None
    """Of all files by path that a project's runs and models have, counted by their names."""
