"""How long commands take, as fresh processes: medians of 10, beside a bare interpreter.

    .venv/bin/python benchmarks/command_line.py [--home DIR]

Without `--home` a small home is made for it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 10

RUN = """
from pathlib import Path
from millwright.records.runs import MetricPoint, RunSource
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

config = load_config(environment={}, folder=Path("."), home=Path(__import__("sys").argv[1]))
with Workspace.open(config) as workspace:
    source = RunSource(command=["bench"], python="3", platform="any")
    run = workspace.runs.start(name="bench", source=source)
    workspace.runs.log_metrics(run=run.id, points=[MetricPoint(key="auc", value=0.5)])
    workspace.runs.finish(run=run.id)
"""

LIMITS_MS = {"mill --help": 150, "mill status --json": 400, "start_run, one metric, end": 500}


def median_ms(command: list[str]) -> float:
    """Return the median time of a command, in milliseconds; the first call is not counted."""
    took: list[float] = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    given: Path | None = parser.parse_args().home
    mill = [sys.executable, "-m", "millwright"]
    with tempfile.TemporaryDirectory() as folder:
        home = given or Path(folder, ".millwright")
        if given is None:
            subprocess.run([*mill, "init", folder], check=True, capture_output=True)
        commands = {
            "mill --help": [*mill, "--help"],
            "mill status --json": [*mill, "--home", str(home), "status", "--json"],
            "start_run, one metric, end": [sys.executable, "-c", RUN, str(home)],
        }
        bare = median_ms([sys.executable, "-c", "pass"])
        print(f"{'a bare interpreter':<28} {bare:6.0f} ms")
        for name, command in commands.items():
            took = median_ms(command)
            verdict = "ok" if took < LIMITS_MS[name] else "TOO SLOW"
            limit = f"limit {LIMITS_MS[name]} ms"
            print(f"{name:<28} {took:6.0f} ms   {took / bare:4.1f} x bare   {limit}   {verdict}")


if __name__ == "__main__":
    main()
