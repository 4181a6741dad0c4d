from __future__ import annotations

from typing import cast

import httpx
import pytest

from fixtures.example_host import serving
from fixtures.homes import Place
from fixtures.mlflow_api import EXISTS, INVALID, MISSING, Api
from millwright.server.host import Host

pytestmark = pytest.mark.sockets

BASE = "registered-models"


def model(api: Api, name: str) -> dict[str, object]:
    return api.get(f"{BASE}/get", name=name)["registered_model"]


def test_one_is_made_described_tagged_and_renamed(api: Api) -> None:
    tags = [{"key": "team", "value": "risk"}]
    made = api.post(f"{BASE}/create", name="loans", tags=tags, description="who pays back")
    assert made["registered_model"] == model(api, "loans")
    assert made["registered_model"]["tags"] == tags
    api.ok("PATCH", f"{BASE}/update", {"name": "loans", "description": "who does not"})
    api.post(f"{BASE}/set-tag", name="loans", key="more", value="x")
    api.ok("DELETE", f"{BASE}/delete-tag", {"name": "loans", "key": "team"})
    said = api.post(f"{BASE}/rename", name="loans", new_name="credit")["registered_model"]
    assert (said["name"], said["description"], said["tags"]) == (
        "credit",
        "who does not",
        [{"key": "more", "value": "x"}],
    )
    assert api.no("GET", f"{BASE}/get", {"name": "loans"}) == (
        404,
        MISSING,
        "Registered Model with name=loans not found",
    )


def test_a_model_cannot_have_the_name_of_a_prompt(api: Api) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    api.post("registered-models/create", name="farewell", tags=tags)
    words = (
        "Tried to create a registered model with name 'farewell', but the name is already taken"
        " by a prompt. MLflow does not allow creating a model and a prompt with the same name."
    )
    said = api.no("POST", "registered-models/create", {"name": "farewell"})
    assert said == (400, EXISTS, words)
    again = api.no("POST", "registered-models/create", {"name": "farewell", "tags": tags})
    assert again == (400, EXISTS, "Registered Model (name=farewell) already exists.")
    api.ok("DELETE", "registered-models/delete", {"name": "farewell"})


def test_a_name_is_taken_once_until_it_is_given_back(api: Api) -> None:
    api.post(f"{BASE}/create", name="one")
    api.post(f"{BASE}/create", name="two")
    taken = (400, EXISTS, "Registered Model (name=one) already exists.")
    assert api.no("POST", f"{BASE}/create", {"name": "one"}) == taken
    assert api.no("POST", f"{BASE}/rename", {"name": "two", "new_name": "one"}) == taken
    api.ok("DELETE", f"{BASE}/delete", {"name": "one"})
    assert api.no("GET", f"{BASE}/get", {"name": "one"})[:2] == (404, MISSING)
    api.post(f"{BASE}/create", name="one")


def test_an_alias_moves_and_goes(api: Api) -> None:
    api.post(f"{BASE}/create", name="aliased")
    for _ in range(2):
        api.version("aliased")
    for version in ("1", "2"):
        api.post(f"{BASE}/alias", name="aliased", alias="champion", version=version)
    assert model(api, "aliased")["aliases"] == [{"alias": "champion", "version": "2"}]
    given = {"name": "aliased", "alias": "champion"}
    found = api.ok("GET", f"{BASE}/alias", given)["model_version"]
    assert (found["version"], found["aliases"]) == ("2", ["champion"])
    latest = api.ok("GET", f"{BASE}/alias", {"name": "aliased", "alias": "latest"})
    assert latest["model_version"]["version"] == "2"
    for _ in range(2):
        api.ok("DELETE", f"{BASE}/alias", given)
    said = (400, INVALID, "Registered model alias champion not found.")
    assert api.no("GET", f"{BASE}/alias", given) == said
    history = api.me.models.history(name="aliased").aliases
    assert [(move.alias, move.version) for move in history] == [
        ("champion", 1),
        ("champion", 2),
        ("champion", None),
    ]


def test_the_newest_of_each_stage(api: Api) -> None:
    api.post(f"{BASE}/create", name="staged")
    for _ in range(3):
        api.version("staged")
    move = {"name": "staged", "version": "1", "stage": "production"}
    api.post("model-versions/transition-stage", **move)
    for method in ("GET", "POST"):
        found = api.ok(method, f"{BASE}/get-latest-versions", {"name": "staged"})
        assert {(one["current_stage"], one["version"]) for one in found["model_versions"]} == {
            ("Production", "1"),
            ("None", "3"),
        }
        given = {"name": "staged", "stages": ["Production"]}
        (one,) = api.ok(method, f"{BASE}/get-latest-versions", given)["model_versions"]
        assert one["version"] == "1"


def test_models_are_found_page_by_page(api: Api) -> None:
    for n in range(5):
        api.post(f"{BASE}/create", name=f"page {n}", tags=[{"key": "odd", "value": str(n % 2)}])
    seen: list[str] = []
    more: dict[str, object] = {}
    while True:
        found = api.get(
            f"{BASE}/search",
            filter="name LIKE 'page%' AND tags.odd = '0'",
            order_by=["name DESC"],
            max_results=2,
            **more,
        )
        seen += [one["name"] for one in found["registered_models"]]
        if not found.get("next_page_token"):
            break
        more = {"page_token": found["next_page_token"]}
    assert seen == ["page 4", "page 2", "page 0"]
    listed = api.get(f"{BASE}/list", max_results=1000)["registered_models"]
    assert {"page 0", "page 1"} <= {one["name"] for one in listed}


def test_prompts_are_told_from_models_by_their_tag(api: Api) -> None:
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    api.post(f"{BASE}/create", name="greeting", tags=prompt)

    def names(text: str) -> set[str]:
        found = api.get(f"{BASE}/search", filter=text, max_results=1000)
        return {one["name"] for one in found["registered_models"]}

    assert names("tag.`mlflow.prompt.is_prompt` = 'true'") == {"greeting"}
    assert "greeting" not in names("tag.`mlflow.prompt.is_prompt` != 'true'")


@pytest.mark.parametrize(
    ("method", "path", "given", "code"),
    [
        ("POST", "create", {}, INVALID),
        ("POST", "create", {"name": " "}, INVALID),
        ("POST", "create", {"name": "a/b"}, INVALID),
        ("POST", "create", {"name": "a:b"}, INVALID),
        ("POST", "create", {"name": ".."}, INVALID),
        ("POST", "create", {"name": "x", "tags": [{"key": "a!", "value": ""}]}, INVALID),
        ("POST", "rename", {"name": "nothing", "new_name": "x"}, MISSING),
        ("POST", "rename", {"name": "bad"}, INVALID),
        ("PATCH", "update", {"name": "nothing", "description": ""}, MISSING),
        ("DELETE", "delete", {"name": "nothing"}, MISSING),
        ("POST", "set-tag", {"name": "nothing", "key": "a", "value": ""}, MISSING),
        ("POST", "set-tag", {"name": "bad", "value": ""}, INVALID),
        ("DELETE", "delete-tag", {"name": "nothing", "key": "a"}, MISSING),
        ("POST", "alias", {"name": "bad", "alias": "v1", "version": "1"}, INVALID),
        ("POST", "alias", {"name": "bad", "alias": "latest", "version": "1"}, INVALID),
        ("POST", "alias", {"name": "bad", "alias": "a b", "version": "1"}, INVALID),
        ("POST", "alias", {"name": "bad", "alias": "best", "version": "one"}, INVALID),
        ("POST", "alias", {"name": "bad", "alias": "best", "version": "1"}, MISSING),
        ("GET", "alias", {"name": "bad", "alias": "latest"}, MISSING),
        ("GET", "alias", {"name": "nothing", "alias": "best"}, MISSING),
        ("DELETE", "alias", {"name": "nothing", "alias": "best"}, MISSING),
        ("GET", "search", {"max_results": "0"}, INVALID),
        ("GET", "search", {"max_results": "1001"}, INVALID),
        ("GET", "search", {"filter": "name ="}, INVALID),
        ("GET", "search", {"order_by": "colour"}, INVALID),
        ("GET", "get-latest-versions", {"name": "nothing"}, MISSING),
        ("POST", "get-latest-versions", {"name": "bad", "stages": ["Best"]}, INVALID),
    ],
)
def test_what_cannot_be(
    api: Api, method: str, path: str, given: dict[str, object], code: str
) -> None:
    api.send("POST", f"{BASE}/create", {"name": "bad"})
    status, found, words = api.no(method, f"{BASE}/{path}", given)
    assert (status, found) == (404 if code == MISSING else 400, code)
    assert words


@pytest.fixture
def place(sqlite_place: Place) -> Place:
    return sqlite_place


def test_a_protected_alias_says_why_not(place: Place) -> None:
    first = place.passed(0)
    place.me.models.promote(ref=first)
    second = place.version(1)
    given = {"name": "churn", "alias": "champion", "version": "2"}
    staged = {"name": "churn", "version": "2", "stage": "Production"}
    with (
        serving(cast("Host", place.home), open_on_loopback=True) as address,
        httpx.Client(base_url=f"{address}/api/2.0/mlflow", trust_env=False) as http,
    ):
        for path, body in (
            (f"{BASE}/alias", given),
            ("model-versions/transition-stage", staged),
        ):
            answer = http.post(f"/{path}", json=body)
            said = answer.json()
            assert (answer.status_code, said["error_code"]) == (403, "PERMISSION_DENIED")
            assert "the project's gate has not judged it" in said["message"]
            assert "mill gate check churn@v2" in said["message"]
        place.judged(second, "fail")
        said = http.post(f"/{BASE}/alias", json=given).json()
        assert "auc-floor: auc 0.61, floor 0.70" in said["message"]
        place.judged(second)
        assert http.post(f"/{BASE}/alias", json=given).json() == {}
    assert place.me.models.history(name="churn").model.aliases["champion"] == 2
