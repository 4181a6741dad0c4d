"""What a serving process counts, and the text in which Prometheus reads it.

Own names, seconds as the unit, counters that end in `_total`. Labels are deployments and model
versions only, never a caller's words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BUCKETS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)


@dataclass(slots=True)
class Series:
    """The counts of one model version in one deployment."""

    predictions: int = 0
    errors: int = 0
    slow: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Calls by duration, not cumulated; the last one is beyond every bound."""

    def observe(self, *, rows: int, seconds: float, error: bool, slow: bool) -> None:
        """Count one call."""
        self.predictions += rows
        self.errors += rows * error
        self.slow += rows * slow
        self.seconds += seconds
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure of the whole process, or of one thing in it."""

    name: str
    kind: str
    help: str
    values: Mapping[tuple[tuple[str, str], ...], float]
    """By its labels."""


class Metrics:
    """The counts of a process; written by its event loop alone."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], Series] = {}
        self._responses: dict[int, int] = {}
        self.refused_captures = 0

    def series(self, *, deployment: str, model: str, version: int) -> Series:
        """Return the series of one version, made when it is first asked for."""
        return self._series.setdefault((deployment, model, version), Series())

    def count_response(self, status: int) -> None:
        """Count one HTTP answer."""
        self._responses[status] = self._responses.get(status, 0) + 1

    def render(self, others: Iterable[Sample]) -> bytes:
        """Return all figures, these and `others`, in Prometheus's text format."""
        by_version = {
            (("deployment", deployment), ("model", model), ("version", str(version))): series
            for (deployment, model, version), series in self._series.items()
        }
        samples = [
            Sample(
                "millwright_predictions_total",
                "counter",
                "Decisions taken, answered or not.",
                {labels: each.predictions for labels, each in by_version.items()},
            ),
            Sample(
                "millwright_prediction_errors_total",
                "counter",
                "Decisions for which the model gave no answer.",
                {labels: each.errors for labels, each in by_version.items()},
            ),
            Sample(
                "millwright_prediction_slow_total",
                "counter",
                "Decisions that took longer than the deployment's plan calls fast.",
                {labels: each.slow for labels, each in by_version.items()},
            ),
            Sample(
                "millwright_http_responses_total",
                "counter",
                "HTTP answers by status.",
                {(("status", str(code)),): n for code, n in sorted(self._responses.items())},
            ),
            Sample(
                "millwright_capture_refused_total",
                "counter",
                "Decisions that were not taken because they could not be recorded.",
                {(): self.refused_captures},
            ),
            *others,
        ]
        lines: list[str] = []
        for sample in samples:
            _head(lines, sample.name, sample.kind, sample.help)
            lines += [f"{sample.name}{_braces(each)} {n!r}" for each, n in sample.values.items()]
        name = "millwright_prediction_duration_seconds"
        _head(lines, name, "histogram", "Time from a request's arrival to the model's answer.")
        for labels, series in by_version.items():
            seen = 0
            for bound, n in zip((*map(str, BUCKETS_S), "+Inf"), series.buckets, strict=True):
                seen += n
                lines.append(f"{name}_bucket{_braces((*labels, ('le', bound)))} {seen}")
            lines.append(f"{name}_sum{_braces(labels)} {series.seconds:.9g}")
            lines.append(f"{name}_count{_braces(labels)} {seen}")
        return "\n".join(lines).encode() + b"\n"


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _braces(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
