"""`mill up` and `mill demo --keep` as a person at a terminal has them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fixtures.mill_processes import command, environment, mill, processes_of

pytestmark = pytest.mark.sockets

START_S = 30.0
STOP_S = 30.0
ROLES = ["serve", "server", "up", "worker"]


@dataclass
class Up:
    """A running `mill up`, and what it has said so far."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list[str])

    def wait_for(self, words: str) -> str:
        """Return the line that holds the words, once it is said."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for line in list(self.said):
                if words in line:
                    return line
            assert self.process.poll() is None, "".join(self.said)
            time.sleep(0.02)
        raise AssertionError(f"{words!r} was not said: {''.join(self.said)}")

    def address(self, name: str) -> str:
        """Return where `control plane` or `serving` answers."""
        found = re.search(r"http://[\w.:]+", self.wait_for(name))
        assert found is not None
        return found[0]

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_S)


@contextmanager
def running(folder: Path, *options: str) -> Generator[Up]:
    """Run `mill up` in a folder while the block runs."""
    process = subprocess.Popen(
        command("up", *options),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    up = Up(process)

    def listen() -> None:
        assert process.stderr is not None
        with process.stderr:
            up.said.extend(iter(process.stderr.readline, ""))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield up
    finally:
        process.kill()
        process.wait()
        listener.join(timeout=STOP_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    assert mill(folder, "init").code == 0
    return folder


@pytest.fixture
def taken() -> Generator[int]:
    """A port that somebody listens on."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy.getsockname()[1]


def test_everything_answers_and_drains_when_asked_to_end(folder: Path) -> None:
    with running(folder) as up:
        control, serving = up.address("control plane"), up.address("serving")
        up.wait_for("Ctrl-C")
        assert sorted(one.role for one in processes_of(folder)) == ROLES
        for url in (f"{control}/health", f"{serving}/v2/health/ready", f"{control}/"):
            assert httpx.get(url).status_code == 200, url
        beside = mill(folder, "status", "--json")
        assert beside.code == 0, beside.err
        over_http = mill(folder, "--url", control, "status", "--json")
        assert over_http.code == 0, over_http.err
        assert over_http.record(dict[str, Any])["home"] == beside.record(dict[str, Any])["home"]
        assert up.stop() == 0
        assert processes_of(folder) == []
        assert list((folder / ".millwright/run").iterdir()) == []


def test_a_second_one_on_the_same_home_is_refused_and_the_first_goes_on(folder: Path) -> None:
    with running(folder) as up:
        control = up.address("control plane")
        up.wait_for("Ctrl-C")
        second = mill(folder, "up")
        assert second.code == 6, second.err
        assert "runs already" in second.err
        assert control in second.err
        assert httpx.get(f"{control}/health").status_code == 200
        assert sorted(one.role for one in processes_of(folder)) == ROLES
        assert up.stop() == 0


def test_a_port_in_use_gives_way_to_the_next_which_is_named(folder: Path, taken: int) -> None:
    with running(folder, "--port", str(taken), "--serving-port", str(taken)) as up:
        control, serving = up.address("control plane"), up.address("serving")
        ports = [urlsplit(url).port or 0 for url in (control, serving)]
        assert all(port > taken for port in ports)
        assert len({taken, *ports}) == 3
        assert httpx.get(f"{control}/health").status_code == 200
        assert f"port {taken} is busy; server took {ports[0]}\n" in up.said
        assert up.stop() == 0


def test_a_killed_one_takes_its_processes_with_it(folder: Path) -> None:
    with running(folder) as up:
        up.wait_for("Ctrl-C")
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        deadline = time.monotonic() + STOP_S
        while processes_of(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(folder) == []
    with running(folder) as again:
        assert httpx.get(f"{again.address('control plane')}/health").status_code == 200
        assert again.stop() == 0


def test_where_there_is_no_home_nothing_is_started(tmp_path: Path) -> None:
    done = mill(tmp_path, "up")
    assert done.code == 3, done.err
    assert "mill init" in done.err
    assert processes_of(tmp_path) == []
