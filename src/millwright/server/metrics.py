"""What the server counts about itself, in Prometheus' text format (0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from millwright.core.version import VERSION

MEDIA_TYPE = "text/plain; version=0.0.4"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """Counts and times requests by route, so that a caller cannot make new series.

    Used from the one thread of the server's event loop.
    """

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        counted = (method, route, status)
        self._requests[counted] = self._requests.get(counted, 0) + 1
        timed = (method, route)
        counts = self._seconds.setdefault(timed, [0] * (len(BUCKETS_S) + 1))
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[timed] = self._sums.get(timed, 0.0) + seconds

    def expose(self, gauges: Iterable[tuple[str, str, int]]) -> str:
        """Return everything counted, and `gauges` as (name, help, value)."""
        lines = [
            *_head("millwright_build_info", "gauge", "The version that runs."),
            f'millwright_build_info{{version="{_escape(VERSION)}"}} 1',
            *_head("millwright_requests_total", "counter", "Requests answered."),
        ]
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'{_labels(method, route)},status="{status}"'
            lines.append(f"millwright_requests_total{{{labels}}} {count}")
        lines += _head("millwright_request_seconds", "histogram", "Time from request to answer.")
        for timed in sorted(self._seconds):
            lines += self._histogram(timed)
        for name, told, value in gauges:
            lines += [*_head(name, "gauge", told), f"{name} {value}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, timed: tuple[str, str]) -> Iterator[str]:
        labels = _labels(*timed)
        below = list(accumulate(self._seconds[timed]))
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], below, strict=True):
            yield f'millwright_request_seconds_bucket{{{labels},le="{bound}"}} {count}'
        yield f"millwright_request_seconds_sum{{{labels}}} {self._sums[timed]:.9g}"
        yield f"millwright_request_seconds_count{{{labels}}} {below[-1]}"


def _head(name: str, kind: str, told: str) -> list[str]:
    return [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]


def _labels(method: str, route: str) -> str:
    return f'method="{_escape(method)}",route="{_escape(route)}"'


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
