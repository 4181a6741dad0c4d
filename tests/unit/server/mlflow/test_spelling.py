from __future__ import annotations

import pytest

from fixtures.mlflow_api import Api
from millwright.core.ids import RunId, new_id, to_hex
from millwright.server.mlflow.spelling import number, pairs, run_address, status_of


def test_numbers_that_json_has_not() -> None:
    assert [number(one) for one in (0.5, None, "Infinity")] == [0.5, "NaN", "Infinity"]


def test_pairs_and_addresses() -> None:
    assert pairs({"a": "1"}) == [{"key": "a", "value": "1"}]
    run = RunId(new_id("run"))
    assert run_address(7, run) == f"mlflow-artifacts:/7/{to_hex(run)}/artifacts"


@pytest.mark.sockets
def test_a_run_of_ours_is_one_of_theirs(api: Api) -> None:
    from millwright.records.runs import RunSource

    source = RunSource(command=["fit.py"], python="3.11", platform="x")
    run = api.me.runs.start(name="native", source=source)
    api.me.runs.log_params(run=run.id, params={"depth": "3"})
    assert status_of(run) == "RUNNING"
    shown = api.shown(to_hex(run.id))
    assert (shown["info"]["run_name"], shown["info"]["status"]) == ("native", "RUNNING")
    assert shown["data"]["params"] == [{"key": "depth", "value": "3"}]
    assert {"key": "mlflow.runName", "value": "native"} in shown["data"]["tags"]
    api.me.runs.finish(run=run.id, status="cancelled")
    assert api.shown(to_hex(run.id))["info"]["status"] == "KILLED"
