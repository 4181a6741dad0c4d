"""The control plane and the worker are killed for ten seconds, under load; nothing is missed."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.demos import segment_rows
from fixtures.mill_processes import ask, command, environment, mill

pytestmark = [pytest.mark.sockets, pytest.mark.storm]

AWAY_S = 10.0
PAUSE_S = 0.005
END_S = 60.0
Record = dict[str, Any]


class Load:
    """One caller that asks without end, and the decisions it was answered with."""

    def __init__(self, address: str, body: Record) -> None:
        self.answered: list[str] = []
        self.failures: list[str] = []
        self._http = httpx.Client(base_url=address, trust_env=False)
        self._body = body
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._stop.wait(PAUSE_S):
            answer = self._http.post("/v2/models/demo/infer", json=self._body)
            if answer.status_code == 200:
                self.answered.append(answer.json()["id"])
            else:
                self.failures.append(answer.text)

    @contextmanager
    def running(self) -> Generator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()


@contextmanager
def started(folder: Path, *words: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a process of the project; yield it and the first line it says."""
    process = subprocess.Popen(
        command(*words),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline()
    finally:
        process.terminate()
        process.wait(END_S)
        process.stderr.close()


def test_answers_go_on_and_are_accounted_for(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = mill(tmp_path, "demo", "--json", "--home", str(folder), timeout_s=240)
    assert told.code == 0, told.err
    decision = told.record(Record)["decision"]["id"]
    before = {row.leaf.id for row in segment_rows(folder)}
    inputs: Record = ask(folder, Record, "decision", "show", decision)["decision"]["inputs"]
    body = {
        "inputs": [
            {"name": name, "datatype": "FP64", "shape": [1], "data": [value]}
            for name, value in inputs.items()
        ]
    }
    with started(folder, "server", "--open") as (server, said):
        url = said.split()[-1]
        again = ("server", "--open", "--port", url.rpartition(":")[2])
        with (
            started(folder, "worker") as (worker, _),
            started(folder, "serve", "--url", url) as (serve, serving),
        ):
            load = Load(serving.split()[-1].removesuffix("/v2"), body)
            with load.running():
                time.sleep(2.0)
                for process in (server, worker):
                    process.kill()
                    process.wait(END_S)
                answered = len(load.answered)
                time.sleep(AWAY_S)
                assert len(load.answered) > answered + 100
                with started(folder, *again) as (_, back):
                    assert back.split()[-1] == url
                    time.sleep(2.0)
                    # Told to stop, it hands over what is left.
                    load.stop()
                    serve.terminate()
                    assert serve.wait(END_S) == 0
    assert load.failures == []
    sealed = [row.leaf.id for row in segment_rows(folder)]
    assert len(sealed) == len(set(sealed))
    assert set(sealed) - before == set(load.answered)
    verified = mill(folder, "audit", "verify", "--against", "checkpoint.txt")
    assert verified.code == 0, verified.out + verified.err
