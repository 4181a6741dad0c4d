from __future__ import annotations

import pytest

from fixtures.mlflow_api import INVALID, MISSING, MLMODEL, NO_RUN, Api, Json

pytestmark = pytest.mark.sockets

BASE = "logged-models"
IN_0: Json = {"experiment_ids": ["0"]}
UNKNOWN = f"{BASE}/m-{NO_RUN}"


def shown(api: Api, model: str, **given: object) -> Json:
    return api.get(f"{BASE}/{model}", **given)["model"]


def by_key(pairs: list[Json]) -> dict[str, object]:
    return {one["key"]: one["value"] for one in pairs}


def test_one_is_made_filled_and_ready(api: Api) -> None:
    run = api.run()
    made = api.post(
        BASE,
        experiment_id="0",
        name="first",
        model_type="agent",
        source_run_id=run,
        params=[{"key": "depth", "value": "3"}],
        tags=[{"key": "a", "value": "1"}],
    )["model"]
    info = made["info"]
    model = info["model_id"]
    assert made == shown(api, model)
    assert (info["name"], info["model_type"], info["status"]) == (
        "first",
        "agent",
        "LOGGED_MODEL_PENDING",
    )
    assert (info["source_run_id"], info["experiment_id"]) == (run, "0")
    folder = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    api.put(f"{folder}/sub/MLmodel", MLMODEL)
    ready = api.ok("PATCH", f"{BASE}/{model}", {"status": "LOGGED_MODEL_READY"})["model"]
    assert ready["info"]["status"] == "LOGGED_MODEL_READY"
    listed = api.get(f"{BASE}/{model}/artifacts/directories")
    assert listed == {
        "root_uri": info["artifact_uri"],
        "files": [{"path": "sub", "is_dir": True}],
    }
    below = api.get(f"{BASE}/{model}/artifacts/directories", artifact_directory_path="sub")
    assert below["files"] == [{"path": "sub/MLmodel", "is_dir": False, "file_size": len(MLMODEL)}]


def test_what_is_said_of_it(api: Api) -> None:
    model = api.logged_model("said")
    tags = [{"key": "a/b c", "value": "1"}, {"key": "keep", "value": "2"}]
    told = api.ok("PATCH", f"{BASE}/{model}/tags", {"tags": tags})["model"]
    assert by_key(told["info"]["tags"]) == {"a/b c": "1", "keep": "2"}
    api.ok("DELETE", f"{BASE}/{model}/tags/a/b%20c")
    api.post(f"{BASE}/{model}/params", params=[{"key": "late", "value": "1"}])
    found = shown(api, model)
    assert by_key(found["info"]["tags"]) == {"keep": "2"}
    assert by_key(found["data"]["params"]) == {"late": "1"}


def test_a_parameter_of_a_model_keeps_its_value(api: Api) -> None:
    model = api.logged_model("kept", params=[{"key": "depth", "value": "3"}])
    api.post(f"{BASE}/{model}/params", params=[{"key": "depth", "value": "3"}])
    other = [{"key": "rate", "value": "1"}, {"key": "depth", "value": "4"}]
    words = (
        "Changing param values is not allowed. Param with key='depth' was already logged with"
        f" value='3' for model ID='{model}'. Attempted logging new value '4'."
    )
    said = api.no("POST", f"{BASE}/{model}/params", {"params": other})
    assert said == (400, INVALID, words)
    assert by_key(shown(api, model)["data"]["params"]) == {"depth": "3"}


def test_a_model_of_no_run_that_is_there_is_refused_in_mlflows_words(api: Api) -> None:
    said = api.no("POST", BASE, {"experiment_id": "0", "source_run_id": NO_RUN})
    assert said == (404, MISSING, f"Run with id={NO_RUN} not found")


def test_a_deleted_one_is_shown_to_who_asks_for_it(api: Api) -> None:
    model = api.logged_model("going")
    api.ok("DELETE", f"{BASE}/{model}")
    said = (404, MISSING, f"Logged model with ID '{model}' not found.")
    assert api.no("GET", f"{BASE}/{model}") == said
    assert api.no("DELETE", f"{BASE}/{model}") == said
    assert shown(api, model, allow_deleted="true")["info"]["model_id"] == model


def test_models_are_found_by_what_was_measured(api: Api) -> None:
    number = api.experiment("measured")
    run = api.run(number)
    data = {"name": "eval", "digest": "d1", "source_type": "local", "source": "x"}
    api.post("runs/log-inputs", run_id=run, datasets=[{"dataset": data}])
    models = [
        api.logged_model(f"m{n}", number, params=[{"key": "n", "value": str(n)}]) for n in range(4)
    ]
    for n, model in enumerate(models):
        more = {"dataset_name": "eval", "dataset_digest": "d1"} if n % 2 else {}
        point: Json = {"key": "acc", "value": n / 4, "timestamp": 1, "step": 1, "model_id": model}
        if n < 2:
            api.post("runs/log-metric", run_id=run, **point, **more)
        else:
            api.post("runs/log-batch", run_id=run, metrics=[{**point, **more}])

    def names(**given: object) -> list[str]:
        found = api.post(f"{BASE}/search", experiment_ids=[number], **given)
        return [one["info"]["name"] for one in found["models"]]

    best = [{"field_name": "metrics.acc", "ascending": False}]
    assert names(order_by=best) == ["m3", "m2", "m1", "m0"]
    assert names(filter="metrics.acc >= 0.5", order_by=best) == ["m3", "m2"]
    assert names(datasets=[{"dataset_name": "eval"}], filter="metrics.acc > 0.5") == ["m3"]
    on = {"field_name": "metrics.acc", "dataset_name": "eval"}
    assert names(order_by=[on]) == ["m1", "m3", "m2", "m0"]
    assert names(order_by=[{**on, "dataset_digest": "other"}, *best]) == ["m3", "m2", "m1", "m0"]
    assert names(order_by=best, datasets=[{"dataset_name": "eval"}]) == ["m3", "m2", "m1", "m0"]
    assert names(filter="params.n = '2'") == ["m2"]
    assert names(filter=f"model_id = '{models[1]}'") == ["m1"]
    measured = shown(api, models[1])["data"]["metrics"]
    assert [(one["key"], one["value"], one["dataset_name"]) for one in measured] == [
        ("acc", 0.25, "eval")
    ]
    pages: list[list[str]] = []
    token = None
    while True:
        found = api.post(
            f"{BASE}/search",
            experiment_ids=[number],
            order_by=best,
            max_results=3,
            page_token=token,
        )
        pages.append([one["info"]["name"] for one in found["models"]])
        token = found.get("next_page_token")
        if token is None:
            break
    assert pages == [["m3", "m2", "m1"], ["m0"]]
    assert api.post(f"{BASE}/search", experiment_ids=["987654"])["models"] == []
    assert api.post(f"{BASE}/search")["models"] == []


def test_only_ids_are_read_as_ids_in_a_filter(api: Api) -> None:
    number = api.experiment("digits")
    digits = "0123456789abcdef" * 2
    run = api.run(number)
    data = {"key": "data_md5", "value": digits}
    kept = api.logged_model("a", number, params=[data], tags=[data], source_run_id=run)
    other = api.logged_model("b", number)

    def names(filter_: str) -> list[str]:
        found = api.post(f"{BASE}/search", experiment_ids=[number], filter=filter_)
        return sorted(one["info"]["name"] for one in found["models"])

    for filter_ in (
        f"params.data_md5 = '{digits}'",
        f"tags.data_md5 = \"{digits}\" and params.data_md5 IN ('{digits}', 'm-{digits}')",
        f"params.data_md5 = '{digits}' AND source_run_id = '{run}'",
        f"attributes.source_run_id = \"{run}\" and model_id != '{other}'",
        f"model_id = '{kept}' AND tags.data_md5 LIKE '{digits}'",
        f"model_id IN ('{kept}', 'none') AND name = 'a'",
    ):
        assert names(filter_) == ["a"], filter_
    assert names(f"model_id IN ('{kept}', \"{other}\")") == ["a", "b"]
    assert names(" ") == ["a", "b"]


@pytest.mark.parametrize(
    ("method", "path", "given", "code"),
    [
        ("POST", BASE, {"name": "x"}, INVALID),
        ("POST", BASE, {"experiment_id": "987654"}, MISSING),
        ("POST", BASE, {"experiment_id": "0", "name": "a/b"}, INVALID),
        ("POST", BASE, {"experiment_id": "0", "source_run_id": NO_RUN}, MISSING),
        ("POST", BASE, {"experiment_id": "0", "tags": [{"key": "../a", "value": ""}]}, INVALID),
        ("GET", UNKNOWN, {}, MISSING),
        ("GET", f"{BASE}/nothing", {}, MISSING),
        ("PATCH", UNKNOWN, {"status": "LOGGED_MODEL_READY"}, MISSING),
        ("PATCH", "MODEL", {"status": "DONE"}, INVALID),
        ("DELETE", UNKNOWN, {}, MISSING),
        ("PATCH", f"{UNKNOWN}/tags", {"tags": [{"key": "a", "value": "b"}]}, MISSING),
        ("DELETE", "MODEL/tags/nothing", {}, MISSING),
        ("POST", f"{UNKNOWN}/params", {"params": [{"key": "a", "value": "b"}]}, MISSING),
        ("GET", f"{UNKNOWN}/artifacts/directories", {}, MISSING),
        ("GET", "MODEL/artifacts/directories", {"artifact_directory_path": ".."}, INVALID),
        ("POST", f"{BASE}/search", {"experiment_ids": ["0"], "filter": "metrics.a >"}, INVALID),
        (
            "POST",
            f"{BASE}/search",
            {**IN_0, "datasets": [{"dataset_digest": "x"}]},
            INVALID,
        ),
        (
            "POST",
            f"{BASE}/search",
            {**IN_0, "order_by": [{"field_name": "colour"}]},
            INVALID,
        ),
    ],
)
def test_what_cannot_be(
    api: Api, method: str, path: str, given: dict[str, object], code: str
) -> None:
    if path.startswith("MODEL"):
        path = path.replace("MODEL", f"{BASE}/{api.logged_model()}")
    status, found, words = api.no(method, path, given)
    assert (status, found) == (404 if code == MISSING else 400, code), words
    assert words
