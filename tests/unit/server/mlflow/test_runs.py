from __future__ import annotations

import threading

import pytest

from fixtures.mlflow_api import INVALID, MISSING, NO_RUN, Api

pytestmark = pytest.mark.sockets

POINT = {"key": "m", "value": 1, "timestamp": 1}
INACTIVE = "must be in the 'active' state. Current state is deleted."


def by_key(pairs: list[dict[str, object]]) -> dict[str, object]:
    return {str(one["key"]): one["value"] for one in pairs}


def test_a_run_from_its_beginning_to_its_end(api: Api) -> None:
    tags = [{"key": "mlflow.user", "value": "ada"}, {"key": "mlflow.source.name", "value": "a.py"}]
    run = api.run(api.experiment("life"), run_name="first", tags=tags)
    api.post("runs/log-metric", run_id=run, key="loss", value=0.5, timestamp=1_500, step=3)
    api.post("runs/log-parameter", run_id=run, key="depth", value="3")
    api.post("runs/set-tag", run_id=run, key="team", value="risk")
    api.post("runs/set-tag", run_id=run, key="gone", value="soon")
    api.post("runs/delete-tag", run_id=run, key="gone")
    api.post(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "auc", "value": 0.9, "timestamp": 1_600, "step": 0}],
        params=[{"key": "kind", "value": "tree"}],
        tags=[{"key": "more", "value": ""}],
    )
    info = api.post("runs/update", run_id=run, status="FINISHED", end_time=2_000)["run_info"]
    found = api.shown(run)
    assert found["info"] == info
    assert (info["run_id"], info["run_uuid"], info["run_name"]) == (run, run, "first")
    assert (info["status"], info["start_time"], info["end_time"]) == ("FINISHED", 1_000, 2_000)
    assert info["user_id"] == "ada"
    assert found["data"]["metrics"] == [
        {"key": "auc", "value": 0.9, "timestamp": 1_600, "step": 0},
        {"key": "loss", "value": 0.5, "timestamp": 1_500, "step": 3},
    ]
    assert by_key(found["data"]["params"]) == {"depth": "3", "kind": "tree"}
    assert by_key(found["data"]["tags"]) == {
        "mlflow.user": "ada",
        "mlflow.source.name": "a.py",
        "mlflow.runName": "first",
        "team": "risk",
        "more": "",
    }


def test_a_run_without_a_name_gets_one(api: Api) -> None:
    found = api.shown(api.run())
    assert found["info"]["run_name"].count("-") == 2
    assert by_key(found["data"]["tags"])["mlflow.runName"] == found["info"]["run_name"]


def test_a_run_may_go_on_after_its_end(api: Api) -> None:
    run = api.run()
    for status in ("FAILED", "RUNNING", "SCHEDULED", "KILLED", "FINISHED"):
        api.post("runs/update", run_id=run, status=status, end_time=3_000)
        assert api.shown(run)["info"]["status"] == status
    api.post("runs/log-metric", run_id=run, key="late", value=1, timestamp=1)
    assert api.shown(run)["data"]["metrics"][0]["key"] == "late"
    # Old clients say it in numbers.
    api.post("runs/update", run_uuid=run, status=4)
    assert api.shown(run)["info"]["status"] == "FAILED"


def test_a_run_is_renamed_by_either_way(api: Api) -> None:
    run = api.run(run_name="before")
    api.post("runs/update", run_id=run, run_name="between")
    assert by_key(api.shown(run)["data"]["tags"])["mlflow.runName"] == "between"
    api.post("runs/set-tag", run_id=run, key="mlflow.runName", value="after")
    assert api.shown(run)["info"]["run_name"] == "after"
    api.post("runs/set-tag", run_id=run, key="mlflow.runName", value="")
    found = api.shown(run)
    assert (found["info"]["run_name"], by_key(found["data"]["tags"])["mlflow.runName"]) == (
        "after",
        "after",
    )


def test_nothing_is_written_to_a_deleted_run(api: Api) -> None:
    run = api.run()
    api.post("runs/log-metric", run_id=run, key="m", value=1, timestamp=1)
    api.post("runs/delete", run_id=run)
    for path, given in (
        ("log-metric", {"key": "m", "value": 2, "timestamp": 2}),
        ("log-parameter", {"key": "p", "value": "1"}),
        ("set-tag", {"key": "t", "value": "1"}),
        ("delete-tag", {"key": "t"}),
        ("log-batch", {"tags": [{"key": "t", "value": "1"}]}),
        ("update", {"status": "FAILED"}),
    ):
        said = api.no("POST", f"runs/{path}", {"run_id": run, **given})
        assert said == (400, INVALID, f"The run {run} {INACTIVE}"), path
    assert api.shown(run)["info"]["lifecycle_stage"] == "deleted"
    api.post("runs/restore", run_id=run)
    data = api.shown(run)["data"]
    assert (len(data["metrics"]), len(data["tags"]), data.get("params")) == (1, 1, None)


def test_a_parameter_keeps_its_value(api: Api) -> None:
    run = api.run()
    for _ in range(2):
        api.post("runs/log-parameter", run_id=run, key="p", value="1")
    given = {"run_id": run, "key": "p", "value": "2"}
    assert api.no("POST", "runs/log-parameter", given) == (
        400,
        INVALID,
        (
            "Changing param values is not allowed. Param with key='p' was already logged with "
            f"value='1' for run ID='{run}'. Attempted logging new value '2'."
        ),
    )
    batch = {
        "run_id": run,
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
        "params": [{"key": "q", "value": "1"}, {"key": "p", "value": "2"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    assert api.no("POST", "runs/log-batch", batch) == (
        400,
        INVALID,
        (
            "Changing param values is not allowed. Params were already logged="
            f"'[{{'key': 'p', 'old_value': '1', 'new_value': '2'}}]' for run ID='{run}'."
        ),
    )
    data = api.shown(run)["data"]
    assert ("metrics" in data, by_key(data["params"]), len(data["tags"])) == (False, {"p": "1"}, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"metrics": [POINT] * 1001},
            (
                "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. "
                "Please split up metrics across multiple requests and try again."
            ),
        ),
        (
            {"params": [{"key": f"p{n}", "value": "1"} for n in range(101)]},
            (
                "A batch logging request can contain at most 100 params. Got 101 params. Please "
                "split up params across multiple requests and try again."
            ),
        ),
        (
            {"tags": [{"key": f"t{n}", "value": "1"} for n in range(101)]},
            (
                "A batch logging request can contain at most 100 tags. Got 101 tags. Please "
                "split up tags across multiple requests and try again."
            ),
        ),
        (
            {
                "metrics": [POINT] * 950,
                "tags": [{"key": f"t{n}", "value": "1"} for n in range(60)],
            },
            (
                "A batch logging request can contain at most 1000 metrics, params, and tags. Got "
                "1010 metrics, params, and tags. Please split up metrics, params, and tags across "
                "multiple requests and try again."
            ),
        ),
        (
            {"params": [{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]},
            (
                "Duplicate parameter keys have been submitted: ['p']. Please ensure the request "
                "contains only one param value per param key."
            ),
        ),
        (
            {"metrics": [POINT, {"key": "../up", "value": 1}]},
            (
                "Invalid value \"../up\" for parameter 'metrics[1].name' supplied: Names may be "
                "treated as files in certain cases, and must not resolve to other names when "
                "treated as such. This name would resolve to '../up'"
            ),
        ),
        (
            {"metrics": [{"key": "m", "value": "much", "timestamp": 1}]},
            (
                "Invalid value \"much\" for parameter 'metrics[0].value' supplied: (timestamp=1). "
                "Please specify value as a valid double (64-bit floating point)"
            ),
        ),
    ],
)
def test_a_batch_that_cannot_be_leaves_nothing(
    api: Api, given: dict[str, object], words: str
) -> None:
    run = api.run()
    assert api.no("POST", "runs/log-batch", {"run_id": run, **given}) == (400, INVALID, words)
    data = api.shown(run)["data"]
    assert (data.get("metrics"), data.get("params"), len(data["tags"])) == (None, None, 1)


def test_a_batch_may_not_be_longer_than_a_megabyte(api: Api) -> None:
    run = api.run()
    metrics = [{"key": "m" * 250, "value": n, "timestamp": 1} for n in range(1000)]
    batch = {"run_id": run, "metrics": metrics, "tags": [{"key": "t", "value": "x" * 750_000}]}
    status, code, words = api.no("POST", "runs/log-batch", batch)
    assert (status, code) == (400, INVALID)
    assert words.startswith("Batched logging API requests must be at most 1000000 bytes, got a")


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        ("create", {"experiment_id": "987654"}, MISSING),
        ("create", {"experiment_id": "x"}, INVALID),
        ("create", {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}, INVALID),
        ("create", {"start_time": "soon"}, INVALID),
        ("log-metric", {"value": 1, "timestamp": 1}, INVALID),
        ("log-metric", {"key": "m", "timestamp": 1}, INVALID),
        ("log-metric", {"key": "m", "value": 1}, INVALID),
        ("log-metric", {"key": "m", "value": 1, "timestamp": -1}, INVALID),
        ("log-metric", {"key": "m", "value": 1, "timestamp": 1, "step": "one"}, INVALID),
        ("log-metric", {"key": "a!", "value": 1, "timestamp": 1}, INVALID),
        ("log-metric", {"key": "m" * 251, "value": 1, "timestamp": 1}, INVALID),
        ("log-parameter", {"value": "1"}, INVALID),
        ("log-parameter", {"key": "/etc", "value": "1"}, INVALID),
        ("log-parameter", {"key": "k" * 251, "value": "1"}, INVALID),
        ("set-tag", {"key": "a/../b", "value": "1"}, INVALID),
        ("set-tag", {"key": ".", "value": "1"}, INVALID),
        ("delete-tag", {"key": "nothing"}, MISSING),
        ("update", {"status": "DONE"}, INVALID),
    ],
)
def test_what_cannot_be(api: Api, path: str, given: dict[str, object], code: str) -> None:
    if path != "create":
        given = {"run_id": api.run(), **given}
    status, found, words = api.no("POST", f"runs/{path}", given)
    assert (status, found) == (404 if code == MISSING else 400, code)
    assert words


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("GET", "get", {}),
        ("POST", "log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("POST", "log-parameter", {"key": "p", "value": "1"}),
        ("POST", "set-tag", {"key": "t", "value": "1"}),
        ("POST", "delete-tag", {"key": "t"}),
        ("POST", "log-batch", {}),
        ("POST", "update", {"status": "FAILED"}),
        ("POST", "delete", {}),
        ("POST", "restore", {}),
    ],
)
@pytest.mark.parametrize("run", [NO_RUN, "abc"])
def test_no_such_run(api: Api, method: str, path: str, given: dict[str, object], run: str) -> None:
    said = api.no(method, f"runs/{path}", {"run_id": run, **given})
    assert said == (404, MISSING, f"Run with id={run} not found")


def test_a_value_that_is_null_is_an_empty_one(api: Api) -> None:
    run = api.run()
    api.post("runs/log-parameter", run_id=run, key="p", value=None)
    api.post("runs/set-tag", run_id=run, key="t", value=None)
    data = api.shown(run)["data"]
    assert (by_key(data["params"])["p"], by_key(data["tags"])["t"]) == ("", "")


def test_a_run_has_to_be_named(api: Api) -> None:
    assert api.no("GET", "runs/get", {}) == (
        400,
        INVALID,
        (
            "Missing value for required parameter 'run_id'. See the API docs for more information "
            "about request parameters."
        ),
    )
    assert api.no("GET", "runs/get", {"run_id": "../x"})[:2] == (400, INVALID)


def test_values_that_are_no_numbers_are_kept(api: Api) -> None:
    run = api.run()
    for key, value in {"nan": "NaN", "up": "Infinity", "down": "-Infinity"}.items():
        body = f'{{"run_id":"{run}","key":"{key}","value":{value},"timestamp":1}}'
        api.ok("POST", "runs/log-metric", content=body)
        api.post("runs/log-metric", run_id=run, key=f"{key} in words", value=value, timestamp=1)
    assert by_key(api.shown(run)["data"]["metrics"]) == {
        f"{key}{end}": value
        for key, value in (
            ("nan", "NaN"),
            ("up", 1.7976931348623157e308),
            ("down", -1.7976931348623157e308),
        )
        for end in ("", " in words")
    }


def test_the_newest_point_is_that_of_the_greatest_step(api: Api) -> None:
    run = api.run()
    for value, timestamp, step in ((1, 10, 5), (2, 20, 4), (3, 5, 5), (4, 10, 5)):
        api.post(
            "runs/log-metric", run_id=run, key="m", value=value, timestamp=timestamp, step=step
        )
    (point,) = api.shown(run)["data"]["metrics"]
    assert (point["value"], point["step"], point["timestamp"]) == (4, 5, 10)


def test_two_who_write_one_run_lose_nothing(api: Api) -> None:
    run = api.run()

    def write(who: int) -> None:
        for n in range(40):
            api.http.post(
                "/api/2.0/mlflow/runs/log-metric",
                json={"run_id": run, "key": "m", "value": who, "timestamp": n, "step": n},
            )

    writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    points = api.get("metrics/get-history", run_id=run, metric_key="m")["metrics"]
    wanted = sorted((n, who) for n in range(40) for who in range(4))
    assert sorted((one["step"], one["value"]) for one in points) == wanted


def test_runs_are_found_by_filter_order_and_page(api: Api) -> None:
    number, run = api.experiment("found"), ""
    for n in range(7):
        run = api.run(number, run_name=f"r{n}")
        api.post("runs/log-metric", run_id=run, key="auc", value=n / 10, timestamp=1)
        api.post("runs/log-parameter", run_id=run, key="max depth", value=str(n % 2))
    seen: list[str] = []
    token = None
    while True:
        found = api.post(
            "runs/search",
            experiment_ids=[number],
            filter="metrics.auc >= 0.2 and params.`max depth` = '1'",
            order_by=["metrics.auc DESC"],
            max_results=2,
            page_token=token,
        )
        seen += [one["info"]["run_name"] for one in found["runs"]]
        token = found.get("next_page_token")
        if token is None:
            break
    assert seen == ["r5", "r3"]
    api.post("runs/delete", run_id=run)
    counts = {
        view: len(
            api.post("runs/search", experiment_ids=[number], run_view_type=view).get("runs", [])
        )
        for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")
    }
    assert counts == {"ACTIVE_ONLY": 6, "DELETED_ONLY": 1, "ALL": 7}
    assert api.post("runs/search", experiment_ids=[])["runs"] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"filter": "metrics.auc >"}, "character 14"),
        ({"filter": "metrics.auc > 1 or metrics.auc < 0"}, "'or'"),
        ({"filter": "metrics.auc > 'much'"}, "Expected numeric value type for metric"),
        ({"filter": "params.a = 1"}, "character 12"),
        ({"filter": "colour.a = '1'"}, "colour"),
        ({"filter": "params.a"}, "character"),
        ({"filter": "'"}, "character"),
        ({"filter": "attributes.colour = '1'"}, "colour"),
        ({"order_by": ["metrics.auc SIDEWAYS"]}, "metrics.auc SIDEWAYS"),
        ({"order_by": ["colour"]}, "colour"),
        ({"max_results": 0}, "max_results"),
        ({"max_results": 50_001}, "max_results"),
        ({"page_token": "nonsense"}, "token"),
        ({"experiment_ids": ["one"]}, "Invalid experiment ID 'one'"),
        ({"run_view_type": "SOME"}, "view_type"),
    ],
)
def test_a_search_that_cannot_be_read_says_where(
    api: Api, given: dict[str, object], words: str
) -> None:
    status, code, said = api.no("POST", "runs/search", {"experiment_ids": ["0"], **given})
    assert (status, code) == (400, INVALID)
    assert words in said


@pytest.mark.parametrize("number", [2**53 * 1000, 2**63 - 1])
def test_a_time_that_no_database_holds_is_refused(api: Api, number: int) -> None:
    run = api.run()
    begin = {"experiment_id": "0", "start_time": number}
    end = {"run_id": run, "status": "FINISHED", "end_time": number}
    assert api.no("POST", "runs/create", begin)[:2] == (400, INVALID)
    assert api.no("POST", "runs/update", end)[:2] == (400, INVALID)
    assert api.shown(run)["info"]["status"] == "RUNNING"


def test_of_a_refused_update_nothing_is_kept(api: Api) -> None:
    run = api.run(run_name="before")
    given = {"run_id": run, "run_name": "n" * 9_000, "status": "FINISHED"}
    assert api.no("POST", "runs/update", given)[:2] == (400, INVALID)
    info = api.shown(run)["info"]
    assert (info["run_name"], info["status"]) == ("before", "RUNNING")
