"""The port to which a step, a script or a client library logs.

Whoever trains a model sees only this: it is filled by `runs.Runs` in the same process, and by
a wire to it elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from millwright.core.ids import RunId
from millwright.records.runs import MetricPoint, RunLink


class Sink(Protocol):
    """Takes what is logged to a run."""

    def log_params(self, run: RunId, params: Mapping[str, str]) -> None:
        """Record parameters; a parameter keeps the value it was first given."""
        ...

    def log_metrics(self, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Append points to the histories of their metrics."""
        ...

    def set_tags(self, run: RunId, tags: Mapping[str, str]) -> None:
        """Set tags, replacing earlier values."""
        ...

    def log_links(self, run: RunId, links: Sequence[RunLink]) -> None:
        """Record what the run read and made."""
        ...
