from __future__ import annotations

import pytest

from fixtures.mlflow_api import INVALID, MISSING, NO_RUN, Api, Json
from millwright.server.mlflow import metrics

pytestmark = pytest.mark.sockets

COUNT = 1000
OF_RUN = {"run_id": "RUN", "metric_key": "m"}
OF_RUNS = {"run_ids": "RUN", "metric_key": "m"}


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    run = api.run()
    points = [{"key": "m", "value": n / 4, "timestamp": 1 + n, "step": n} for n in range(COUNT)]
    api.post("runs/log-batch", run_id=run, metrics=points)
    return run


def values(found: Json) -> list[float]:
    return [one["value"] for one in found["metrics"]]


def test_the_whole_history_in_order(api: Api, run: str) -> None:
    found = api.get("metrics/get-history", run_id=run, metric_key="m")
    assert values(found) == [n / 4 for n in range(COUNT)]
    assert found["metrics"][3] == {"key": "m", "value": 0.75, "timestamp": 4, "step": 3}
    assert api.get("metrics/get-history", run_uuid=run, metric_key="none")["metrics"] == []


def test_a_long_history_is_spelled_in_pieces(
    api: Api, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1, 300, COUNT):
        monkeypatch.setattr(metrics, "PIECE_POINTS", size)
        found = api.get("metrics/get-history", run_id=run, metric_key="m")
        assert values(found) == [n / 4 for n in range(COUNT)]


def test_the_history_page_by_page(api: Api, run: str) -> None:
    seen: list[float] = []
    more: dict[str, object] = {}
    pages = 0
    while True:
        found = api.get("metrics/get-history", run_id=run, metric_key="m", max_results=300, **more)
        seen += values(found)
        pages += 1
        if not found.get("next_page_token"):
            break
        more = {"page_token": found["next_page_token"]}
    assert (pages, seen) == (4, [n / 4 for n in range(COUNT)])


def test_a_page_of_one_history_leads_on_in_no_other(api: Api, run: str) -> None:
    other = api.run()
    api.post("runs/log-metric", run_id=other, key="m", value=7, timestamp=1)
    page = api.get("metrics/get-history", run_id=run, metric_key="m", max_results=5)
    given = {"run_id": other, "metric_key": "m", "page_token": page["next_page_token"]}
    status, code, words = api.no("GET", "metrics/get-history", {**given, "max_results": 5})
    assert (status, code) == (400, INVALID)
    assert "belongs to another search" in words


def test_histories_of_several_runs(api: Api, run: str) -> None:
    other = api.run()
    api.post("runs/log-metric", run_id=other, key="m", value=7, timestamp=1)
    found = api.get("metrics/get-history-bulk", run_id=[run, other], metric_key="m")
    assert {one["run_id"] for one in found["metrics"]} == {run, other}
    assert len(found["metrics"]) == COUNT + 1
    few = api.ok(
        "GET",
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
        {"run_id": [run], "metric_key": "m", "max_results": 5},
    )
    assert values(few) == [0, 0.25, 0.5, 0.75, 1]


def test_a_curve_is_thinned(api: Api, run: str) -> None:
    given = {"run_ids": [run], "metric_key": "m", "max_results": 50}
    found = api.get("metrics/get-history-bulk-interval", **given)
    steps = [one["step"] for one in found["metrics"]]
    assert (steps[0], steps[-1]) == (0, COUNT - 1)
    assert steps == sorted(steps)
    assert 25 <= len(steps) <= 60
    for few, kept in ((1, [COUNT - 1]), (2, [0, COUNT - 1]), (3, [0, COUNT - 1])):
        thin = api.get("metrics/get-history-bulk-interval", **{**given, "max_results": few})
        assert [one["step"] for one in thin["metrics"]] == kept
    part = api.get("metrics/get-history-bulk-interval", **given, start_step=10, end_step=20)
    assert [one["step"] for one in part["metrics"]] == list(range(10, 21))


@pytest.mark.parametrize(
    ("route", "given", "code"),
    [
        ("get-history", {"run_id": NO_RUN, "metric_key": "m"}, MISSING),
        ("get-history", {"run_id": "RUN"}, INVALID),
        ("get-history", {"metric_key": "m"}, INVALID),
        ("get-history", {"run_id": "RUN", "metric_key": "m", "max_results": 0}, INVALID),
        (
            "get-history",
            {**OF_RUN, "max_results": 5, "page_token": "x"},
            INVALID,
        ),
        ("get-history-bulk", {"metric_key": "m"}, INVALID),
        ("get-history-bulk", {"run_id": "RUN"}, INVALID),
        ("get-history-bulk", {"run_id": [NO_RUN] * 101, "metric_key": "m"}, INVALID),
        ("get-history-bulk", {"run_id": NO_RUN, "metric_key": "m"}, MISSING),
        ("get-history-bulk-interval", {"run_ids": "RUN"}, INVALID),
        ("get-history-bulk-interval", {"metric_key": "m"}, INVALID),
        ("get-history-bulk-interval", {"run_ids": NO_RUN, "metric_key": "m"}, MISSING),
        ("get-history-bulk-interval", {"run_ids": [NO_RUN] * 101, "metric_key": "m"}, INVALID),
        (
            "get-history-bulk-interval",
            {**OF_RUNS, "max_results": 0},
            INVALID,
        ),
        (
            "get-history-bulk-interval",
            {**OF_RUNS, "start_step": 3},
            INVALID,
        ),
        (
            "get-history-bulk-interval",
            {**OF_RUNS, "start_step": 3, "end_step": 2},
            INVALID,
        ),
    ],
)
def test_what_cannot_be(
    api: Api, run: str, route: str, given: dict[str, object], code: str
) -> None:
    given = {name: run if value == "RUN" else value for name, value in given.items()}
    status, found, words = api.no("GET", f"metrics/{route}", given)
    assert (status, found) == (404 if code == MISSING else 400, code)
    assert words
