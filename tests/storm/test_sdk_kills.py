"""A script logs while its server is killed again and again, and is killed itself."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from fixtures.mill_processes import command, environment
from fixtures.serving import wait_until
from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.sdk.syncing import sync_spool
from millwright.workspace.config import load_config
from millwright.workspace.open import Home

pytestmark = [pytest.mark.sockets, pytest.mark.storm]

POINTS = 20_000
KILLS = 6
END_S = 120.0

SCRIPT = """
import sys, time
import millwright as mw
points, pace_s, kill = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "kill"
run = mw.start_run("storm", params={"depth": 3}, system_metrics=False)
print(run.id, flush=True)
for step in range(points):
    mw.log_metric("loss", step / 2, step=step)
    mw.set_tag("last", step)
    if step % 100 == 0:
        time.sleep(pace_s)
    if step % 5000 == 0:
        mw.log_text(str(step), f"notes/{step}.txt")
if kill:
    import os, signal
    mw.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return cast("int", free.getsockname()[1])


@contextmanager
def server(home: Path, port: int) -> Generator[subprocess.Popen[bytes]]:
    """Run `mill server` until the block ends, or somebody kills it."""
    process = subprocess.Popen(
        command("--home", str(home), "server", "--open", "--port", str(port)),
        cwd=home.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(port))
        yield process
    finally:
        process.kill()
        process.wait(END_S)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def script(folder: Path, port: int, *, pace_s: float, end: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(POINTS), str(pace_s), end],
        cwd=folder,
        env=environment() | {"MILLWRIGHT_URL": f"http://127.0.0.1:{port}"},
        stdout=subprocess.PIPE,
        text=True,
    )


def storm(home: Path, port: int, process: subprocess.Popen[str], seed: int) -> None:
    """Kill the server again and again while the process works."""
    chance = random.Random(seed)
    for _ in range(KILLS):
        with server(home, port) as served:
            time.sleep(chance.uniform(0.2, 1.5))
            served.send_signal(signal.SIGKILL)
            served.wait(END_S)
        time.sleep(chance.uniform(0.0, 1.0))
        if process.poll() is not None:
            return


def check(home: Path, run_id: str, status: str) -> Run:
    opened = Home.open(home)
    try:
        door = cast("Door", opened.door(opened.local_principal(), "default"))
        run = door.runs.show(ref=run_id)
        history = door.runs.history(ref=run_id, key="loss")
        assert sorted(point.step for point in history) == list(range(POINTS))
        assert all(point.value == point.step / 2 for point in history)
        assert (run.status, run.params) == (status, {"depth": "3"})
        assert run.tags["last"] == str(POINTS - 1)
        assert {link.name for link in run.links if link.what == "artifact"} >= {
            f"notes/{step}.txt" for step in range(0, POINTS, 5000)
        }
        return run
    finally:
        opened.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_is_killed_again_and_again_misses_nothing(seed: int, tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    Home.create(home).close()
    (tmp_path / "project").mkdir()
    with script(tmp_path / "project", port, pace_s=0.04, end="end") as process:
        assert process.stdout is not None
        storm(home, port, process, seed)
        with server(home, port):
            run = process.stdout.readline().strip()
            assert process.wait(END_S) == 0
            config = load_config(
                environment={}, folder=tmp_path / "project", url=f"http://127.0.0.1:{port}"
            )
            # What was left when the script ended, if anything was, goes the way of the next run.
            sync_spool(config)
    check(home, run, "finished")
    assert not (tmp_path / "project" / ".millwright" / "spool").exists()


def test_a_script_that_is_killed_too_loses_nothing_that_was_spooled(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    Home.create(home).close()
    (tmp_path / "project").mkdir()
    with script(tmp_path / "project", port, pace_s=0.02, end="kill") as process:
        assert process.stdout is not None
        storm(home, port, process, 3)
        run = process.stdout.readline().strip()
        assert process.wait(END_S) == -signal.SIGKILL
    config = load_config(
        environment={}, folder=tmp_path / "project", url=f"http://127.0.0.1:{port}"
    )
    for _ in range(3):
        # Those who send it are killed as well.
        with server(home, port) as served:
            sender = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import millwright as mw; mw.sync_spool(mw.find_config())",
                ],
                cwd=tmp_path / "project",
                env=environment() | {"MILLWRIGHT_URL": f"http://127.0.0.1:{port}"},
            )
            time.sleep(0.6)
            sender.kill()
            sender.wait(END_S)
            served.kill()
    with server(home, port):
        wait_until(lambda: sync_spool(config).waiting == {})
    check(home, run, "running")
