from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from fixtures.full_disk import full_disk
from fixtures.receivers import receiving
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.doors.door import Door
from millwright.sdk import calls
from millwright.sdk.active import ActiveRun
from millwright.sdk.current import (
    Options,
    active_run,
    attach_run,
    end_run,
    start_in,
    start_run,
)
from millwright.sdk.losses import LoggingWarning
from millwright.workspace.config import Config, load_config

pytestmark = pytest.mark.sockets

QUIET = Options(console=False, system=False)


def test_a_second_run_waits_for_the_end_of_the_first(embedded: Config) -> None:
    first = start_in(embedded, "first")
    with pytest.raises(Conflict, match=rf"{first.id} \(first\) is still active"):
        start_in(embedded, "second")
    end_run()
    with start_in(embedded, "second") as second:
        assert active_run() is second


def test_without_a_run_logging_says_how_to_start_one() -> None:
    with pytest.raises(NotFound, match=r"start one with start_run\(\)"):
        calls.log_metric("auc", 1.0)
    end_run()


def test_a_run_that_cannot_begin_leaves_nothing_active(embedded: Config, door: Door) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a run"):
        start_in(embedded, "a\nb")
    with pytest.raises(Invalid, match="cannot be the name of a experiment"):
        start_in(embedded, "a", experiment=" ")
    assert active_run() is None
    with pytest.raises(Invalid, match="cannot be the name of a parameter"):
        start_in(embedded, "halfway", params={"": 1})
    assert active_run() is None
    halfway = door.runs.page().runs[0]
    assert (halfway.name, halfway.status) == ("halfway", "failed")


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
            calls.log_param("thread", name)
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


def test_a_nested_run_is_part_of_the_active_one_and_gives_way_to_it(
    config: Config, door: Door
) -> None:
    with start_in(config, "outer", experiment="churn", options=QUIET) as outer:
        with start_in(config, "inner", nested=True, options=QUIET) as inner:
            assert active_run() is inner
            calls.log_metric("auc", 1.0)
        assert active_run() is outer
        calls.log_metric("auc", 0.5)
    assert active_run() is None
    assert door.runs.show(ref=inner.id).parent == outer.id
    assert door.runs.show(ref=inner.id).experiment == "churn"
    assert door.runs.show(ref=inner.id).metrics == {"auc": 1.0}
    assert door.runs.show(ref=outer.id).metrics == {"auc": 0.5}


def test_nested_without_an_active_run_is_a_run(embedded: Config, door: Door) -> None:
    with start_in(embedded, "alone", nested=True, options=QUIET) as run:
        pass
    assert door.runs.show(ref=run.id).parent is None


def test_a_run_can_be_part_of_one_that_is_not_active(embedded: Config, door: Door) -> None:
    with start_in(embedded, "first", options=QUIET) as first:
        pass
    with start_in(embedded, "second", parent=first.id, options=QUIET) as second:
        pass
    assert door.runs.show(ref=second.id).parent == first.id


def test_an_outer_run_that_ends_first_leaves_the_inner_one_active(embedded: Config) -> None:
    outer = start_in(embedded, "outer", options=QUIET)
    inner = start_in(embedded, "inner", nested=True, options=QUIET)
    outer.end()
    assert active_run() is inner
    inner.end()
    assert active_run() is None


def test_a_run_that_has_ended_goes_on(config: Config, door: Door) -> None:
    run = start_in(config, "once", experiment="churn", params={"depth": 3}, options=QUIET)
    with pytest.raises(ZeroDivisionError), run:
        run.log_metric("auc", 0.5, step=1)
        _ = 1 / 0
    assert door.runs.show(ref=run.id).status == "failed"
    with start_in(config, run_id=run.id, options=QUIET) as again:
        assert (again.id, again.name, again.experiment) == (run.id, "once", "churn")
        assert door.runs.show(ref=run.id).status == "running"
        again.log_metric("auc", 0.75, step=2)
        again.log_param("depth", 3)
        with pytest.raises(Conflict, match="'depth' already has another value: '3'"):
            again.log_param("depth", 4)
    shown = door.runs.show(ref=run.id)
    assert (shown.status, shown.error, shown.metrics) == ("finished", None, {"auc": 0.75})


def test_a_run_that_is_not_there_does_not_go_on(config: Config) -> None:
    nobody = "run_7z000000000000000000000000"
    with pytest.raises(NotFound):
        start_in(config, run_id=nobody, options=QUIET)
    with pytest.raises(NotFound):
        attach_run(nobody, config=config)
    with pytest.raises(Invalid, match="is not the id of a run"):
        start_in(config, run_id="latest")
    assert active_run() is None


def test_a_run_that_goes_on_has_its_parent_already(embedded: Config) -> None:
    with pytest.raises(Invalid, match="has its parent already"):
        start_in(embedded, run_id="run_7z000000000000000000000000", parent="run_7z")


def test_another_process_joins_by_id_and_leaves_the_run_open(config: Config, door: Door) -> None:
    with start_in(config, "job", params={"depth": 3}, options=QUIET) as run:
        assert run.flush()
        outside = contextvars.Context()
        with pytest.raises(Conflict, match="is still active"):
            attach_run(run.id, config=config)
        worker = outside.run(attach_run, run.id, config=config)
        assert (worker.id, worker.name) == (run.id, "job")
        worker.log_metric("rows", 10.0)
        with pytest.raises(Conflict):
            worker.log_param("depth", 4)
        worker.end()
        assert door.runs.show(ref=run.id).status == "running"
        assert door.runs.show(ref=run.id).metrics == {"rows": 10.0}
        run.log_metric("auc", 1.0)
    assert door.runs.show(ref=run.id).status == "finished"


FORKED = """
import multiprocessing, os, sys
import millwright as mw

def work(number):
    mw.log_metric("worker", number, step=number)
    return os.getpid()

def join(run, number):
    with mw.attach_run(run):
        mw.log_metric("joined", number, step=number)

if __name__ == "__main__":
    with mw.start_run("pool") as run:
        for step in range(100):
            mw.log_metric("parent", step, step=step)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pids = pool.map(work, range(10), chunksize=1)
            pool.close()
            pool.join()
        spawned = multiprocessing.get_context("spawn").Process(target=join, args=(run.id, 7))
        spawned.start()
        spawned.join()
        assert spawned.exitcode == 0
        assert os.getpid() not in pids
        mw.log_metric("parent", 100, step=100)
    print(run.id)
"""


FORKED_WHILE_IT_SENDS = """
import multiprocessing
import millwright as mw

def work(number):
    mw.log_text("x", f"{number}.txt")

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    with mw.start_run("busy") as run:
        for number in range(6):
            for step in range(3000):
                run.log_metric("loss", step, step=step)
            process = fork.Process(target=work, args=(number,))
            process.start()
            process.join(30)
            assert process.exitcode == 0, "it hangs"
    print(run.id)
"""


def test_a_child_does_not_hang_on_what_its_parent_was_just_sending(
    embedded: Config, door: Door, project: Path
) -> None:
    (project / "job.py").write_text(FORKED_WHILE_IT_SENDS)
    done = subprocess.run(
        [sys.executable, "job.py"],
        capture_output=True,
        text=True,
        cwd=project,
        env=os.environ | {"MILLWRIGHT_HOME": str(embedded.home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = door.runs.show(ref=done.stdout.split()[-1])
    assert sorted(link.name for link in found.links) == [f"{number}.txt" for number in range(6)]


@pytest.mark.parametrize("way", ["embedded", "remote"])
def test_the_processes_of_a_job_log_to_one_run(
    way: str, request: pytest.FixtureRequest, embedded: Config, door: Door, project: Path
) -> None:
    (project / "job.py").write_text(FORKED)
    if way == "remote":
        settings = {"MILLWRIGHT_URL": request.getfixturevalue("address")}
    else:
        settings = {"MILLWRIGHT_HOME": str(embedded.home)}
    done = subprocess.run(
        [sys.executable, "job.py"],
        capture_output=True,
        text=True,
        cwd=project,
        env=os.environ | settings,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = done.stdout.split()[-1]
    assert door.runs.show(ref=run).status == "finished"
    for key, steps in (("parent", range(101)), ("worker", range(10)), ("joined", [7])):
        history = door.runs.history(ref=run, key=key)
        assert sorted(point.step for point in history) == list(steps), key


def test_the_log_of_a_run_that_goes_on_goes_behind_the_one_that_is_there(
    config: Config, door: Door, tmp_path: Path
) -> None:
    options = Options(system=False)
    with start_in(config, "twice", options=options) as run:
        sys.stdout.write("first session\n")
    with start_in(config, run_id=run.id, options=options):
        sys.stdout.write("second session\n")
    with start_in(config, run_id=run.id, options=QUIET):
        sys.stdout.write("nobody listens\n")
    log = door.runs.show(ref=run.id).log_digest
    assert log is not None
    door.artifacts.fetch(log, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "first session\nsecond session\n"


def test_a_start_that_fails_leaves_a_run_that_had_ended_as_it_was(
    config: Config, door: Door
) -> None:
    with start_in(config, "once", params={"depth": 3}, options=QUIET) as run:
        pass
    with pytest.raises(Conflict, match="'depth' already has another value"):
        start_in(config, run_id=run.id, params={"depth": 4}, options=QUIET)
    assert active_run() is None
    found = door.runs.show(ref=run.id)
    assert (found.status, found.error) == ("finished", None)
    door.runs.resume(run=run.id)
    with pytest.raises(Conflict, match="'depth' already has another value"):
        start_in(config, run_id=run.id, params={"depth": 4}, options=QUIET)
    assert active_run() is None
    assert door.runs.show(ref=run.id).status == "running"


OURS = {"x-millwright-version": "1"}
PROBLEM = {"content-type": "application/problem+json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (500, {}, b"<html>", "it answers 500"),
        (429, {}, b"<html>", "it answers 429"),
        (302, {"location": "http://127.0.0.1:9/login"}, b"", "it answers 302"),
        (200, {}, b"<html>", "it answers 200"),
        (401, {}, b"", "set MILLWRIGHT_TOKEN"),
        (200, OURS, b"garbage", "is not what this version knows"),
        (507, OURS, b"", "answers 507"),
        (401, OURS | PROBLEM, b'{"code":"unauthenticated","detail":"no token"}', "no token"),
        (403, OURS | PROBLEM, b'{"code":"denied","detail":"may not"}', "may not"),
    ],
)
def test_a_server_that_breaks_as_a_run_begins_keeps_nobody_from_training(
    project: Path, status: int, headers: dict[str, str], body: bytes, told: str
) -> None:
    with receiving() as receiver:
        receiver.answers = [status] * 1000
        receiver.headers, receiver.body = headers, body
        config = load_config(environment={}, folder=project, url=receiver.origin)
        with pytest.warns(LoggingWarning, match="is kept on this machine") as warned:
            run = start_in(config, "night", options=QUIET)
        assert told in str(warned[0].message)
        run.log_metric("auc", 1.0)
        run.log_text("hello", "note.txt")
        run.end()
    assert (config.home / "spool" / f"{run.id}.spool").exists()


def test_what_the_caller_did_wrong_at_the_start_is_raised_by_any_server(project: Path) -> None:
    with receiving() as receiver:
        receiver.answers, receiver.headers = [409], OURS | PROBLEM
        receiver.body = b'{"code":"conflict","detail":"experiment is deleted"}'
        config = load_config(environment={}, folder=project, url=receiver.origin)
        with pytest.raises(Conflict, match="experiment is deleted"):
            start_in(config, "night", options=QUIET)
    assert active_run() is None


def test_a_server_that_is_away_keeps_nobody_from_training(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = load_config(environment={}, folder=project, url="http://127.0.0.1:9")
    with pytest.warns(LoggingWarning) as warned:
        run = start_in(nobody, "offline", params={"depth": 3}, options=QUIET)
    (warning,) = warned
    assert f"run {run.id} is kept on this machine, and sent when that changes: no server" in str(
        warning.message
    )
    with run:
        run.log_metric("auc", 1.0)
        assert not run.flush()
        run.log_text("hello", "note.txt")
        assert run.log_dataset({"a": [1, 2]}, name="rows") is None
    said = capsys.readouterr().err
    assert f"The rest waits in {nobody.home / 'spool' / run.id}.spool" in said
    assert sorted(path.name for path in (nobody.home / "spool").iterdir()) == [
        f"{run.id}.objects",
        f"{run.id}.spool",
    ]


def test_a_disk_that_takes_nothing_keeps_nobody_from_training(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = load_config(
        environment={}, folder=project, home=project / "train.py" / "home", url="http://127.0.0.1:9"
    )
    model = LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    with pytest.warns(LoggingWarning, match="is kept on this machine"):
        run = start_in(nobody, "offline", options=QUIET)
    run.log_metric("auc", 1.0)
    run.log_text("hello", "note.txt")
    run.log_artifact(project / "train.py")
    assert run.log_model(model, example=np.array([[0.5]]), register="line").version is None
    with pytest.raises(NotFound, match="there is no file"):
        run.log_artifact(project / "nothing")
    with pytest.warns(LoggingWarning) as told:
        run.end()
    (warning,) = told
    assert f"run {run.id} lost " in str(warning.message)
    said = capsys.readouterr().err
    assert said.count("cannot be written: Not a directory; training goes on") == 1
    assert not list(Path(tempfile.gettempdir()).glob("mill-spool-*"))


def test_a_full_disk_loses_files_and_says_so_while_the_server_answers(
    config: Config, project: Path, door: Door
) -> None:
    run = start_in(config, "full", options=QUIET)
    (project / "folder").mkdir()
    with full_disk(0):
        run.log_metric("auc", 1.0)
        run.log_text("hello", "note.txt")
        run.log_dict({"a": 1}, "a.json")
        for suffix in ("csv", "parquet", "arrow", "json"):
            run.log_table({"a": [1]}, f"table.{suffix}")
        run.log_image(np.zeros((4, 4), dtype=np.uint8), "picture.png")
        run.log_artifact(project / "folder")
        assert run.log_dataset({"a": [1]}, name="rows") is None
    with pytest.warns(LoggingWarning, match=r"lost 9 values: note.txt cannot be kept"):
        run.end()
    assert door.runs.show(ref=run.id).metrics == {"auc": 1.0}


def test_a_server_that_answers_needs_no_disk(
    address: str, project: Path, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(
        environment={}, folder=project, home=project / "train.py" / "home", url=address
    )
    with start_in(config, "diskless", options=QUIET) as run:
        run.log_metric("auc", 1.0)
        run.log_text("hello", "note.txt")
    found = door.runs.show(ref=run.id)
    assert (found.status, found.metrics) == ("finished", {"auc": 1.0})
    assert [link.name for link in found.links] == ["note.txt"]
    assert found.source.code_digest is not None
    door.artifacts.fetch(found.source.code_digest, project / "manifest")
    assert capsys.readouterr().err == ""


def test_what_the_caller_did_wrong_is_said_also_when_the_server_is_away(project: Path) -> None:
    nobody = load_config(environment={}, folder=project, url="http://127.0.0.1:9")
    with pytest.raises(Invalid, match="cannot be the name of a run"):
        start_in(nobody, "\n")
    with pytest.warns(LoggingWarning, match="is kept on this machine"):
        run = start_in(nobody, "offline", params={"depth": 3}, options=QUIET)
    with run:
        with pytest.raises(Conflict, match="'depth' already has another value"):
            run.log_param("depth", 4)
        with pytest.raises(Invalid, match="cannot be the name of a metric"):
            run.log_metric("", 1.0)
        with pytest.raises(NotFound, match="there is no file"):
            run.log_artifact(project / "nothing")


def test_in_a_notebook_a_cell_sees_the_run_of_an_earlier_one(
    embedded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(history_manager=None, user_ns={})
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)  # pyright: ignore[reportArgumentType]
    # Some kernels run each cell in a context of its own.
    run = contextvars.Context().run(start_in, embedded, "cells", options=QUIET)
    assert contextvars.Context().run(active_run) is run
    contextvars.Context().run(end_run)
    assert run.ended
    assert active_run() is None
