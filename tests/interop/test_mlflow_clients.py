"""Unmodified clients of MLflow's, of two generations, against a real `mill server`."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import mlflow_scripts as scripts
from fixtures.mill_processes import mill
from fixtures.mlflow_server import MillServer, mill_server
from fixtures.mlflow_session import SESSION
from fixtures.tools import free_port, python_of, run_tool, serving_tool

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

CLIENTS = ("mlflow3", "mlflow2")
INVALID = "INVALID_PARAMETER_VALUE"
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
Told = dict[str, Any]


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    python_of(request.param, "mlflow")
    return request.param


@pytest.fixture(scope="module")
def is_new(client: str) -> bool:
    return client == "mlflow3"


@pytest.fixture(scope="module")
def server(client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillServer]:
    with mill_server(tmp_path_factory.mktemp(client) / "home") as server:
        yield server


@pytest.fixture(scope="module")
def told(client: str, server: MillServer, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the client was told in a long session."""
    return tell(client, SESSION, server.address, tmp_path_factory.mktemp("work"))


def tell(client: str, script: str, address: str, folder: Path, *words: str, **more: str) -> Told:
    """Run a script with the client against the server, and return what it told."""
    environment = {"MLFLOW_TRACKING_URI": address, "GIT_PYTHON_REFRESH": "quiet", **more}
    said = run_tool(
        python_of(client, "mlflow"), script, *words, cwd=folder, environment=environment
    )
    return json.loads(said)


def part(told: Told, name: str) -> Any:
    """Return what a step told; a step that broke fails the test."""
    found = told[name]
    assert list(found) != ["error"], found["error"]
    return found


def test_the_server_answers_soon(server: MillServer) -> None:
    server.stop()
    server.start()
    # The machine may be busy: what it takes on a quiet one is in the benchmarks.
    assert server.started_in_s < 5


def test_logging_plainly(told: Told) -> None:
    assert part(told, "logging_plainly") == {
        "status": "FINISHED",
        "name": "first",
        "params": {"depth": "3", "kind": "tree", "rate": "0.1"},
        "metrics": {"loss": "0.2", "auc": "0.9", "odd": "nan", "huge": "1.7976931348623157e+308"},
        "tags": {
            "a": "1",
            "mlflow.note.content": "what it is for",
            "mlflow.runName": "first",
            "mlflow.user": told["logging_plainly"]["tags"]["mlflow.user"],
            "n": "3",
            "team": "risk",
            "who": "ada",
        },
        "user": True,
        "took": True,
        "top": [["notes", True, None], ["odd names", True, None]],
        "notes": [["notes/note.txt", False, 5], ["notes/sub", True, None]],
        "odd": ["odd names/ä ö+&=%.html"],
        "text": "hello",
        "dict": {"a": [1, 2]},
        "oddly": "<b>",
        "whole": ["notes/note.txt", "notes/sub/facts.json", "odd names/ä ö+&=%.html"],
    }


def test_history(told: Told) -> None:
    found = part(told, "history")
    assert found.pop("unknown")[0] == MISSING
    assert found == {"count": 1001, "steps": [-5, 0], "sum": 2996.0, "last": 5.0, "none": 0}


def test_nested_runs(told: Told) -> None:
    assert part(told, "nested_runs") == {
        "children": ["child 2", "child 1", "child 0"],
        "late": 1.0,
        "parent": "parent",
    }


def test_deletes_and_restores(told: Told) -> None:
    found = part(told, "deletes")
    refusals = {name: found.pop(name) for name in list(found) if is_refusal(found[name])}
    assert found == {
        "active": ["r1", "r2"],
        "deleted": ["r0"],
        "all": ["r0", "r1", "r2"],
        "stage": "deleted",
        "restored": ["r0", "r1", "r2"],
        "experiment": "deleted",
        "by name": "deleted",
        "runs with it": ["r0", "r1", "r2"],
        "listed": True,
        "back": ["active", ["r0", "r1", "r2"]],
    }
    state = "must be in the 'active' state. Current state is deleted."
    assert {name: code for name, (code, _) in refusals.items()} == {
        "written": INVALID,
        "tagged": INVALID,
        "run in it": INVALID,
        "name is taken": EXISTS,
        "twice": MISSING,
        "set": INVALID,
    }
    for name in ("written", "tagged", "run in it"):
        assert refusals[name][1].endswith(state)
    assert "already exists" in refusals["name is taken"][1]


def test_tags_names_and_what_is_refused(told: Told) -> None:
    found = part(told, "tags_and_names")
    refusals = {name: found.pop(name) for name in list(found) if is_refusal(found[name])}
    assert found == {
        "experiment": {"first": "one", "second": "2"},
        "renamed": "tags 2",
        "found": ["tags 2"],
        "like": ["tags 2"],
        "run": ["after", "FAILED", None, "after"],
        "by tag": "third",
        "ended": ["KILLED", 1700000000000],
        "all or none": {"p": "1"},
    }
    assert refusals["no tag"][0] == MISSING
    assert refusals["no tag"][1].split(" in run")[0].endswith("No tag with name: gone")
    assert {refusals[name][0] for name in ("param", "params", "bad key", "dots")} == {INVALID}
    assert "Param with key='p' was already logged with value='1'" in refusals["param"][1]
    changes = "[{'key': 'p', 'old_value': '1', 'new_value': '3'}]"
    assert f"Params were already logged='{changes}'" in refusals["params"][1]
    assert "This name would resolve to '../x'" in refusals["dots"][1]


def test_searching(told: Told) -> None:
    found = part(told, "searching")
    refusals = {name: found.pop(name) for name in list(found) if is_refusal(found[name])}
    assert {code for code, _ in refusals.values()} == {INVALID}
    assert set(refusals) == {"not", "or", "entity", "order", "too many"}
    assert "at character 17 of" in refusals["or"][1]
    names = [f"s{n}" for n in range(24, 4, -1)]
    assert found == {
        "filtered": ["s23", "s21"],
        "default order": ["s24", "s23", "s22"],
        "status": 5,
        "pages": [names[:7], names[7:14], names[14:]],
        "frame": ["3"],
        "columns": ["metrics.auc", "params.max depth"],
        "like": ["s2", "s20", "s21", "s22", "s23", "s24"],
        "ilike": ["s23", "s21"],
        "unknown experiment": 0,
    }


def test_autolog_of_sklearn(told: Told, is_new: bool) -> None:
    found = part(told, "autologging")
    assert (found["status"], found["max_iter"], found["same"]) == ("FINISHED", "300", True)
    assert "training_accuracy_score" in found["metrics"]
    assert (found["datasets"], found["by dataset"]) == ([["code", ["train"]]], 1)
    assert found["models"] == (1 if is_new else None)
    files = ["estimator.html", "training_confusion_matrix.png"]
    assert found["files"] == (files if is_new else sorted([*files, "model"]))


def test_models_are_registered_and_loaded_by_alias(told: Told) -> None:
    found = part(told, "models")
    refusals = {name: found.pop(name) for name in list(found) if is_refusal(found[name])}
    assert found.pop("predicted") > 0.9
    assert found == {
        "signature": True,
        "models:/iris/1": True,
        "models:/iris/latest": True,
        "of run": True,
        "two": ["2", True, ["champion"], "None", "READY", True],
        "by alias": "2",
        "uri": True,
        "model": ["iris", {"champion": "2"}, ["2"]],
        "registered": "3",
        "one": [{"checked": "yes"}, "the first one"],
        "described": ["flowers", {"team": "risk"}],
        "untagged": [{}, {}],
        "versions": ["3", "2", "1"],
        "of the run": ["2", "3"],
        "found": ["iris"],
        "stage": "Production",
        "staged": ["1"],
        "by stage": True,
        "archived": "Archived",
        "renamed": [{"champion": "2"}, MISSING],
        "deleted": MISSING,
        "gone": MISSING,
    }
    assert {name: code for name, (code, _) in refusals.items()} == {
        "bad stage": INVALID,
        "no alias": INVALID,
        "no version": MISSING,
        "no model": MISSING,
        "again": EXISTS,
        "reserved": INVALID,
        "no champion": INVALID,
    }
    assert "Registered model alias nobody not found" in refusals["no alias"][1]


def test_logged_models(told: Told, is_new: bool) -> None:
    if not is_new:
        assert told["logged_models"] is None
        return
    found = part(told, "logged_models")
    assert found.pop("deleted")[0] == MISSING
    assert found.pop("unknown")[0] == MISSING
    assert "READY" in found.pop("ready")
    assert "PENDING" in found.pop("status")
    # The client adds who made it, and with what.
    found["tags"] = {k: v for k, v in found["tags"].items() if not k.startswith("mlflow.")}
    assert found == {
        "got": ["lm1", {"n": "1"}, "agent", True, [["acc", 0.5, "eval"]]],
        "tags": {"odd": "1", "keep": "2"},
        "params": {"n": "1", "late": "1"},
        "all": ["lm0", "lm1", "lm2"],
        "by metric": ["lm2", "lm1"],
        "by dataset": ["lm2"],
        "by run": 3,
        "by param": ["lm2"],
        "by tag": ["lm0", "lm2"],
        "by id": ["lm2"],
        "files": ["weights.txt"],
        "left": ["lm0", "lm1"],
        "outputs": [[True, 3]],
        "external": "far",
    }


def test_prompts(told: Told, is_new: bool) -> None:
    found = part(told, "prompts")
    assert found.pop("not live") in {INVALID, MISSING}
    more: Told = {}
    if is_new:
        more = {"listed": [1, 2], "tagged": "warm", "team": "x"}
        more |= {"found": ["greet"], "by name": ["greet"]}
    assert found == more | {
        "versions": [1, 2],
        "live": "Good day Bo",
        "first": "Hello {{name}}",
        "models": [],
    }


def test_webhooks(told: Told, is_new: bool) -> None:
    if not is_new:
        assert told["webhooks"] is None
        return
    assert part(told, "webhooks") == {
        "name": "told",
        "events": ["model_version.created"],
        "changed": ["y", "DISABLED"],
        "listed": ["told"],
        "got": "https://example.com/hook",
        "bad": INVALID,
        "left": [],
        "gone": MISSING,
    }


def test_a_script_that_traces_goes_on(told: Told) -> None:
    found = part(told, "tracing")
    assert (found["answer"], found["metric"]) == (3, {"m": 1.0})


def test_what_is_refused_says_so_in_the_words_clients_know(told: Told) -> None:
    found = part(told, "odd_things")
    assert found["experiment 0"] == "Default"
    assert found["no such name"] is None
    assert found["no experiment"] == [MISSING, f"{MISSING}: No Experiment with id=987654 exists"]
    assert found["not a number"][0] == INVALID
    assert found["no run"] == [MISSING, f"{MISSING}: Run with id={'0' * 32} not found"]
    assert (found["short run"][0], found["long param"][0], found["name"][0]) == (
        MISSING,
        INVALID,
        INVALID,
    )


def test_a_file_is_sent_in_parts(client: str, server: MillServer, tmp_path: Path) -> None:
    told = tell(
        client,
        scripts.PARTS,
        server.address,
        tmp_path,
        MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="true",
        MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
        MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20),
    )
    assert part(told, "in_parts") == {"same": True, "size": True}


def test_a_registered_model_is_served_by_mlflow(
    client: str, server: MillServer, told: Told, tmp_path: Path
) -> None:
    del told  # The session registers and stages iris; this adds a version.
    fit = part(tell(client, scripts.FITTING, server.address, tmp_path), "fitting")
    versions = f"{server.address}/api/2.0/mlflow/registered-models/get?name=iris"
    with urllib.request.urlopen(versions) as answer:
        latest = json.load(answer)["registered_model"]["latest_versions"]
    newest = max(int(one["version"]) for one in latest)
    python = python_of(client, "mlflow")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    runner = (
        "import os, sys; os.environ['MLFLOW_TRACKING_URI'] = sys.argv[1]; "
        "os.environ['PATH'] = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']; "
        "from mlflow.cli import cli; cli(sys.argv[2:])"
    )
    words = ["models", "serve", "-m", f"models:/iris/{newest}", "--env-manager", "local"]
    command = [python, "-c", runner, server.address, *words, "-p", str(port), "-h", "127.0.0.1"]
    with serving_tool(command, f"{address}/ping", cwd=tmp_path):
        rows = {"dataframe_split": {key: fit["rows"][key] for key in ("columns", "data")}}
        request = urllib.request.Request(
            f"{address}/invocations",
            json.dumps(rows).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer) == {"predictions": fit["answers"]}


@pytest.fixture(scope="module")
def closed(client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillServer]:
    """A server that asks everybody who he is."""
    with mill_server(tmp_path_factory.mktemp("closed") / "home", []) as server:
        yield server


def ok(server: MillServer, *words: str) -> str:
    """Run a command on the server's home and return what it printed."""
    done = mill(server.home.parent, *words, "--home", str(server.home))
    assert done.code == 0, done.err
    return done.out.strip()


def test_names_and_tokens_open_what_they_may(
    client: str, closed: MillServer, tmp_path: Path
) -> None:
    ok(closed, "user", "create", "vera", "--role", "viewer")
    ok(closed, "user", "create", "edgar", "--role", "editor")
    viewer = ok(closed, "token", "create", "v", "--for", "vera")
    editor = ok(closed, "token", "create", "e", "--for", "edgar")

    def asked(word: str, **more: str) -> Told:
        return tell(client, scripts.ACCESS, closed.address, tmp_path, word, **more)

    basic = {"MLFLOW_TRACKING_USERNAME": "edgar", "MLFLOW_TRACKING_PASSWORD": editor}
    told = asked("by edgar", **basic)
    assert told["writing"] == ["OK", "mine"]
    told = asked("by token", MLFLOW_TRACKING_TOKEN=editor)
    assert told["writing"] == ["OK", "mine"]
    assert told["found"] == ["by edgar", "by token"]

    told = asked("by vera", MLFLOW_TRACKING_TOKEN=viewer)
    assert told["reading"] == ["by token", "by edgar", "Default"]
    code, words = told["writing"]
    assert code == "PERMISSION_DENIED"
    assert "vera" in words
    assert told["found"] == ["by edgar", "by token"]

    for stranger in (
        {},
        {"MLFLOW_TRACKING_TOKEN": "nonsense"},
        {"MLFLOW_TRACKING_USERNAME": "vera", "MLFLOW_TRACKING_PASSWORD": editor},
    ):
        told = asked("by nobody", **stranger)
        assert "401" in json.dumps(told["reading"]) or "UNAUTH" in json.dumps(told["reading"])
        assert "error" in json.dumps(told["found"])
    assert asked("last", **basic)["found"] == ["by edgar", "by token", "last"]


def test_projects_do_not_see_each_other(client: str, closed: MillServer, tmp_path: Path) -> None:
    ok(closed, "project", "create", "north")
    ok(closed, "project", "create", "south")
    ok(closed, "user", "create", "nora", "--role", "editor", "--project", "north")
    north = ok(closed, "token", "create", "n", "--for", "nora", "--project", "north")
    admin = ok(closed, "token", "create", "a", "--project", "south")
    at = {name: f"{closed.address}/projects/{name}" for name in ("north", "south", "default")}

    def asked(word: str, address: str, token: str) -> Told:
        return tell(client, scripts.ACCESS, address, tmp_path, word, MLFLOW_TRACKING_TOKEN=token)

    told = asked("in north", at["north"], north)
    assert (told["writing"], told["found"]) == (["OK", "mine"], ["in north"])
    # A token of one project means that project where the address names none.
    assert asked("still north", closed.address, north)["found"] == ["in north", "still north"]
    told = asked("in south", at["south"], admin)
    assert (told["writing"], told["found"]) == (["OK", "mine"], ["in south"])
    assert told["reading"] == ["Default"]
    for elsewhere in ("south", "default"):
        told = asked("trespassing", at[elsewhere], north)
        assert told["writing"][0] == "PERMISSION_DENIED"
        assert "PERMISSION_DENIED" in json.dumps(told["reading"])
    assert asked("north again", at["north"], north)["found"] == [
        "in north",
        "north again",
        "still north",
    ]


def is_refusal(found: object) -> bool:
    """Tell whether a step told of an error's code and text."""
    match found:
        case [str(code), str()]:
            return re.fullmatch(r"[A-Z_]{7,}", code) is not None
        case _:
            return False
