from __future__ import annotations

import pytest

from fixtures.mlflow_api import INVALID, MISSING, NO_RUN, Api

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    run = api.run()
    folder = api.shown(run)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    api.put(f"{folder}/top.txt", b"top")
    api.put(f"{folder}/sub/deep/x.bin", b"\x00\x01")
    return run


def test_a_runs_folders_are_listed(api: Api, run: str) -> None:
    found = api.get("artifacts/list", run_id=run)
    assert found == {
        "root_uri": f"mlflow-artifacts:/0/{run}/artifacts",
        "files": [
            {"path": "sub", "is_dir": True},
            {"path": "top.txt", "is_dir": False, "file_size": 3},
        ],
    }
    deep = api.ok("GET", "artifacts/list", {"run_uuid": run, "path": "sub/deep/"})
    assert deep["files"] == [{"path": "sub/deep/x.bin", "is_dir": False, "file_size": 2}]
    assert api.ok("GET", "artifacts/list", {"run_id": run, "path": "nothing"})["files"] == []


def test_a_file_is_handed_out_by_the_old_route(api: Api, run: str) -> None:
    answer = api.send("GET", "/get-artifact", {"run_uuid": run, "path": "sub/deep/x.bin"})
    assert (answer.status_code, answer.content) == (200, b"\x00\x01")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"path": "nothing"}, MISSING),
        ({"path": "sub/deep"}, INVALID),
        ({"path": "../../../etc/passwd"}, INVALID),
        ({"path": "%2e%2e/x"}, INVALID),
        ({}, INVALID),
    ],
)
def test_what_is_not_handed_out(api: Api, run: str, given: dict[str, object], code: str) -> None:
    status, found, _ = api.no("GET", "/get-artifact", {"run_id": run, **given})
    assert (status, found) == (404 if code == MISSING else 400, code)


@pytest.mark.parametrize("path", ["..", "/etc", "sub/../../x", "\\", "%2e%2e", "%252e%252e"])
def test_no_list_leads_elsewhere(api: Api, run: str, path: str) -> None:
    given = {"run_id": run, "path": path}
    assert api.no("GET", "artifacts/list", given) == (400, INVALID, "Invalid path")


def test_no_such_run(api: Api) -> None:
    said = (404, MISSING, f"Run with id={NO_RUN} not found")
    assert api.no("GET", "artifacts/list", {"run_id": NO_RUN}) == said
    assert api.no("GET", "/get-artifact", {"run_id": NO_RUN, "path": "x"}) == said


@pytest.mark.parametrize("what", ["upload", "download"])
def test_no_address_is_signed_for_a_store_elsewhere(api: Api, run: str, what: str) -> None:
    given = {"run_id": run, "path": "x"}
    status, code, _ = api.no("POST", f"artifacts/presigned-{what}-url", given)
    assert (status, code) == (501, "NOT_IMPLEMENTED")
