"""How fast foreign runs are read, brought in with every comparison, passed over, and exported.

    python benchmarks/importing.py [--points 200000] [--runs 400]

Limits, in the same run: splitting the same event file into its records without looking at
them; reading the same rows of the same SQLite file; inserting as many points into one lean
SQLite table, a thousand in a transaction. A ratio is the limit's rate divided by ours.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from millwright.doors.door import Door
from millwright.sdk.exporting import export_tensorboard
from millwright.sdk.importing import import_all
from millwright.tracking.sources import events
from millwright.tracking.sources.eventfile import frame
from millwright.tracking.sources.found import FoundRun, Source
from millwright.tracking.sources.mlflow_sql import MlflowDatabase
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home

START_S = 1_790_000_000.0
METRICS = 10
TABLES = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, lifecycle_stage TEXT);
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, user_id TEXT, status TEXT,
    start_time BIGINT, end_time BIGINT, lifecycle_stage TEXT, artifact_uri TEXT,
    experiment_id INTEGER);
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT,
    is_nan BOOLEAN);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
CREATE INDEX metrics_by_run ON metrics (run_uuid);
CREATE INDEX params_by_run ON params (run_uuid);
CREATE INDEX tags_by_run ON tags (run_uuid);
INSERT INTO experiments VALUES (1, 'bench', 'active');
"""
"""Those of MLflow that a run's data lie in."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=400)
    options = parser.parse_args()
    points: int = options.points
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        event_file = write_events(folder / "logs" / "run", points)
        database = write_store(folder / "mlflow.db", runs=options.runs, points=points)
        raw = points / timed(lambda: insert(folder / "raw.db", points))
        print(f"{points} points; raw SQLite, lean table: {raw:.0f} points/s")

        split = points / timed(lambda: split_records(event_file))
        report("split the event file", split, None)
        logdir = TensorBoard(folder / "logs")
        report("read the event file", points / timed(lambda: read(logdir)), split)
        rows = points / timed(lambda: read_rows(database))
        report("read the rows of the store", rows, None)
        with contextlib.closing(MlflowDatabase(database)) as store:
            report("read the store", points / timed(lambda: read(store)), rows)
            home = Home.create(folder / "home")
            with contextlib.closing(home):
                door = cast("Door", home.door(home.local_principal(), "default"))
                bring_in(door, logdir, points, raw, "one run of TensorBoard")
                bring_in(door, store, points, raw, f"{options.runs} runs of MLflow")
                again_s = timed(lambda: import_all(door, store))
                print(f"  {'the same again, nothing new':34} {options.runs / again_s:9.0f} runs/s")
                run = door.runs.search(filter="name = 'run'", limit=1).runs[0].id
                took_s = timed(lambda: export_tensorboard(door, [run], folder / "out"))
                report("export to an event file", points / took_s, None)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory {peak_mb:.0f} MiB")


def bring_in(door: Door, source: Source, points: int, raw: float, label: str) -> None:
    began = time.perf_counter()
    found = import_all(door, source)
    took_s = time.perf_counter() - began
    assert found.ok, found.differences
    assert found.kept.points == points, found.kept
    report(f"import, compared: {label}", points / took_s, raw)


def report(label: str, rate: float, limit: float | None) -> None:
    ratio = "" if limit is None else f"  ratio {limit / rate:5.1f}"
    print(f"  {label:34} {rate:9.0f} points/s{ratio}")


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def read(source: Source) -> None:
    for run in source.runs():
        if isinstance(run, FoundRun):
            for _ in source.items(run):
                pass


def write_events(folder: Path, points: int) -> Path:
    folder.mkdir(parents=True)
    path = folder / "events.out.tfevents.1790000000.bench"
    with path.open("wb") as stream:
        stream.write(frame(events.event(START_S)))
        for step in range(points):
            summary = events.scalar("loss", 1 / (step + 1))
            stream.write(frame(events.event(START_S + step / 1000, step=step, summary=summary)))
    return path


def write_store(path: Path, *, runs: int, points: int) -> Path:
    start_ms = int(START_S * 1000)
    each = points // runs
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executescript(TABLES)
        for number in range(runs):
            uuid = f"{number + 1:032x}"
            row = (uuid, f"r{number}", "ada", "FINISHED", start_ms, start_ms + 1, "active", "", 1)
            database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            database.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)",
                [
                    (f"m{at % METRICS}", at / 7, start_ms + at, uuid, at // METRICS)
                    for at in range(each + (points % runs if number == 0 else 0))
                ],
            )
            texts = [(f"k{at}", str(at), uuid) for at in range(10)]
            database.executemany("INSERT INTO params VALUES (?, ?, ?)", texts)
            database.executemany("INSERT INTO tags VALUES (?, ?, ?)", texts)
    return path


def split_records(path: Path) -> None:
    head = struct.Struct("<QI")
    with path.open("rb") as stream:
        while data := stream.read(head.size):
            stream.read(head.unpack(data)[0] + 4)


def read_rows(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for _ in database.execute("SELECT key, value, step, timestamp, is_nan FROM metrics"):
            pass


def insert(path: Path, points: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("PRAGMA synchronous = normal")
        database.execute(
            "CREATE TABLE point (run INTEGER, key INTEGER, step INTEGER, time INTEGER, "
            "value REAL, PRIMARY KEY (run, key, step, time)) WITHOUT ROWID"
        )
        for first in range(0, points, 1000):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO point VALUES (1, 1, ?, 1, 0.5)",
                [(step,) for step in range(first, min(first + 1000, points))],
            )
            database.execute("COMMIT")


if __name__ == "__main__":
    main()
