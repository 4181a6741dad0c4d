from __future__ import annotations

import pytest

from fixtures.mlflow_api import MISSING, NO_RUN, Api

pytestmark = pytest.mark.sockets


def test_a_point_belongs_to_the_run_and_to_the_model(api: Api) -> None:
    run, model = api.run(), api.logged_model()
    given = {"key": "acc", "value": 0.5, "timestamp": 7, "step": 2, "model_id": model}
    api.post("runs/log-metric", run_id=run, **given, dataset_name="eval", dataset_digest="d")
    assert api.shown(run)["data"]["metrics"] == [
        {"key": "acc", "value": 0.5, "timestamp": 7, "step": 2}
    ]
    (point,) = api.get(f"logged-models/{model}")["model"]["data"]["metrics"]
    assert point == {
        "key": "acc",
        "value": 0.5,
        "timestamp": 7,
        "step": 2,
        "model_id": model,
        "run_id": run,
        "dataset_name": "eval",
        "dataset_digest": "d",
    }


def test_of_an_unknown_model_nothing_is_kept(api: Api) -> None:
    run = api.run()
    point = {"key": "acc", "value": 0.5, "timestamp": 7, "step": 2, "model_id": f"m-{NO_RUN}"}
    for path, given in (("log-metric", point), ("log-batch", {"metrics": [point]})):
        status, code, _ = api.no("POST", f"runs/{path}", {"run_id": run, **given})
        assert (status, code) == (404, MISSING)
    assert "metrics" not in api.shown(run)["data"]
