"""The tracking server against stock `mlflow server` and against the limits, in one run.

An unmodified MLflow client, and raw HTTP where its own part would hide ours, against: our server;
stock with one worker and with its default; and a server that answers at once and does nothing
(the limit). Stock's default stalls 44 ms an answer, so that each time the better of its two
figures is the one to compare with. All servers run on SQLite on the same disk, one after another.

    python benchmarks/mlflow_tracking.py [--seconds 3] [--runs 10000] [--more 100000,1000000]
                                         [--skip-default]

Needs MLflow in `.interop/mlflow3` (make interop sets it up); without it says so and ends.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from mlflow_bench import filling, servers
from mlflow_bench.servers import Server

SEARCHES: dict[str, dict[str, object]] = {
    "search, filtered and ordered, 100 of": {
        "filter": "metrics.m1 > 0.5 and params.p1 = 'y'",
        "order_by": ["metrics.m1 DESC"],
        "max_results": 100,
    },
    "best run of": {"order_by": ["metrics.m1 DESC"], "max_results": 1},
    "first page of 100 of": {"max_results": 100},
}


@dataclass
class Figures:
    """What was measured of one server, by name."""

    name: str
    values: dict[str, float] = field(default_factory=dict[str, float])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--more", default="")
    parser.add_argument("--skip-default", action="store_true")
    given = parser.parse_args()
    if not (servers.STOCK / "mlflow").exists():
        print("MLflow is not installed in .interop/mlflow3: make interop; nothing was measured")
        return
    with tempfile.TemporaryDirectory(prefix="mill-bench-") as name:
        folder = Path(name)
        mine, page = measure_ours(folder, given.seconds, given.runs)
        limit = measure_null(folder, given.seconds, page)
        one = measure_stock(folder, given.seconds, given.runs, "--workers", "1")
        default = None if given.skip_default else measure_stock(folder, given.seconds, given.runs)
        larger = [int(part) for part in given.more.split(",") if part]
        more = [measure_larger(folder, count) for count in larger]
    print_table(mine, one, default, limit)
    for figures in more:
        for what, value in figures.values.items():
            print(f"{what:52s} {value:10.1f}")


def measure_ours(folder: Path, seconds: float, runs: int) -> tuple[Figures, bytes]:
    """Measure our server; return a page of history too, which the limit sends as well."""
    home = folder / "home"
    experiment = filling.fill_ours(home, runs)
    port = servers.free_port()
    figures = Figures("ours")
    with servers.started("ours", servers.ours(port, home), port, folder=folder) as server:
        page = measure(server, figures, seconds, experiment, runs)
    return figures, page


def measure_stock(folder: Path, seconds: float, runs: int, *workers: str) -> Figures:
    """Measure stock's server."""
    store = folder / "stock"
    name = "stock, 1 worker" if workers else "stock, default"
    port = servers.free_port()
    command = servers.stock(port, store, *workers)
    if not (store / "mlflow.db").exists():
        store.mkdir()
        # Its first start makes the tables; that is not counted.
        with servers.started("first start", command, port, folder=folder):
            pass
        filling.fill_stock(store, runs)
    figures = Figures(name)
    with servers.started(name, command, port, folder=folder) as server:
        measure(server, figures, seconds, "1", runs)
    return figures


def measure_null(folder: Path, seconds: float, page: bytes) -> Figures:
    """Measure the client and HTTP alone, and a history whose pages are this one of ours."""
    answers = folder / "answers.json"
    answers.write_text(json.dumps({"get-history": page.decode()}))
    port = servers.free_port()
    figures = Figures("limit")
    command = servers.null(port, str(answers))
    with servers.started("limit", command, port, folder=folder) as server:
        for work in ("log_metric", "log_batch", "whole_run"):
            figures.values[work] = client(server, work, seconds)["per_s"]
        figures.values["whole_run x8"] = eight_clients(server, seconds)
        figures.values["raw 1"] = raw_posts(server, 1, seconds)
        figures.values["raw 8"] = raw_posts(server, 8, seconds)
        figures.values["history, raw"], _ = history(server)
    return figures


def measure_larger(folder: Path, runs: int) -> Figures:
    """Measure the searches alone over more runs; stock takes minutes for each."""
    home = folder / f"home-{runs}"
    experiment = filling.fill_ours(home, runs)
    port = servers.free_port()
    figures = Figures(f"ours, {runs:,} runs")
    with servers.started("larger", servers.ours(port, home), port, folder=folder) as server:
        for what, body in SEARCHES.items():
            figures.values[f"{what} {runs:,} runs, ms"] = search(server, experiment, body)
        figures.values[f"memory with {runs:,} runs, MB"] = server.memory_mb()[0]
    return figures


def measure(server: Server, figures: Figures, seconds: float, experiment: str, runs: int) -> bytes:
    """Do all that is compared against one server; return the first page of its history."""
    values = figures.values
    values["start, s"] = server.start_s
    time.sleep(2)
    memory, processes = server.memory_mb()
    values["idle, MB"], values["processes"] = memory, float(processes)
    for what, body in SEARCHES.items():
        values[f"{what} {runs:,} runs, ms"] = search(server, experiment, body)
    values["history, raw"], page = history(server)
    values["history, client"] = client(server, "history", 0, filling.LONG_RUN)["seconds"]
    for work in ("log_metric", "log_batch", "whole_run"):
        values[work] = client(server, work, seconds)["per_s"]
    values["whole_run x8"] = eight_clients(server, seconds)
    before = server.cpu_s()
    values["raw 1"] = raw_posts(server, 1, seconds)
    values["server CPU a log-metric, ms"] = (
        (server.cpu_s() - before) / (values["raw 1"] * seconds) * 1000
    )
    values["raw 8"] = raw_posts(server, 8, seconds)
    values["after, MB"] = server.memory_mb()[0]
    return page


def client(server: Server, work: str, seconds: float, *more: str) -> dict[str, float]:
    """Return what the real client measured."""
    script = str(servers.HERE / "client.py")
    command = [str(servers.STOCK / "python"), script, server.url, work, str(seconds), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the client failed on {work}:\n{done.stderr[-2000:]}")
    return cast("dict[str, float]", json.loads(done.stdout.strip().splitlines()[-1]))


def eight_clients(server: Server, seconds: float) -> float:
    """Return the whole runs a second of eight clients together."""
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda: found.append(client(server, "whole_run", seconds)["per_s"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found)


def raw_posts(server: Server, connections: int, seconds: float) -> float:
    """Return the log-metric requests a second over that many connections kept open."""
    with asking(server) as ask:
        experiment = json.loads(
            ask("POST", "experiments/create", {"name": f"raw-{time.time_ns()}"})
        )["experiment_id"]
        made = json.loads(ask("POST", "runs/create", {"experiment_id": experiment}))
    run = made["run"]["info"]["run_id"]
    counts = [0] * connections

    def post(number: int) -> None:
        with asking(server) as ask:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                step = counts[number]
                body = {
                    "run_id": run,
                    "run_uuid": run,
                    "key": f"m{number}",
                    "value": step * 0.5,
                    "timestamp": 1_700_000_000_000 + step,
                    "step": step,
                }
                ask("POST", "runs/log-metric", body)
                counts[number] += 1

    threads = [threading.Thread(target=post, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def search(server: Server, experiment: str, body: dict[str, object]) -> float:
    """Return the median milliseconds of a search by raw HTTP."""
    times: list[float] = []
    with asking(server) as ask:
        for _ in range(7):
            began = time.perf_counter()
            ask("POST", "runs/search", {"experiment_ids": [experiment], **body})
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def history(server: Server) -> tuple[float, bytes]:
    """Return the median seconds of reading 100,000 points by raw HTTP, and the first page.

    They are read in the client's four pages.
    """
    times: list[float] = []
    pages: list[bytes] = []
    with asking(server) as ask:
        for _ in range(5):
            began, token = time.perf_counter(), ""
            pages.clear()
            while len(pages) < 4:
                page = "&page_token=" + token if token else ""
                query = f"run_id={filling.LONG_RUN}&metric_key=long&max_results=25000{page}"
                pages.append(ask("GET", f"metrics/get-history?{query}", None))
                token = str(json.loads(pages[-1]).get("next_page_token", ""))
            times.append(time.perf_counter() - began)
    return statistics.median(times), pages[0]


@contextmanager
def asking(server: Server) -> Generator[Ask]:
    """Open a connection that is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        yield Ask(connection)
    finally:
        connection.close()


@dataclass(frozen=True)
class Ask:
    """A connection of MLflow's protocol."""

    connection: http.client.HTTPConnection

    def __call__(self, method: str, path: str, body: object) -> bytes:
        """Return the answer's body; ends the benchmark when it is an error."""
        sent = None if body is None else json.dumps(body)
        self.connection.request(
            method, f"/api/2.0/mlflow/{path}", sent, {"Content-Type": "application/json"}
        )
        answer = self.connection.getresponse()
        read = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {read[:500]!r}")
        return read


LOWER_IS_BETTER = (", ms", ", s", "history", "MB", "processes")


def print_table(mine: Figures, one: Figures, default: Figures | None, limit: Figures) -> None:
    """Print every figure of every server, and ours against the better of stock's."""
    head = ("", "ours", "stock -w1", "stock", "limit", "x stock", "x limit")
    print(f"{head[0]:46s}" + "".join(f"{column:>12s}" for column in head[1:]))
    for what, value in mine.values.items():
        lower = any(mark in what for mark in LOWER_IS_BETTER)
        theirs = [
            figures.values[what]
            for figures in (one, default)
            if figures is not None and what in figures.values
        ]
        best = (min if lower else max)(theirs) if theirs else None
        bound = limit.values.get(what)
        ratio = None if best is None else (best / value if lower else value / best)
        share = None if bound is None else (value / bound)
        cells = [
            value,
            one.values.get(what),
            None if default is None else default.values.get(what),
            bound,
            ratio,
            share,
        ]
        print(f"{what:46s}" + "".join(_cell(cell) for cell in cells))


def _cell(value: float | None) -> str:
    return f"{'':>12s}" if value is None else f"{value:12.4g}"


if __name__ == "__main__":
    main()
