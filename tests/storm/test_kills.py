"""kill -9 at every process and phase of the demo; then the same command again.

Each seed names a process and a moment. What was printed, journaled or answered before the kill
must be there afterwards, what was finished must not be done again, and nothing may be left.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.demos import reading, segment_rows, steps_that_ran_twice
from fixtures.mill_processes import PIPELINE, STEP, command, environment, mill, processes_of
from millwright.core.errors import MillwrightError
from millwright.core.ids import AlertId, DecisionId
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

pytestmark = pytest.mark.sockets

EVERYDAY = (0, 16, 24)
"""Seeds that `make test` runs: the demo itself, the serving process, the worker."""
STORM = range(40)

ALL = "everything"
ROLES = ("demo", "server", "serve", "worker", PIPELINE, STEP, ALL)
STRATA = 6
SPREAD_S = {
    "": 1.5,
    "data": 5.0,
    "pipeline": 0.2,
    "model": 0.5,
    "gate": 2.0,
    "deployment": 3.0,
    "traffic": 1.0,
    "drift": 5.0,
    "retrain": 1.5,
    "rollout": 0.8,
    "decision": 0.1,
    "predictions": 0.1,
}
"""Stage of the demo -> over how many seconds after its end the kills are spread."""
PHASES = {
    "demo": tuple(SPREAD_S),
    ALL: tuple(SPREAD_S),
    **dict.fromkeys(("server", "serve", "worker"), tuple(SPREAD_S)[4:-2]),
    **dict.fromkeys((PIPELINE, STEP), ("data", "traffic")),
}
STEP_SPREAD_S = 2.0
"""A pipeline's process lives for some seconds; the kill has to find it."""
END_S = 200.0
POLL_S = 0.01
IDS = re.compile(r"\b[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}\b")


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is killed, and when."""

    role: str
    after: str
    """The stage that must have ended; empty for the very beginning."""
    delay_s: float


@dataclass(slots=True)
class Before:
    """What was known when the kill had happened."""

    stages: dict[str, Any] = field(default_factory=dict[str, Any])
    ids: set[str] = field(default_factory=set[str])
    events: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    answered: set[str] = field(default_factory=set[str])


def plan(seed: int) -> Plan:
    """Return the kill of a seed; forty seeds spread evenly over processes and phases."""
    chance = random.Random(f"kill {seed}")
    role = ROLES[seed % len(ROLES)]
    phases = PHASES[role]
    stratum = seed // len(ROLES) % STRATA
    after = phases[int((stratum + chance.random()) / STRATA * len(phases))]
    spread_s = STEP_SPREAD_S if role in {PIPELINE, STEP} else SPREAD_S[after]
    return Plan(role, after, chance.uniform(0.0, spread_s))


@pytest.mark.parametrize("seed", EVERYDAY)
def test_a_killed_demo_goes_on(seed: int, tmp_path: Path) -> None:
    kill_and_go_on(seed, tmp_path / "demo")


@pytest.mark.storm
@pytest.mark.parametrize("seed", STORM)
def test_forty_kills(seed: int, tmp_path: Path) -> None:
    kill_and_go_on(seed, tmp_path / "demo")


@pytest.mark.storm
def test_a_rollout_that_ran_out_while_the_demo_was_away_is_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    run_and_kill(Plan("demo", "retrain", 0.3), folder)
    # Longer than the demo's plan gives a step; the worker's next look finds it overdue.
    time.sleep(50.0)
    again = mill(folder.parent, "demo", "--json", "--home", str(folder), timeout_s=END_S)
    assert again.code == 0, again.err
    assert again.record(dict[str, Any])["rollout"]["state"] == "promoted"


def kill_and_go_on(seed: int, folder: Path) -> None:
    """Kill as the seed says, run the same command again, and check all that is promised."""
    chosen = plan(seed)
    sys.stdout.write(f"seed {seed}: {chosen}\n")
    before = run_and_kill(chosen, folder)
    begin = time.monotonic()
    again = mill(folder.parent, "demo", "--json", "--home", str(folder), timeout_s=END_S)
    assert again.code == 0, again.err
    sys.stdout.write(
        f"seed {seed}: killed after {len(before.stages)} stages, {len(before.events)} events, "
        f"{len(before.answered)} answers not handed over; "
        f"went on in {time.monotonic() - begin:.1f} s\n"
    )
    told = again.record(dict[str, Any])
    for name, stage in before.stages.items():
        assert told.get(name, stage) == stage, f"{name} changed"
    assert told["pipeline"]["steps"] == told["pipeline"]["second_run"]["cached"] >= 6
    assert told["rollout"]["champion_now"] == 2

    rows = segment_rows(folder)
    sealed = [row.leaf.id for row in rows]
    assert len(sealed) == len(set(sealed)) == told["predictions"]["count"]
    assert before.answered <= set(sealed)
    with reading(folder) as database:
        events = dict(database.execute("SELECT id, place FROM event").fetchall())
    assert [(event, events.get(event)) for event, _ in before.events] == before.events
    assert steps_that_ran_twice(folder) == []
    assert unresolved(folder, before.ids) == set()
    verified = mill(folder, "audit", "verify", "--against", "checkpoint.txt")
    assert verified.code == 0, verified.out + verified.err
    assert processes_of(folder) == []


def run_and_kill(chosen: Plan, folder: Path) -> Before:
    """Tell the demo in `folder`, kill what the plan says, and return what was known by then."""
    talk = folder.parent / "talk"
    with talk.open("wb") as stream:
        process = subprocess.Popen(
            command("demo", "--json", "--home", str(folder)),
            cwd=folder.parent,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        _strike(chosen, folder, process)
        before = Before(stages=_stages(folder))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_S)
        assert process.poll() is not None, "the demo hangs after the kill"
    finally:
        process.kill()
        process.wait()
    printed = talk.read_text() + msgspec.json.encode(before.stages).decode()
    before.ids = set(IDS.findall(printed))
    if (folder / ".millwright/millwright.db").exists():
        with reading(folder) as database, suppress(sqlite3.Error):
            before.events = database.execute("SELECT id, place FROM event").fetchall()
    for path in (folder / ".millwright/serving/segments").rglob("*"):
        with suppress(OSError):
            found = IDS.findall(path.read_bytes().decode(errors="replace"))
            before.answered |= {one for one in found if one.startswith("dec_")}
    return before


def unresolved(folder: Path, ids: set[str]) -> set[str]:
    """Return the ids that nothing in the home answers to."""
    with Workspace.open(load_config(environment={}, folder=folder)) as ws:
        show: dict[str, Callable[[str], object]] = {
            "alr": lambda one: ws.alerts.show(id=AlertId(one)),
            "dec": lambda one: ws.decisions.show(id=DecisionId(one)),
            "dep": lambda one: ws.deployments.show(name=one),
            "dsv": lambda one: ws.data.show(ref=one),
            "gat": lambda one: ws.gates.show(id=one),
            "mov": lambda one: ws.models.show(ref=one),
            "run": lambda one: ws.runs.show(ref=one),
        }
        lost: set[str] = set()
        listed: set[str] = set()
        for one in ids:
            try:
                show.get(one[:3], listed.add)(one)
            except MillwrightError:
                lost.add(one)
        if listed:
            known = {rollout.id for rollout in ws.deployments.rollouts(name="demo")}
            with reading(folder) as database:
                known |= {one for (one,) in database.execute("SELECT id FROM segment")}
            lost |= listed - known
        return lost


def _strike(chosen: Plan, folder: Path, demo: subprocess.Popen[bytes]) -> None:
    """Wait for the moment, and kill."""
    stages = [stage for stage in SPREAD_S if stage]
    following = stages[stages.index(chosen.after) + 1 :] if chosen.after else stages

    def has_begun() -> bool:
        return not chosen.after or chosen.after in _stages(folder)

    def is_there() -> bool:
        return chosen.role == ALL or bool(_targets(chosen.role, folder))

    _wait(has_begun, demo)
    _wait(is_there, demo)
    fire_at = time.monotonic() + chosen.delay_s
    while time.monotonic() < fire_at and demo.poll() is None:
        # Of a stage that is over sooner than its spread, the end is hit.
        if following and following[0] in _stages(folder) and chosen.role not in {PIPELINE, STEP}:
            break
        time.sleep(POLL_S)
    _wait(is_there, demo)
    killed = 0
    for pid in _targets(chosen.role, folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed, f"there was no {chosen.role} to kill"


def _targets(role: str, folder: Path) -> list[int]:
    found = processes_of(folder)
    if role == ALL:
        return [one.pid for one in found]
    return [one.pid for one in found if one.role == role][:1]


def _wait(is_so: Callable[[], bool], demo: subprocess.Popen[bytes]) -> None:
    while not is_so():
        assert demo.poll() is None, "the demo ended before the kill"
        time.sleep(POLL_S)


def _stages(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError):
        return msgspec.json.decode((folder / ".millwright/demo.json").read_bytes())["stages"]
    return {}
