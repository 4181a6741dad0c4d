"""What each process can do without: packages that are refused, as if they were not installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from contracts.house import TESTS
from fixtures.example_host import serving
from fixtures.serving import wait_until
from millwright.doors.door import Door
from millwright.governance.policy import Policy
from millwright.registry.package import load_package, write_package
from millwright.server.host import Host
from millwright.workspace.open import Home

STORES = ("sqlite3", "psycopg", "sqlalchemy", "alembic")
FRAMES = ("polars", "pyarrow", "pandas")
COMPUTING = ("numpy", "sklearn", "onnx", "onnxruntime", "skl2onnx", "skops")
SERVERS = ("litestar", "uvicorn", "uvloop", "httptools")

REFUSING = """
import sys
sys.path.insert(0, {tests!r})
from fixtures.refusing import refuse
refuse(*{refused!r})
"""

LIGHT = """
def forbid(event, arguments):
    if event in ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "subprocess.Popen"):
        raise RuntimeError(f"{event} at import")
sys.addaudithook(forbid)
import importlib, pkgutil
import millwright
from millwright.cli.main import NOUNS, load_app
for room in ("client", "sdk"):
    package = importlib.import_module(f"millwright.{room}")
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
for noun in (noun for nouns in NOUNS.values() for noun in nouns):
    load_app(noun)
assert millwright.start_run and millwright.load_model and millwright.Client
assert millwright.Workspace and millwright.step and millwright.pipeline
"""

SCRIPT = """
import millwright as mw
with mw.start_run("remote", params={"max_depth": 3}) as run:
    mw.log_metrics({"auc": 0.9})
    mw.log_artifact(__file__)
print(run.id)
"""

SERVE = """
import runpy
sys.argv = ["mill", *{arguments!r}]
runpy.run_module("millwright", run_name="__main__")
"""


def python(code: str, *refused: str) -> list[str]:
    """Return the command of a process that runs code without the refused packages."""
    return [sys.executable, "-c", REFUSING.format(tests=str(TESTS), refused=refused) + code]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    # What is asked here is what a process needs to run, not what a gate says.
    policy = Policy(needs_gate=False)
    home = Home.create(tmp_path_factory.mktemp("home") / "home", policy=policy)
    yield home
    home.close()


@pytest.fixture(scope="module")
def door(home: Home) -> Door:
    return cast("Door", home.door(home.local_principal(), "default"))


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serving(cast("Host", home), open_on_loopback=True) as address:
        yield address


def test_a_refused_package_is_not_there() -> None:
    done = subprocess.run(
        python("import polars", *FRAMES), capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError: polars is refused here" in done.stderr


def test_client_sdk_and_command_line_need_nothing_compiled_for_linux_alone() -> None:
    # The embedded door needs sqlite3, which every Python brings.
    refused = ("psycopg", "sqlalchemy", "alembic", *FRAMES, *COMPUTING, *SERVERS)
    done = subprocess.run(python(LIGHT, *refused), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.sockets
def test_a_script_logs_to_a_server_without_them(address: str, door: Door, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    refused = (*STORES, *FRAMES, *COMPUTING, *SERVERS, "fcntl")
    code = f"import runpy; runpy.run_path({str(script)!r})"
    done = subprocess.run(
        python(code, *refused),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MILLWRIGHT_URL": address},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = door.runs.show(ref=done.stdout.strip())
    assert (run.status, run.metrics, run.params) == ("finished", {"auc": 0.9}, {"max_depth": "3"})
    assert run.source.code_digest is not None
    assert [link.name for link in run.links] == ["script.py"]


@pytest.mark.sockets
def test_the_command_line_asks_a_server_without_them(address: str, tmp_path: Path) -> None:
    refused = (*STORES, *FRAMES, *COMPUTING, *SERVERS, "fcntl")
    arguments = ["--url", address, "--json", "status"]
    done = subprocess.run(
        python(SERVE.format(arguments=arguments), *refused),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["project"] == "default"


@contextmanager
def mill_serve(address: str, state: Path) -> Generator[str]:
    """Run `mill serve` without stores, frames and framework, and yield its address."""
    arguments = ["--url", address, "serve", "--port", "0", "--state", str(state)]
    process = subprocess.Popen(
        python(SERVE.format(arguments=arguments), *STORES, *FRAMES, "litestar"),
        stderr=subprocess.PIPE,
        text=True,
        cwd=state.parent,
        env={},
    )
    assert process.stderr is not None
    said: list[str] = []
    with process.stderr:
        try:
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"serving: (http://\S+)/v2", line):
                    yield found[1]
                    break
            else:
                raise AssertionError("".join(said))
        finally:
            process.terminate()
            said += process.stderr.readlines()
            code = process.wait(30)
    assert code == 0, "".join(said)


@pytest.mark.sockets
def test_mill_serve_answers_without_database_frames_or_framework(
    address: str, door: Door, tmp_path: Path
) -> None:
    rows = {"a": np.array([0.0, 1.0, 2.0, 3.0] * 50), "b": np.array([1.0, 0.0] * 100)}
    model = LogisticRegression().fit(np.stack(list(rows.values()), axis=1), rows["a"] > 1)
    (tmp_path / "package").mkdir()
    write_package(model, example=rows, folder=tmp_path / "package", now_us=0)
    door.models.create(name="churn")
    digest = door.artifacts.put_folder(tmp_path / "package")
    door.models.register(name="churn", package_digest=digest)
    door.models.promote(ref="churn@v1")
    door.deployments.create(name="churn", model="churn@v1")
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [4], "data": values[:4].tolist()}
        for name, values in rows.items()
    ]
    with (
        mill_serve(address, tmp_path / "state") as serving_address,
        httpx.Client(base_url=serving_address, trust_env=False) as http,
    ):
        wait_until(lambda: http.get("/v2/models/churn/ready").status_code == 200)
        answer = http.post("/v2/models/churn/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    expected = load_package(tmp_path / "package").predict(
        {name: values[:4] for name, values in rows.items()}
    )
    assert outputs == {name: values.tolist() for name, values in expected.items()}
    # It has stopped, and what it answered is anchored.
    sealed = door.audit.events(kind="SegmentSealed")
    assert len(sealed) == 1
