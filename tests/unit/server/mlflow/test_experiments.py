from __future__ import annotations

import pytest

from fixtures.mlflow_api import EXISTS, INVALID, MISSING, Api

pytestmark = pytest.mark.sockets


def shown(api: Api, number: str) -> dict[str, object]:
    return api.get("experiments/get", experiment_id=number)["experiment"]


def test_an_empty_store_has_the_experiment_0(api: Api) -> None:
    found = shown(api, "0")
    assert (found["name"], found["artifact_location"], found["lifecycle_stage"]) == (
        "Default",
        "mlflow-artifacts:/0",
        "active",
    )


def test_one_is_made_named_tagged_and_found(api: Api) -> None:
    tags = [{"key": "team", "value": "risk"}, {"key": "none"}]
    number = api.post("experiments/create", name="loans", tags=tags)["experiment_id"]
    assert number.isdigit()
    found = shown(api, number)
    assert found["tags"] == [{"key": "none", "value": ""}, {"key": "team", "value": "risk"}]
    assert found["artifact_location"] == f"mlflow-artifacts:/{number}"
    by_name = api.get("experiments/get-by-name", experiment_name="loans")["experiment"]
    assert by_name == found
    api.post("experiments/set-experiment-tag", experiment_id=number, key="team", value="fraud")
    api.post("experiments/delete-experiment-tag", experiment_id=number, key="none")
    api.post("experiments/update", experiment_id=number, new_name="credit")
    assert shown(api, number)["tags"] == [{"key": "team", "value": "fraud"}]
    for method in ("GET", "POST"):
        given = {"filter": "tags.team = 'fraud'", "max_results": 5}
        (one,) = api.ok(method, "experiments/search", given)["experiments"]
        assert one["name"] == "credit"
    assert api.no("GET", "experiments/get-by-name", {"experiment_name": "loans"}) == (
        404,
        MISSING,
        "Could not find experiment with name 'loans'",
    )


def test_a_name_is_taken_once(api: Api) -> None:
    api.experiment("twice")
    number = api.experiment("other")
    said = api.no("POST", "experiments/create", {"name": "twice"})
    assert said == (400, EXISTS, "Experiment(name=twice) already exists.")
    given = {"experiment_id": number, "new_name": "twice"}
    assert api.no("POST", "experiments/update", given)[:2] == (400, EXISTS)


def test_deleted_and_restored_with_its_runs(api: Api) -> None:
    number = api.experiment("going")
    run = api.run(number)
    api.post("experiments/delete", experiment_id=number)
    assert shown(api, number)["lifecycle_stage"] == "deleted"
    assert api.shown(run)["info"]["lifecycle_stage"] == "deleted"
    gone = (404, MISSING, f"No Experiment with id={number} exists")
    assert api.no("POST", "experiments/delete", {"experiment_id": number}) == gone
    for path, more in (
        ("runs/create", {}),
        ("experiments/update", {"new_name": "x"}),
        ("experiments/set-experiment-tag", {"key": "a", "value": "b"}),
        ("experiments/delete-experiment-tag", {"key": "a"}),
    ):
        assert api.no("POST", path, {"experiment_id": number, **more}) == (
            400,
            INVALID,
            f"The experiment {number} must be in the 'active' state. Current state is deleted.",
        )
    views = {
        view: number
        in [
            one["experiment_id"]
            for one in api.post("experiments/search", max_results=1000, view_type=view)[
                "experiments"
            ]
        ]
        for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")
    }
    assert views == {"ACTIVE_ONLY": False, "DELETED_ONLY": True, "ALL": True}
    api.post("experiments/restore", experiment_id=number)
    assert api.shown(run)["info"]["lifecycle_stage"] == "active"
    assert api.no("POST", "experiments/restore", {"experiment_id": number}) == gone


def test_pages_follow_each_other(api: Api) -> None:
    made = {api.experiment(f"page {n}") for n in range(5)}
    seen: list[str] = []
    token = None
    while True:
        given = {"max_results": 2, "filter": "name LIKE 'page%'", "order_by": ["name DESC"]}
        found = api.post("experiments/search", **given, page_token=token)
        seen += [one["experiment_id"] for one in found["experiments"]]
        token = found.get("next_page_token")
        if token is None:
            break
    assert (set(seen), len(seen)) == (made, 5)


@pytest.mark.parametrize(
    ("method", "path", "given", "code"),
    [
        ("POST", "create", {}, INVALID),
        ("POST", "create", {"name": ""}, INVALID),
        ("POST", "create", {"name": "x" * 501}, INVALID),
        ("POST", "create", {"name": 7}, INVALID),
        ("POST", "create", {"name": "a", "tags": [{"key": "../up", "value": ""}]}, INVALID),
        ("POST", "create", {"name": "a", "artifact_location": "runs:/x/y"}, INVALID),
        ("POST", "create", {"name": "a", "artifact_location": "file:///etc"}, INVALID),
        ("POST", "create", {"name": "a", "artifact_location": "s3://b/x?y=1"}, INVALID),
        ("POST", "create", {"name": "a", "artifact_location": "s3://b/x#y"}, INVALID),
        ("POST", "create", {"name": "a", "artifact_location": "../../etc"}, INVALID),
        ("GET", "get", {"experiment_id": "987654"}, MISSING),
        ("GET", "get", {"experiment_id": "-1"}, MISSING),
        ("GET", "get", {"experiment_id": "one"}, INVALID),
        ("GET", "get", {}, INVALID),
        ("GET", "get-by-name", {}, INVALID),
        ("GET", "get-by-name", {"experiment_name": "#1"}, MISSING),
        ("POST", "update", {"experiment_id": "0"}, INVALID),
        ("POST", "delete", {"experiment_id": "987654"}, MISSING),
        ("POST", "set-experiment-tag", {"experiment_id": "0", "value": "x"}, INVALID),
        ("POST", "delete-experiment-tag", {"experiment_id": "0", "key": "none"}, MISSING),
        ("POST", "search", {"max_results": 0}, INVALID),
        ("POST", "search", {"max_results": 50_001}, INVALID),
        ("POST", "search", {"filter": "name ="}, INVALID),
        ("POST", "search", {"order_by": ["colour"]}, INVALID),
        ("POST", "search", {"view_type": "SOME"}, INVALID),
        ("POST", "search", {"page_token": "nonsense"}, INVALID),
    ],
)
def test_what_cannot_be(
    api: Api, method: str, path: str, given: dict[str, object], code: str
) -> None:
    status, found, words = api.no(method, f"experiments/{path}", given)
    assert (status, found) == (404 if code == MISSING else 400, code)
    assert words


def test_artifacts_lie_where_an_experiment_has_them(api: Api) -> None:
    made = api.post("experiments/create", name="placed", artifact_location="deep/er")
    found = shown(api, made["experiment_id"])
    assert found["artifact_location"] == "mlflow-artifacts:/deep/er"
    far = api.post("experiments/create", name="far", artifact_location="s3://bucket/x")
    assert shown(api, far["experiment_id"])["artifact_location"] == "s3://bucket/x"
