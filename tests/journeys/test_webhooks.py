"""A server that is killed while it tells a webhook something, and started again."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fixtures.mill_processes import command, environment
from fixtures.mlflow_server import MillServer, mill_server
from fixtures.receivers import WAIT_S, Receiver, receiving
from millwright.cli.processes import read_running
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets

EVENTS = [
    {"entity": "REGISTERED_MODEL", "action": "CREATED"},
    {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"},
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[MillServer]:
    (tmp_path / "millwright.toml").write_text(f'[webhooks]\nallow = ["{receiver.origin}"]\n')
    with mill_server(tmp_path / "home") as server:
        yield server


def post(server: MillServer, path: str, **given: object) -> None:
    """Ask for something on MLflow's routes."""
    address = f"{server.address}/api/2.0/mlflow/{path}"
    answer = httpx.post(address, json=given, trust_env=False)
    assert answer.status_code == 200, answer.text


def wait_for_worker(server: MillServer) -> None:
    """Return once a worker of the server's home has said that it works."""
    until_s = time.monotonic() + WAIT_S
    while not any(one.name.startswith("worker") for one in read_running(server.home / "run")):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_what_a_killed_server_was_telling_is_told_by_the_next(
    server: MillServer, receiver: Receiver
) -> None:
    held = threading.Event()

    def hold() -> None:
        held.wait(WAIT_S)

    post(server, "webhooks", name="tell", url=receiver.url, events=EVENTS, secret="s3cret")
    receiver.hold = hold
    post(server, "registered-models/create", name="churn")
    receiver.wait_for(1)
    # It waits for the answer, and another event has not been looked at.
    post(server, "registered-models/create", name="loans")
    server.kill()
    held.set()
    receiver.hold = None
    server.start()
    again = receiver.wait_for(3)
    names = [one.said["data"]["name"] for one in again]
    assert sorted(names) == ["churn", "churn", "loans"]
    churn = {one.delivery for one in again if one.said["data"]["name"] == "churn"}
    loans = {one.delivery for one in again if one.said["data"]["name"] == "loans"}
    assert (len(churn), len(loans)) == (1, 1), "the same delivery is sent again"
    assert all(one.is_signed_with("s3cret") for one in again)
    time.sleep(1.5)
    assert len(receiver.received) == 3


def test_a_worker_beside_the_server_tells_nothing_twice(
    server: MillServer, receiver: Receiver, tmp_path: Path
) -> None:
    post(server, "webhooks", name="tell", url=receiver.url, events=EVENTS)
    worker = subprocess.Popen(
        command("worker", "--home", str(server.home)),
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_worker(server)
        for number in range(10):
            post(server, "registered-models/create", name=f"m{number}")
        receiver.wait_for(10)
        # Without the server the worker tells alone.
        server.kill()
        home = Home.open(server.home)
        home.door(home.principal(), "default").models.create(name="by hand")
        home.close()
        receiver.wait_for(11)
    finally:
        worker.terminate()
        assert worker.wait(20) == 0
    assert len({one.delivery for one in receiver.received}) == len(receiver.received) == 11
