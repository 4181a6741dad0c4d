"""kill -9 at the server under eight clients that log; no acknowledged point is lost or doubled.

The clients are what MLflow's are on the wire: one connection kept alive, one request at a time,
and again, after a pause, when the connection breaks or the server is not there.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fixtures.mlflow_server import MillServer, mill_server

pytestmark = [pytest.mark.sockets, pytest.mark.storm]

CLIENTS = 8
KILLS = 5
SEED = 1127
PAUSE_S = 0.05
TIMEOUT_S = 30.0
Json = dict[str, Any]


class Client:
    """Logs to a run of its own until it is told to stop; knows what was acknowledged."""

    def __init__(self, server: MillServer, number: int) -> None:
        self._server = server
        self._number = number
        self._connection: http.client.HTTPConnection | None = None
        self._stop = threading.Event()
        self.run = self._post(
            "runs/create",
            experiment_id="0",
            run_name=f"client {number}",
            start_time=1_700_000_000_000,
        )["run"]["info"]["run_id"]
        self.sent: list[tuple[str, float, int]] = []
        """Key, value and step of every point that was ever sent."""
        self.acknowledged: list[tuple[str, float, int]] = []
        self.params: dict[str, str] = {}
        self.again = 0
        self.thread = threading.Thread(target=self._work)

    def stop(self) -> None:
        """Have it end after its present request, which is made until it is acknowledged."""
        self._stop.set()
        self.thread.join()

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read(self, path: str) -> Json:
        """Return what a GET answers."""
        return self._ask("GET", path, None)

    def _work(self) -> None:
        step = 0
        while not self._stop.is_set():
            kind = step % 10
            if kind == 9:
                # A batch, of which all or nothing is kept.
                points = [(f"batch {self._number}", float(n), step * 100 + n) for n in range(50)]
                self._log_batch(points)
            elif kind == 8:
                key, value = f"p{step}", str(step)
                self._post("runs/log-parameter", run_id=self.run, key=key, value=value)
                self.params[key] = value
            else:
                self._log(("loss", step / 7, step))
            step += 1

    def _log(self, point: tuple[str, float, int]) -> None:
        key, value, step = point
        self.sent.append(point)
        self._post(
            "runs/log-metric",
            run_id=self.run,
            key=key,
            value=value,
            step=step,
            timestamp=1_700_000_000_000 + step,
        )
        self.acknowledged.append(point)

    def _log_batch(self, points: list[tuple[str, float, int]]) -> None:
        metrics = [
            {"key": key, "value": value, "step": step, "timestamp": 1_700_000_000_000 + step}
            for key, value, step in points
        ]
        self.sent += points
        self._post("runs/log-batch", run_id=self.run, metrics=metrics)
        self.acknowledged += points

    def _post(self, path: str, **given: object) -> Json:
        return self._ask("POST", path, json.dumps(given).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Json:
        until_s = time.monotonic() + TIMEOUT_S
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(
                        "127.0.0.1", self._server.port, timeout=TIMEOUT_S
                    )
                headers = {"Content-Type": "application/json"}
                self._connection.request(method, f"/api/2.0/mlflow/{path}", body, headers)
                answer = self._connection.getresponse()
                said = answer.read()
                if answer.status == 200:
                    return json.loads(said)
                assert answer.status >= 500, said
            except (OSError, http.client.HTTPException):
                self.close()
            assert time.monotonic() < until_s, "the server stays away"
            self.again += 1
            time.sleep(PAUSE_S)


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with mill_server(tmp_path / "home") as server:
        clients = [Client(server, number) for number in range(CLIENTS)]
        for one in clients:
            one.thread.start()
        away_s: list[float] = []
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 2.0))
            server.kill()
            server.start()
            away_s.append(server.started_in_s)
        time.sleep(0.5)
        for one in clients:
            one.stop()
        # What was acknowledged last is there after one more kill, too.
        server.kill()
        server.start()
        for one in clients:
            check(one)
            one.close()
        points = sum(len(one.acknowledged) for one in clients)
        again = sum(one.again for one in clients)
    sys.stdout.write(
        f"seed {SEED}: {KILLS + 1} kills, {points} points acknowledged, {again} requests made "
        f"again, back after {', '.join(f'{one:.1f}' for one in away_s)} s\n"
    )
    assert again > CLIENTS


def check(client: Client) -> None:
    """See that a run holds what was acknowledged once, and nothing that was never sent."""
    stored: Counter[tuple[str, float, int]] = Counter()
    for key in {point[0] for point in client.sent}:
        token = ""
        while True:
            path = f"metrics/get-history?run_id={client.run}&metric_key={key.replace(' ', '%20')}"
            found = client.read(f"{path}&max_results=25000&page_token={token}")
            stored.update((key, one["value"], one["step"]) for one in found.get("metrics", []))
            token = found.get("next_page_token", "")
            if not token:
                break
    assert stored == Counter(client.acknowledged)
    assert len(client.acknowledged) == len(set(client.acknowledged))
    run = client.read(f"runs/get?run_id={client.run}")["run"]
    params = {one["key"]: one["value"] for one in run["data"].get("params", [])}
    assert params == client.params
