from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.doors.door import Door
from millwright.sdk import calls
from millwright.sdk.current import Options, active_run, end_run, start_in
from millwright.sdk.losses import LoggingWarning
from millwright.workspace.config import Config, load_config

pytestmark = pytest.mark.sockets

QUIET = Options(console=False, system=False)


def test_a_run_is_logged_over_either_door(config: Config, door: Door, project: Path) -> None:
    (project / "plots").mkdir()
    (project / "plots" / "roc.svg").write_text("<svg/>")
    with start_in(
        config, "train", experiment="churn", params={"max_depth": 3}, tags={"who": "ada"}
    ) as run:
        assert active_run() is run
        calls.log_param("rate", 0.5)
        calls.log_params({"loss": "log", "layers": [3, 4]})
        calls.log_metric("auc", 0.5)
        calls.log_metrics({"auc": 0.75, "worst": float("nan"), "best": float("inf")}, step=1)
        calls.set_tag("who", "grace")
        calls.set_tags({"try": 2})
        calls.log_artifact(project / "train.py", name="script")
        calls.log_artifact(str(project / "plots"))
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
    assert shown.metrics == {"auc": 0.75, "worst": None, "best": "Infinity"}
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


def test_what_the_script_prints_is_its_log(
    config: Config, door: Door, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_in(config, "talk", options=Options(system=False)) as run:
        sys.stdout.write("epoch 1\n")
        sys.stderr.write("careful\n")
    assert capsys.readouterr() == ("epoch 1\n", "careful\n")
    digest = door.runs.show(ref=run.id).log_digest
    assert digest is not None
    door.artifacts.fetch(digest, project / "log")
    assert (project / "log").read_text() == "epoch 1\ncareful\n"


def test_a_value_that_another_writer_made_impossible_is_told_at_the_end(
    embedded: Config, door: Door
) -> None:
    run = start_in(embedded, "two writers", options=QUIET)
    door.runs.log_params(run=run.id, params={"depth": "3"})
    run.log_params({"depth": 4, "rate": 0.1})
    with pytest.warns(LoggingWarning, match=r"a value was refused: depth: "):
        run.end()
    assert door.runs.show(ref=run.id).params == {"depth": "3", "rate": "0.1"}


def test_a_run_that_somebody_else_closed_says_so_at_its_end(config: Config, door: Door) -> None:
    run = start_in(config, "closed", options=QUIET)
    door.runs.finish(run=run.id, status="cancelled")
    run.log_metric("auc", 0.5)
    run.log_text("hello", "note.txt")
    with pytest.raises(NotFound):
        run.log_artifact("nothing.txt")
    with pytest.warns(LoggingWarning, match=r"3 values were refused: .*is cancelled") as told:
        run.end("finished")
    assert len(told) == 1
    assert run.ended
    assert active_run() is None
    assert door.runs.show(ref=run.id).status == "cancelled"


def test_a_run_that_somebody_else_deleted_says_so_at_its_end(config: Config, door: Door) -> None:
    run = start_in(config, "deleted", options=QUIET)
    door.runs.delete(run=run.id)
    run.log_text("hello", "note.txt")
    with pytest.warns(LoggingWarning, match="values were refused"):
        run.end()
    assert active_run() is None


def test_a_status_that_ends_nothing_is_the_callers_mistake(embedded: Config) -> None:
    with start_in(embedded, "odd", options=QUIET) as run:
        for status in ("running", "done"):
            with pytest.raises(Invalid, match=f"does not end by the status '{status}'"):
                run.end(status)  # pyright: ignore[reportArgumentType]
        assert not run.ended


def test_names_of_files_that_are_no_utf8_end_nothing(
    config: Config, door: Door, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"part-\xff.csv")
    (project / odd).write_text("a\n1\n")
    monkeypatch.setattr(sys, "argv", ["train.py", odd])
    with pytest.raises(ValueError, match="no rows"), start_in(config, "odd", options=QUIET) as run:
        run.log_params({"file": odd, "depth": 3})
        run.set_tag("file", odd)
        run.log_text(f"read {odd}", "notes.txt")
        with pytest.raises(Invalid, match="cannot be a path in a tree"):
            run.log_artifact(project / odd)
        run.log_artifact(project / odd, name="part.csv")
        raise ValueError(f"no rows in {odd}")
    found = door.runs.show(ref=run.id)
    assert found.source.command == ["train.py", r"part-\udcff.csv"]
    assert (found.params, found.tags) == (
        {"file": r"part-\udcff.csv", "depth": "3"},
        {"file": r"part-\udcff.csv"},
    )
    assert {link.name for link in found.links} == {"notes.txt", "part.csv"}
    assert found.error is not None
    assert found.error.what == r"ValueError: no rows in part-\udcff.csv"


def test_points_whose_time_is_known_keep_it(embedded: Config, door: Door) -> None:
    with start_in(embedded, "late", options=QUIET) as run:
        run.log_points([("auc", 0.5, 3, 1_000_000)])
    (point,) = door.runs.history(ref=run.id, key="auc")
    assert (point.step, point.time_us, point.value) == (3, 1_000_000, 0.5)


def test_a_step_or_value_that_is_none_is_the_callers_mistake(embedded: Config) -> None:
    with start_in(embedded, "wrong", options=QUIET) as run:
        for log in (
            lambda: run.log_metric("a", None),  # pyright: ignore[reportArgumentType]
            lambda: run.log_metric("a", 1.0, step=2**64),
            lambda: run.log_metric("", 1.0),
            lambda: run.log_metrics({"ok": 1.0, "\n": 1.0}),
            lambda: run.log_param("a", "x" * 9000),
            lambda: run.set_tag("a" * 251, 1),
        ):
            with pytest.raises(Invalid):
                log()


def test_what_is_no_mapping_or_no_name_says_so(embedded: Config, project: Path) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a run"):
        start_in(embedded, cast("str", 3), options=QUIET)
    with pytest.raises(Invalid, match="no parameters"):
        start_in(embedded, "x", params=cast("dict[str, object]", [1]), options=QUIET)
    assert active_run() is None
    with start_in(embedded, "x", options=QUIET) as run:
        for call in (run.log_params, run.log_metrics, run.set_tags):
            with pytest.raises(Invalid, match="give a mapping from names"):
                call(cast("dict[str, float]", [1]))
        with pytest.raises(NotFound, match="there is no folder"):
            run.log_artifacts(project / "train.py")
        with pytest.raises(Invalid, match="pictures are stored as PNG"):
            run.log_image([[0, 255]], "image.jpg")


def test_nothing_is_sent_of_a_call_that_was_wrong(embedded: Config, door: Door) -> None:
    with start_in(embedded, "wrong", params={"a": 1}, options=QUIET) as run:
        with pytest.raises(Conflict):
            run.log_params({"b": 1, "a": 2})
        with pytest.raises(Invalid):
            run.log_metrics({"ok": 1.0, "": 1.0})
    shown = door.runs.show(ref=run.id)
    assert (shown.params, shown.metrics) == ({"a": "1"}, {})


def test_names_that_numpy_gives_are_texts_as_any(config: Config, door: Door) -> None:
    classes = np.unique(["cat", "dog"])
    with start_in(config, classes[0], experiment=classes[1], options=QUIET) as run:
        for name in classes:
            run.log_metric(name, 0.5)
            run.log_metric(name, 0.5, step=1)
        run.log_metrics({classes[0]: 1.0}, step=2)
        run.log_params({classes[0]: classes[1]})
        run.log_text("hello", classes[0])
        assert run.flush()
    found = door.runs.show(ref=run.id)
    assert (found.name, found.experiment, found.metrics, found.params) == (
        "cat",
        "dog",
        {"cat": 1.0, "dog": 0.5},
        {"cat": "dog"},
    )
    assert [link.name for link in found.links] == ["cat"]


def test_a_server_that_keeps_silent_is_waited_for_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("millwright.sdk.connection.QUICK_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = load_config(
            environment={}, folder=project, url=f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        with pytest.warns(LoggingWarning, match="took more than 0"):
            run = start_in(config, "silent", options=QUIET)
        run.log_metric("auc", 1.0)
        run.log_text("hello", "note.txt")
        run.end()
    assert "is not delivered whole" in capsys.readouterr().err
