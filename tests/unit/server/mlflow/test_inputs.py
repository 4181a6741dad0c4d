from __future__ import annotations

import json

import pytest

from fixtures.mlflow_api import INVALID, MISSING, NO_RUN, Api

pytestmark = pytest.mark.sockets

DATASET = {"name": "loans", "digest": "abc123", "source_type": "local", "source": "{}"}
USED = {"dataset": DATASET, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
NO_MODEL = f"m-{NO_RUN}"
NOTHING: dict[str, str] = {}
LOGGED = '{"artifact_path": "PATH", "flavors": {}, "utc_time_created": "x", "run_id": "r"}'


def test_data_that_a_run_read(api: Api) -> None:
    run = api.run()
    full = {**DATASET, "name": "more", "schema": '{"a": 1}', "profile": '{"rows": 3}'}
    api.post("runs/log-inputs", run_id=run, datasets=[USED, {"dataset": full}])
    api.post("runs/log-inputs", run_id=run, datasets=[USED])
    found = api.shown(run)["inputs"]["dataset_inputs"]
    assert found == [
        {"tags": [{"key": "mlflow.data.context", "value": "training"}], "dataset": DATASET},
        {"tags": [], "dataset": full},
    ]
    for filter_ in ("datasets.name = 'loans'", "dataset.context = 'training'"):
        runs = api.post("runs/search", experiment_ids=["0"], filter=filter_)["runs"]
        assert [one["info"]["run_id"] for one in runs] == [run]


def test_data_read_twice_keep_the_context_that_was_given_first(api: Api) -> None:
    run = api.run()
    again = {"dataset": DATASET, "tags": [{"key": "mlflow.data.context", "value": "test"}]}
    api.post("runs/log-inputs", run_id=run, datasets=[USED])
    api.post("runs/log-inputs", run_id=run, datasets=[again])
    assert api.shown(run)["inputs"]["dataset_inputs"] == [USED]
    # As autologging of LightGBM does, whose validation set may be the training set.
    together = api.run()
    api.post("runs/log-inputs", run_id=together, datasets=[USED, again])
    assert api.shown(together)["inputs"]["dataset_inputs"] == [USED]


def test_models_that_a_run_read_and_made(api: Api) -> None:
    run, read, made = api.run(), api.logged_model("read"), api.logged_model("made")
    api.post("runs/log-inputs", run_id=run, models=[{"model_id": read}])
    api.post("runs/outputs", run_id=run, models=[{"model_id": made, "step": 3}])
    found = api.shown(run)
    assert found["inputs"]["model_inputs"] == [{"model_id": read}]
    assert found["outputs"]["model_outputs"] == [{"model_id": made, "step": 3}]


def test_old_clients_leave_models_in_a_tag(api: Api) -> None:
    run = api.run()
    for path in ("one", "two"):
        api.post("runs/log-model", run_id=run, model_json=LOGGED.replace("PATH", path))
    tags = {one["key"]: one["value"] for one in api.shown(run)["data"]["tags"]}
    kept = json.loads(tags["mlflow.log-model.history"])
    assert [one["artifact_path"] for one in kept] == ["one", "two"]


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        ("log-inputs", {"run_id": NO_RUN, "datasets": [USED]}, MISSING),
        ("log-inputs", {"datasets": [USED]}, INVALID),
        ("log-inputs", {"run_id": "RUN", "datasets": [NOTHING]}, INVALID),
        ("log-inputs", {"run_id": "RUN", "datasets": [USED] * 1001}, INVALID),
        ("log-inputs", {"run_id": "RUN", "datasets": [{"dataset": {"name": "a"}}]}, INVALID),
        (
            "log-inputs",
            {"run_id": "RUN", "datasets": [{"dataset": {**DATASET, "digest": "d" * 37}}]},
            INVALID,
        ),
        (
            "log-inputs",
            {"run_id": "RUN", "datasets": [{**USED, "tags": [{"key": "k" * 256}]}]},
            INVALID,
        ),
        ("log-inputs", {"run_id": "RUN", "models": [{"model_id": NO_MODEL}]}, MISSING),
        ("outputs", {"run_id": "RUN"}, INVALID),
        ("outputs", {"run_id": "RUN", "models": [{"model_id": NO_MODEL}]}, MISSING),
        ("log-model", {"run_id": "RUN"}, INVALID),
        ("log-model", {"run_id": "RUN", "model_json": "{"}, INVALID),
        ("log-model", {"run_id": "RUN", "model_json": "{}"}, INVALID),
        (
            "log-model",
            {
                "run_id": NO_RUN,
                "model_json": LOGGED,
            },
            MISSING,
        ),
    ],
)
def test_what_cannot_be(api: Api, path: str, given: dict[str, object], code: str) -> None:
    run = api.run()
    given = {name: run if value == "RUN" else value for name, value in given.items()}
    status, found, words = api.no("POST", f"runs/{path}", given)
    assert (status, found) == (404 if code == MISSING else 400, code)
    assert words
    assert api.shown(run)["inputs"] == {}


def test_nothing_is_read_by_a_deleted_run(api: Api) -> None:
    run = api.run()
    api.post("runs/delete", run_id=run)
    model = api.logged_model()
    for path, given in (
        ("log-inputs", {"datasets": [USED]}),
        ("outputs", {"models": [{"model_id": model}]}),
    ):
        assert api.no("POST", f"runs/{path}", {"run_id": run, **given})[:2] == (400, INVALID)
