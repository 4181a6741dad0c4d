from __future__ import annotations

import contextvars
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from millwright.core.errors import Conflict, Invalid, NotFound, Refused, Unreachable
from millwright.doors.door import Door
from millwright.records.runs import Problem
from millwright.sdk import active
from millwright.sdk.active import ActiveRun, active_run, end_run, outcome_of, start_in, start_run
from millwright.workspace.config import Config, load_config

pytestmark = pytest.mark.sockets


def test_a_run_is_logged_over_either_door(config: Config, door: Door, project: Path) -> None:
    (project / "plots").mkdir()
    (project / "plots" / "roc.svg").write_text("<svg/>")
    with start_in(
        config, "train", experiment="churn", params={"max_depth": 3}, tags={"who": "ada"}
    ) as run:
        assert active_run() is run
        active.log_param("rate", 0.5)
        active.log_params({"loss": "log", "layers": [3, 4]})
        active.log_metric("auc", 0.5)
        active.log_metrics({"auc": 0.75, "worst": float("nan"), "best": float("inf")}, step=1)
        active.set_tag("who", "grace")
        active.set_tags({"try": 2})
        active.log_artifact(project / "train.py", name="script")
        active.log_artifact(str(project / "plots"))
    assert active_run() is None
    assert run.ended
    shown = door.runs.show(ref=run.id)
    assert (shown.name, shown.experiment, shown.kind, shown.status) == (
        "train",
        "churn",
        "script",
        "finished",
    )
    assert shown.params == {"max_depth": "3", "rate": "0.5", "loss": "log", "layers": "[3, 4]"}
    assert shown.tags == {"who": "grace", "try": "2"}
    assert shown.metrics == {"auc": 0.75, "worst": None, "best": None}
    history = door.runs.history(ref=run.id, key="auc")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.75)]
    assert {(link.way, link.name) for link in shown.links} == {
        ("output", "script"),
        ("output", "plots"),
    }
    for link in shown.links:
        target = project / f"back-{link.name}"
        if link.name == "script":
            door.artifacts.fetch(link.digest, target)
            assert target.read_text() == "print('training')\n"
        else:
            door.artifacts.fetch_folder(link.digest, target)
            assert (target / "roc.svg").read_text() == "<svg/>"


def test_what_the_run_is_made_from_is_stored(config: Config, door: Door, project: Path) -> None:
    with start_in(config, "train") as run:
        pass
    source = door.runs.show(ref=run.id).source
    assert source.command == sys.argv
    assert source.code_digest is not None
    door.artifacts.fetch_folder(source.code_digest, project / "code")
    assert (project / "code" / "train.py").read_text() == "print('training')\n"
    assert source.environment_digest is not None
    door.artifacts.fetch(source.environment_digest, project / "environment.json")
    assert "msgspec" in json.loads((project / "environment.json").read_bytes())


def test_an_exception_in_the_block_fails_the_run_and_goes_on(config: Config, door: Door) -> None:
    with pytest.raises(ZeroDivisionError), start_in(config, "broken") as run:
        _ = 1 / 0
    shown = door.runs.show(ref=run.id)
    assert shown.status == "failed"
    assert shown.error is not None
    assert shown.error.code == "failed"
    assert shown.error.what == "ZeroDivisionError: division by zero"
    assert shown.error.why.startswith("in test_an_exception_in_the_block_")
    assert active_run() is None


def test_an_interrupt_cancels_the_run(embedded: Config, door: Door) -> None:
    with pytest.raises(KeyboardInterrupt), start_in(embedded, "stopped") as run:
        raise KeyboardInterrupt
    assert door.runs.show(ref=run.id).status == "cancelled"


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (None, "finished", None),
        (SystemExit(), "finished", None),
        (SystemExit(0), "finished", None),
        (SystemExit(3), "failed", Problem(code="failed", what="SystemExit: 3")),
        (KeyboardInterrupt(), "cancelled", None),
        (
            Refused("no", why="because", fix="else"),
            "failed",
            Problem(code="refused", what="no", why="because", fix="else"),
        ),
        (
            ValueError("x" * 5000),
            "failed",
            Problem(code="failed", what=f"ValueError: {'x' * 1988}"),
        ),
    ],
)
def test_how_a_run_ends(error: BaseException | None, status: str, problem: Problem | None) -> None:
    assert outcome_of(error) == (status, problem)


def test_an_ended_run_takes_nothing_more(embedded: Config) -> None:
    run = start_in(embedded, "short")
    run.end()
    for log in (lambda: run.log_metric("auc", 1.0), run.end):
        with pytest.raises(Conflict, match="has ended"):
            log()


def test_a_run_that_was_ended_in_its_block_keeps_its_status(embedded: Config, door: Door) -> None:
    with start_in(embedded, "given up") as run:
        end_run("cancelled")
    assert door.runs.show(ref=run.id).status == "cancelled"


def test_a_second_run_waits_for_the_end_of_the_first(embedded: Config) -> None:
    first = start_in(embedded, "first")
    with pytest.raises(Conflict, match=rf"{first.id} \(first\) is still active"):
        start_in(embedded, "second")
    end_run()
    with start_in(embedded, "second") as second:
        assert active_run() is second


def test_without_a_run_logging_says_how_to_start_one() -> None:
    with pytest.raises(NotFound, match=r"start one with start_run\(\)"):
        active.log_metric("auc", 1.0)
    end_run()


def test_a_run_that_cannot_begin_leaves_nothing_active(embedded: Config, door: Door) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a run"):
        start_in(embedded, "a/b")
    assert active_run() is None
    with pytest.raises(Invalid, match="cannot be the name of a parameter"):
        start_in(embedded, "halfway", params={"": 1})
    assert active_run() is None
    halfway = door.runs.page().runs[0]
    assert (halfway.name, halfway.status) == ("halfway", "failed")


def test_a_server_that_is_away_is_named(project: Path) -> None:
    nobody = load_config(environment={}, folder=project, url="http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="no server answers"):
        start_in(nobody, "lost")


def test_a_run_is_active_where_it_was_started_and_usable_everywhere(
    config: Config, door: Door
) -> None:
    run = start_in(config, "threads")
    seen: list[ActiveRun | None] = []

    def work(number: int) -> None:
        seen.append(active_run())
        for step in range(5):
            run.log_metric(f"loss-{number}", step / 10, step=step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [None] * 4
    assert contextvars.copy_context().run(active_run) is run
    end_run()
    assert door.runs.show(ref=run.id).metrics == {f"loss-{number}": 0.4 for number in range(4)}


def test_two_threads_have_each_a_run_of_its_own(embedded: Config, door: Door) -> None:
    ids: dict[str, str] = {}

    def work(name: str) -> None:
        with start_in(embedded, name) as run:
            active.log_param("thread", name)
            ids[name] = run.id

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: door.runs.show(ref=run).params["thread"] for name, run in ids.items()} == {
        "one": "one",
        "two": "two",
    }


def test_settings_are_read_where_the_script_runs_and_a_home_is_made(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for name in [name for name in os.environ if name.startswith("MILLWRIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["/somewhere/fit it.py"])
    with start_run() as run:
        assert run.name == "fit-it"
    assert (project / ".millwright" / "millwright.db").is_file()


SCRIPT = """
import os, signal, sys, threading
import millwright as mw
mw.start_run("script")
mw.log_metric("auc", 0.9)
assert mw.active_run().name == "script"
print(mw.active_run().id, flush=True)
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", "finished"),
        ("sys.exit(0)", "finished"),
        ("raise ValueError('no rows')", "failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "running"),
        ("if os.fork() == 0: sys.exit(0)\nos.wait(); mw.log_metric('auc', 1.0)", "finished"),
    ],
)
def test_a_run_nobody_ended_ends_with_its_script(
    end: str, status: str, embedded: Config, door: Door, project: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT + end],
        capture_output=True,
        text=True,
        cwd=project,
        env=os.environ | {"MILLWRIGHT_HOME": str(embedded.home)},
        check=False,
    )
    shown = door.runs.show(ref=ended.stdout.split()[0])
    assert shown.status == status, ended.stderr
    if status == "failed":
        assert shown.error is not None
        assert shown.error.what == "ValueError: no rows"


@pytest.mark.parametrize(
    ("called", "name"),
    [("/srv/fit it.py", "fit-it"), ("train.py", "train"), ("-c", "run"), ("", "run"), ("_", "run")],
)
def test_a_run_without_a_name_is_called_as_its_script(
    called: str, name: str, embedded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    with start_in(embedded) as run:
        assert run.name == name
