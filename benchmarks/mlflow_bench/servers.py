"""The servers that are compared, each a process tree of its own, with its CPU and memory."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
STOCK = Path(__file__).parents[2] / ".interop" / "mlflow3" / "bin"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server that answers, and how long it took until it did."""

    name: str
    port: int
    pid: int
    start_s: float

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Return the CPU seconds of the whole tree so far."""
        return sum(_cpu_s(pid) for pid in tree(self.pid))

    def memory_mb(self) -> tuple[float, int]:
        """Return the proportional memory of the tree in MB, and how many processes it has."""
        pids = tree(self.pid)
        return sum(_pss_mb(pid) for pid in pids), len(pids)


@contextmanager
def started(name: str, command: Sequence[str], port: int, *, folder: Path) -> Generator[Server]:
    """Start a server, wait for its first answer, and end its tree."""
    began = time.perf_counter()
    log = (folder / f"{name.replace(' ', '-')}.log").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(port, process, 120)
        yield Server(name, port, process.pid, time.perf_counter() - began)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def ours(port: int, home: Path) -> list[str]:
    """Return the command of our server."""
    mill = str(Path(sys.executable).with_name("mill"))
    return [mill, "--home", str(home), "server", "--open", "--port", str(port)]


def stock(port: int, store: Path, *workers: str) -> list[str]:
    """Return the command of MLflow's server over the same kind of database."""
    return [
        str(STOCK / "mlflow"),
        "server",
        "--backend-store-uri",
        f"sqlite:///{store / 'mlflow.db'}",
        "--artifacts-destination",
        str(store / "artifacts"),
        "--port",
        str(port),
        *workers,
    ]


def null(port: int, *more: str) -> list[str]:
    """Return the command of the server that does nothing."""
    return [sys.executable, str(HERE / "null_server.py"), str(port), *more]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _wait(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"nobody answers on port {port}")
