"""What a step costs: a chain of trivial steps, cold and fully cached, against plain calls.

Cold is everything from the first look at the files to the closed run, with worker processes
started on the way, each step isolated, its result stored durably and its end journaled. The
limit beside it is a fresh Python for each step, which isolates and does nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from millwright.artifacts.backend import load_backend
from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import SystemClock
from millwright.core.ids import ActorId, ProjectId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.migrations.upgrade import upgrade
from millwright.metadata.tables.access import insert_project
from millwright.pipelines.execute import execute
from millwright.pipelines.executor import StoreAddress
from millwright.pipelines.executors.local import LocalExecutor
from millwright.pipelines.graph import Pipeline
from millwright.pipelines.host import Host
from millwright.pipelines.loading import load_file
from millwright.records.events import Act
from millwright.records.runs import RunSource
from millwright.tracking.runs import Runs

FLOW = """
from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step


@step
def grow(state: dict[str, int]) -> dict[str, int]:
    return {"n": state["n"] + 1}


@step
def gather(states: list[dict[str, int]]) -> int:
    return len(states)


@pipeline
def chain(steps: int) -> dict[str, int]:
    state = grow({"n": 0})
    for _ in range(steps - 1):
        state = grow(state)
    return state


@pipeline
def fan(steps: int) -> int:
    return gather([grow({"n": number}) for number in range(steps)])


@step
def frame(rows: int):
    import numpy as np
    import polars as pl

    return pl.DataFrame({f"c{number}": np.random.rand(rows) for number in range(10)})


@step
def total(frame) -> float:
    return sum(frame[name].sum() for name in frame.columns)


@pipeline
def table(rows: int) -> float:
    return total(frame(rows))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--fan", type=int, default=50)
    parser.add_argument("--rows", type=int, default=1_250_000, help="rows of 80 bytes in a frame")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), options.steps, options.fan, options.rows)


def _measure(folder: Path, steps: int, fan: int, rows: int) -> None:
    root, home = folder / "project", folder / "artifacts"
    root.mkdir()
    home.mkdir()
    (root / "flow.py").write_text(FLOW)
    module = load_file(root / "flow.py", root)
    pipelines = {
        name: cast("Pipeline[..., object]", getattr(module, name))
        for name in ("chain", "fan", "table")
    }
    database = Database.at(str(folder / "millwright.db"))
    upgrade(database)

    def run(name: str, **params: object) -> float:
        executor = LocalExecutor(2)
        host = _host(database, home, root, executor)
        seconds = _seconds(lambda: execute(pipelines[name], params, host=host))
        executor.shutdown()
        return seconds

    plain = _seconds(lambda: pipelines["chain"](steps))
    fresh = _seconds(
        lambda: [subprocess.run([sys.executable, "-c", ""], check=True) for _ in range(steps)]
    )
    cold, cached = run("chain", steps=steps), run("chain", steps=steps)
    wide, wide_cached = run("fan", steps=fan), run("fan", steps=fan)
    plain_table = _seconds(lambda: pipelines["table"](rows))
    table, table_cached = run("table", rows=rows), run("table", rows=rows)
    print(f"chain of {steps}, plain calls            {plain * 1e3:9.3f} ms")
    print(f"chain of {steps}, a fresh Python a step  {fresh * 1e3:9.1f} ms")
    _print(f"chain of {steps}, cold", cold, steps, fresh, "fresh Pythons")
    _print(f"chain of {steps}, cached", cached, steps, fresh, "fresh Pythons")
    _print(f"fan-out of {fan}, cold", wide, fan + 1, fresh * (fan + 1) / steps, "fresh Pythons")
    _print(f"fan-out of {fan}, cached", wide_cached, fan + 1, cold, "the cold chain")
    _print(f"{rows * 80 / 1e6:.0f} MB frame, cold", table, 2, plain_table, "plain calls")
    _print(f"{rows * 80 / 1e6:.0f} MB frame, cached", table_cached, 2, plain_table, "plain calls")
    print(f"cold overhead over plain calls: {(cold - plain) / steps * 1e3:.1f} ms a step")


def _print(what: str, seconds: float, steps: int, limit: float, of: str) -> None:
    each = seconds / steps * 1e3
    print(
        f"{what:<35} {seconds * 1e3:9.1f} ms  {each:7.2f} ms a step  {seconds / limit:6.2f} x {of}"
    )


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _host(database: Database, home: Path, root: Path, executor: LocalExecutor) -> Host:
    clock = SystemClock()
    journal = Journal(database, None, clock, origin="millwright/benchmark")
    project = ProjectId(new_id("prj"))
    with database.write() as tx:
        insert_project(tx, project_id=project, name="default", now_us=0)
        key = tx.value(int, "SELECT pk FROM project WHERE name = 'default'")
    assert key is not None
    return Host(
        database=database,
        store=ArtifactStore(load_backend("local", str(home))),
        store_address=StoreAddress(backend="local", location=str(home)),
        runs=Runs(database, journal, clock),
        recorder=journal,
        executor=executor,
        clock=clock,
        act=Act(actor=ActorId(new_id("act")), project=project, project_key=key),
        source=RunSource(command=["benchmark"], python=sys.version, platform=sys.platform),
        project_root=root,
    )


if __name__ == "__main__":
    main()
