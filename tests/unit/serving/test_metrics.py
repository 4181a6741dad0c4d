"""The text Prometheus reads."""

from __future__ import annotations

from millwright.serving.metrics import BUCKETS_S, Metrics, Sample


def test_counts_come_out_in_prometheus_text() -> None:
    metrics = Metrics()
    series = metrics.series(deployment='a"b', model="m", version=3)
    assert metrics.series(deployment='a"b', model="m", version=3) is series
    series.observe(rows=2, seconds=0.0004, error=False, slow=False)
    series.observe(rows=1, seconds=99.0, error=True, slow=True)
    metrics.count_response(200)
    metrics.count_response(200)
    metrics.count_response(503)
    other = Sample("millwright_x", "gauge", "Something.", {(("l", "a\\\n"),): 12345678})
    lines = metrics.render([other]).decode().splitlines()
    labels = 'deployment="a\\"b",model="m",version="3"'
    name = "millwright_prediction_duration_seconds"
    for line in (
        f"millwright_predictions_total{{{labels}}} 3",
        f"millwright_prediction_errors_total{{{labels}}} 1",
        f"millwright_prediction_slow_total{{{labels}}} 1",
        'millwright_http_responses_total{status="200"} 2',
        'millwright_http_responses_total{status="503"} 1',
        "millwright_capture_refused_total 0",
        'millwright_x{l="a\\\\\\n"} 12345678',
        f'{name}_bucket{{{labels},le="0.00025"}} 0',
        f'{name}_bucket{{{labels},le="0.0005"}} 1',
        f'{name}_bucket{{{labels},le="10.0"}} 1',
        f'{name}_bucket{{{labels},le="+Inf"}} 2',
        f"{name}_sum{{{labels}}} 99.0004",
        f"{name}_count{{{labels}}} 2",
    ):
        assert line in lines, line
    assert sum(line.startswith(f"{name}_bucket") for line in lines) == len(BUCKETS_S) + 1
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert helped == typed
    assert len(set(helped)) == len(helped)
