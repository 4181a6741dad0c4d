from __future__ import annotations

import pytest

from fixtures.mlflow_api import INVALID, MISSING, MLMODEL, PROXY, Api

pytestmark = pytest.mark.sockets

BASE = "model-versions"


def test_a_version_keeps_its_files_whatever_happens_to_its_source(api: Api) -> None:
    api.post("registered-models/create", name="kept")
    run, logged = api.run(), api.logged_model("model")
    root = f"0/{run}/artifacts"
    api.put(f"{root}/model/MLmodel", MLMODEL)
    api.put(f"{root}/model/data/deep/a.bin", b"weights")
    for source in (f"runs:/{run}/model", f"models:/{logged}"):
        api.post(f"{BASE}/create", name="kept", source=source)
    api.put(f"{root}/model/MLmodel", b"other")
    api.put(f"{root}/model/data/deep/a.bin", b"other")
    api.post("registered-models/create", name="copied")
    api.post(f"{BASE}/create", name="copied", source="models:/kept/1")
    given = {"name": "kept", "version": "1"}
    folder = api.get(f"{BASE}/get-download-uri", **given)["artifact_uri"]
    api.post(f"{BASE}/create", name="copied", source=folder)
    api.ok("DELETE", f"{PROXY}/{root}/model")
    api.ok("DELETE", f"logged-models/{logged}")
    api.post("runs/delete", run_id=run)
    for name, number in (("kept", "1"), ("kept", "2"), ("copied", "1"), ("copied", "2")):
        assert api.downloaded(name, number) == MLMODEL
    assert api.downloaded("copied", "2", "data/deep/a.bin") == b"weights"
    below = folder.removeprefix("mlflow-artifacts:/")
    for path, names in (("", ["MLmodel", "data"]), ("/data", ["deep"]), ("/data/deep", ["a.bin"])):
        listed = api.listed(below + path)
        assert [one["path"] for one in listed] == names
    assert api.listed("model-versions") == []
    assert api.no("GET", f"{PROXY}/{below}/data")[1] == INVALID
    assert api.no("GET", f"{PROXY}/{below}/nothing")[1] == MISSING
    assert api.no("DELETE", f"{PROXY}/{below}")[1] == INVALID
    answer = api.send("PUT", f"{PROXY}/{below}/MLmodel", content=b"other")
    assert (answer.status_code, answer.json()["error_code"]) == (400, INVALID)
