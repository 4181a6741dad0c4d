"""What the server counts."""

from __future__ import annotations

import httpx
import pytest

from millwright.server.metrics import BUCKETS_S, Metrics


def test_requests_are_counted_and_timed_by_route() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.002, 3.0, 1000.0):
        metrics.observe(method="GET", route="/a", status=200, seconds=seconds)
    metrics.observe(method="GET", route="/a", status=404, seconds=0.0001)
    lines = metrics.expose([("millwright_things", "Things there are.", 7)]).splitlines()
    series = 'method="GET",route="/a"'
    assert f'millwright_requests_total{{{series},status="200"}} 4' in lines
    assert f'millwright_requests_total{{{series},status="404"}} 1' in lines
    buckets = [int(line.split()[-1]) for line in lines if "_bucket" in line]
    assert len(buckets) == len(BUCKETS_S) + 1
    assert buckets == sorted(buckets)
    assert f'millwright_request_seconds_bucket{{{series},le="0.001"}} 2' in lines
    assert f'millwright_request_seconds_bucket{{{series},le="60.0"}} 4' in lines
    assert f'millwright_request_seconds_bucket{{{series},le="+Inf"}} 5' in lines
    assert f"millwright_request_seconds_count{{{series}}} 5" in lines
    assert f"millwright_request_seconds_sum{{{series}}} 1003.0031" in lines
    assert lines[-3:] == [
        "# HELP millwright_things Things there are.",
        "# TYPE millwright_things gauge",
        "millwright_things 7",
    ]


def test_text_in_labels_is_escaped() -> None:
    metrics = Metrics()
    metrics.observe(method='"', route="\\\n", status=200, seconds=0)
    assert r'method="\"",route="\\\n"' in metrics.expose([])


@pytest.mark.sockets
def test_no_caller_makes_a_new_series(admin: httpx.Client) -> None:
    for path in ("/api/v1/runs/a", "/api/v1/runs/b", "/one", "/two"):
        admin.get(path)
    admin.options("/three")
    answer = admin.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    counted = [line for line in answer.text.splitlines() if "requests_total{" in line]
    assert counted == [
        'millwright_requests_total{method="GET",route="/api/v1/runs/{ref}",status="200"} 2',
        'millwright_requests_total{method="GET",route="unmatched",status="404"} 2',
        'millwright_requests_total{method="OTHER",route="unmatched",status="405"} 1',
    ]
    for name in ("build_info", "journal_events", "jobs_queued", "request_seconds_bucket"):
        assert f"\nmillwright_{name}" in answer.text
