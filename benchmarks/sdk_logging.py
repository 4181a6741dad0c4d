"""What logging costs a training loop, and how many points a second arrive.

    python benchmarks/sdk_logging.py [--points 200000] [--runs 20]

Limits, in the same run: appending a tuple to a list, for a call; inserting the same points into
one lean SQLite table, a thousand in a transaction, for what arrives. Ratios are ours divided by
the limit for times, and the limit divided by ours for rates: 1.0 is the limit itself. The
server runs in a process of its own. System metrics and the console are off in the loops.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import multiprocessing.connection
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from millwright.core.clock import SystemClock
from millwright.sdk.active import ActiveRun
from millwright.sdk.calls import log_metric
from millwright.sdk.current import Options, start_in
from millwright.server.process import make_server
from millwright.workspace.config import Config, load_config
from millwright.workspace.open import Home

QUIET = Options(console=False, system=False)
SPACED_CALLS = 3000
WORK_S = 0.0005
A_MINUTE_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "project").mkdir()
        embedded = load_config(environment={}, folder=folder / "project")
        (folder / "remote").mkdir()
        (folder / "away").mkdir()
        away = load_config(environment={}, folder=folder / "away", url="http://127.0.0.1:9")
        with server(folder / "home") as url:
            remote = load_config(environment={}, folder=folder / "remote", url=url)
            ways = {"embedded": embedded, "over HTTP": remote, "server away": away}
            calls(ways)
            arrivals(ways, options.points, folder)
            whole_runs({"embedded": embedded, "over HTTP": remote}, options.runs)


def calls(ways: dict[str, Config]) -> None:
    """Time single calls in a loop that works half a millisecond between them."""
    print(f"one call, {SPACED_CALLS} of them with {WORK_S * 1e3:g} ms of work between")
    kept: list[tuple[str, float, int, int]] = []
    append = kept.append
    limit = spaced(lambda step: append(("loss", 0.5, step, 1)))
    report_call("list.append of a tuple", limit, limit)
    for way, config in ways.items():
        with silent(), start_in(config, "calls", options=QUIET) as run:
            method = spaced(lambda step, run=run: run.log_metric("loss", 0.5, step=step))
            call = spaced(lambda step: log_metric("loss", 0.5, step=step))
        report_call(f"run.log_metric, {way}", method, limit)
        report_call(f"mw.log_metric, {way}", call, limit)


def spaced(action: Callable[[int], object]) -> list[float]:
    took: list[float] = []
    for step in range(SPACED_CALLS):
        busy_until = time.perf_counter() + WORK_S
        while time.perf_counter() < busy_until:
            pass
        began = time.perf_counter()
        action(step)
        took.append(time.perf_counter() - began)
    return took


def report_call(label: str, took: list[float], limit: list[float]) -> None:
    middle = statistics.median(took)
    late = statistics.quantiles(took, n=100)[98]
    print(
        f"  {label:32} median {middle * 1e6:6.2f} us  mean {statistics.mean(took) * 1e6:6.2f} us  "
        f"p99 {late * 1e6:7.2f} us  ratio {middle / statistics.median(limit):5.1f}"
    )


def arrivals(ways: dict[str, Config], points: int, folder: Path) -> None:
    """Time a tight loop of calls, and until all of it has arrived."""
    print(f"{points} points in a tight loop")
    appended: list[tuple[str, float, int, int]] = []
    append = appended.append
    began = time.perf_counter()
    for step in range(points):
        append(("loss", 0.5, step, 1))
    append_s = time.perf_counter() - began
    raw_s = raw_sqlite(folder / "raw.db", points)
    print(f"  {'list.append':24} {append_s / points * 1e6:6.2f} us a call")
    print(f"  {'raw SQLite, lean table':24} {'':21} {points / raw_s:9.0f} points/s arrived")
    for way, config in ways.items():
        with silent(), start_in(config, "arrivals", options=QUIET) as run:
            began, busy_s = time.perf_counter(), time.thread_time()
            log_all(run, points)
            busy_s = time.thread_time() - busy_s
            logged_s = time.perf_counter() - began
            arrived = run.flush(A_MINUTE_S)
            whole_s = time.perf_counter() - began
        cost = f"{logged_s / points * 1e6:6.2f} us a call (ratio {logged_s / append_s:4.1f})"
        cost += f", {busy_s / points * 1e6:5.2f} us of processor"
        kind = "arrived" if arrived else "on disk"
        print(
            f"  {way:24} {cost}  {points / logged_s:9.0f} accepted/s  "
            f"{points / whole_s:9.0f} points/s {kind}, ratio to SQLite {whole_s / raw_s:5.1f}"
        )


def log_all(run: ActiveRun, points: int) -> None:
    for step in range(points):
        run.log_metric("loss", 0.5, step=step)


def raw_sqlite(path: Path, points: int) -> float:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("PRAGMA synchronous = normal")
        database.execute(
            "CREATE TABLE point (run INTEGER, key INTEGER, step INTEGER, time INTEGER, "
            "value REAL, PRIMARY KEY (run, key, step, time)) WITHOUT ROWID"
        )
        began = time.perf_counter()
        for first in range(0, points, 1000):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO point VALUES (1, 1, ?, 1, 0.5)",
                [(step,) for step in range(first, min(first + 1000, points))],
            )
            database.execute("COMMIT")
        return time.perf_counter() - began


def whole_runs(ways: dict[str, Config], count: int) -> None:
    """Time runs of ten parameters and ten metrics, one call each."""
    print("a run with 10 parameters and 10 metrics, one call each, source and packages recorded")
    for way, config in ways.items():
        took: list[float] = []
        for _ in range(count):
            began = time.perf_counter()
            with start_in(config, "whole", options=QUIET) as run:
                for number in range(10):
                    run.log_param(f"p{number}", number)
                    run.log_metric(f"m{number}", number / 10)
            took.append(time.perf_counter() - began)
        middle = statistics.median(took)
        print(f"  {way:24} {middle * 1e3:7.1f} ms a run  {1 / middle:6.1f} runs/s")


@contextlib.contextmanager
def server(home: Path) -> Generator[str]:
    """Serve a home from a process of its own, and yield its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(home, theirs))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def serve(home: Path, channel: multiprocessing.connection.Connection) -> None:
    opened = Home.create(home)
    made = make_server(
        opened, clock=SystemClock(), address="127.0.0.1", port=0, open_on_loopback=True
    )
    sock = made.config.bind_socket()
    sock.listen()
    channel.send(sock.getsockname()[1])
    made.run(sockets=[sock])


@contextlib.contextmanager
def silent() -> Generator[None]:
    """Keep the words about a server that is away out of the table."""
    with tempfile.TemporaryFile("w") as nowhere:
        before, sys.stderr = sys.stderr, nowhere
        try:
            yield
        finally:
            sys.stderr = before


if __name__ == "__main__":
    main()
