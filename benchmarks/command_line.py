"""How long commands take, as fresh processes: medians of 10, beside a bare interpreter.

    .venv/bin/python benchmarks/command_line.py [--home DIR]

Without `--home` a small home is made for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 10

RUN = """
import millwright as mw

with mw.start_run("bench") as run:
    run.log_metric("auc", 0.5)
"""

LIMITS_MS = {"mill --help": 150, "mill status --json": 400, "start_run, one metric, end": 500}


def median_ms(command: list[str], home: Path, folder: str) -> float:
    """Return the median time of a command, in milliseconds; the first call is not counted."""
    environment = os.environ | {"MILLWRIGHT_HOME": str(home)}
    took: list[float] = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=folder)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    given: Path | None = parser.parse_args().home
    mill = [sys.executable, "-m", "millwright"]
    with tempfile.TemporaryDirectory() as folder:
        home = (given or Path(folder, ".millwright")).absolute()
        if given is None:
            subprocess.run([*mill, "init", folder], check=True, capture_output=True)
        commands = {
            "mill --help": [*mill, "--help"],
            "mill status --json": [*mill, "status", "--json"],
            "start_run, one metric, end": [sys.executable, "-c", RUN],
        }
        bare = median_ms([sys.executable, "-c", "pass"], home, folder)
        print(f"{'a bare interpreter':<28} {bare:6.0f} ms")
        for name, command in commands.items():
            took = median_ms(command, home, folder)
            verdict = "ok" if took < LIMITS_MS[name] else "TOO SLOW"
            limit = f"limit {LIMITS_MS[name]} ms"
            print(f"{name:<28} {took:6.0f} ms   {took / bare:4.1f} x bare   {limit}   {verdict}")


if __name__ == "__main__":
    main()
