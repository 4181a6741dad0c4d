from __future__ import annotations

import contextvars
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import uvicorn

from fixtures.away import FakeHome
from fixtures.example_host import running
from fixtures.serving import wait_until
from millwright.core.clock import SystemClock
from millwright.core.errors import Conflict, Invalid, Unreachable
from millwright.doors.door import Door
from millwright.sdk.active import ActiveRun
from millwright.sdk.current import Options, attach_run, start_in
from millwright.sdk.items import Batch
from millwright.sdk.route import spool_folder
from millwright.sdk.spool import frame_of
from millwright.sdk.syncing import spools_in, sync_spool
from millwright.server.host import Host
from millwright.server.process import make_server
from millwright.workspace.config import Config, load_config
from millwright.workspace.open import Home

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.filterwarnings(
        "ignore:.*is kept on this machine:millwright.sdk.losses.LoggingWarning"
    ),
]

QUIET = Options(console=False, system=False)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No door opens in this test, until `come_back` is called."""

    def open_door(config: Config, *, create: bool = False) -> Door:
        raise Unreachable("no server answers")

    for module in ("current", "route", "syncing"):
        monkeypatch.setattr(f"millwright.sdk.{module}.open_door", open_door)


def offline_run(config: Config, project: Path) -> ActiveRun:
    with start_in(config, "night", experiment="churn", params={"depth": 3}, options=QUIET) as run:
        for step in range(3):
            run.log_metric("auc", step / 4, step=step)
        run.log_metric("worst", float("-inf"))
        run.set_tags({"who": "ada"})
        run.log_artifact(project / "train.py", name="code/script.py")
        run.log_dataset({"a": [1, 2], "b": ["x", None]}, name="rows")
    return run


def test_a_run_made_offline_arrives_whole(
    config: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = offline_run(config, project)
    assert sync_spool(config).waiting[run.id] == "no server answers"
    monkeypatch.undo()
    report = sync_spool(config)
    assert run.id in report.delivered
    assert (report.waiting, report.refusals) == ({}, [])
    shown = door.runs.show(ref=run.id)
    assert (shown.name, shown.experiment, shown.status) == ("night", "churn", "finished")
    assert shown.params == {"depth": "3"}
    assert shown.tags == {"who": "ada"}
    assert shown.metrics == {"auc": 0.5, "worst": "-Infinity"}
    assert len(door.runs.history(ref=run.id, key="auc")) == 3
    assert shown.end_us is not None
    assert shown.start_us < shown.end_us
    assert {(link.way, link.what, link.name) for link in shown.links} == {
        ("output", "artifact", "code/script.py"),
        ("input", "dataset_version", "rows"),
    }
    (file,) = door.runs.artifacts(ref=run.id, folder="code")
    assert file.path.endswith("code/script.py")
    assert shown.source.code_digest is not None
    door.artifacts.fetch_folder(shown.source.code_digest, project / "back")
    assert (project / "back" / "train.py").read_text() == "print('training')\n"
    assert door.data.show(ref="rows").row_count == 2
    assert not spool_folder(config).exists()
    assert sync_spool(config).delivered == []


def test_a_record_that_was_half_written_is_left_out_and_told(
    embedded: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = offline_run(embedded, project)
    (path,) = spools_in(spool_folder(embedded))
    with path.open("ab") as stream:
        stream.write(frame_of(Batch(params={"late": "1"}))[:-3])
    monkeypatch.undo()
    report = sync_spool(embedded)
    assert report.delivered == [run.id]
    assert report.torn == {run.id: len(frame_of(Batch(params={"late": "1"}))) - 3}
    assert door.runs.show(ref=run.id).params == {"depth": "3"}


def test_two_that_send_at_once_send_everything_once(
    embedded: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [offline_run(embedded, project).id for _ in range(4)]
    monkeypatch.undo()
    with ThreadPoolExecutor(2) as both:
        reports = list(both.map(sync_spool, [embedded, embedded]))
    delivered = [run for report in reports for run in report.delivered]
    assert sorted(delivered) == sorted(runs)
    for run in runs:
        assert len(door.runs.history(ref=run, key="auc")) == 3
    assert sync_spool(embedded).waiting == {}


def test_a_nested_run_made_offline_follows_its_parent(
    embedded: Config, door: Door, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        start_in(embedded, "outer", options=QUIET) as outer,
        start_in(embedded, "inner", nested=True, options=QUIET) as inner,
    ):
        inner.log_metric("auc", 1.0)
    monkeypatch.undo()
    assert sync_spool(embedded).delivered == [outer.id, inner.id]
    assert door.runs.show(ref=inner.id).parent == outer.id


def test_the_next_run_sends_what_earlier_ones_could_not(
    config: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = offline_run(config, project)
    monkeypatch.undo()
    with start_in(config, "morning", options=QUIET):
        wait_until(lambda: not list(spools_in(spool_folder(config))))
    assert door.runs.show(ref=earlier.id).status == "finished"


def test_a_run_made_offline_goes_on(
    config: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = offline_run(config, project)
    with start_in(config, run_id=run.id, options=QUIET) as again:
        again.log_metric("auc", 0.75, step=3)
    monkeypatch.undo()
    with start_in(config, run_id=run.id, options=QUIET) as again:
        assert again.name == "night"
        again.log_metric("auc", 1.0, step=4)
    history = door.runs.history(ref=run.id, key="auc")
    assert [point.step for point in history] == [0, 1, 2, 3, 4]
    assert door.runs.show(ref=run.id).status == "finished"


def test_the_log_of_a_run_that_went_on_offline_goes_behind_the_one_that_is_there(
    config: Config, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = Options(system=False)
    with start_in(config, "twice", options=options) as run:
        sys.stdout.write("online\n")

    def open_door(config: Config, *, create: bool = False) -> Door:
        raise Unreachable("no server answers")

    with monkeypatch.context() as patched:
        for module in ("current", "route", "syncing"):
            patched.setattr(f"millwright.sdk.{module}.open_door", open_door)
        with start_in(config, run_id=run.id, options=options):
            sys.stdout.write("offline\n")
    assert run.id in sync_spool(config).delivered
    log = door.runs.show(ref=run.id).log_digest
    assert log is not None
    door.artifacts.fetch(log, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "online\noffline\n"


def test_a_start_that_fails_offline_leaves_a_run_that_had_ended_as_it_was(
    config: Config, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_in(config, "once", options=QUIET) as run:
        pass

    def open_door(config: Config, *, create: bool = False) -> Door:
        raise Unreachable("no server answers")

    with monkeypatch.context() as patched:
        for module in ("current", "route", "syncing"):
            patched.setattr(f"millwright.sdk.{module}.open_door", open_door)
        with pytest.raises(Invalid):
            start_in(config, run_id=run.id, params={"": 1}, options=QUIET)
    sync_spool(config)
    found = door.runs.show(ref=run.id)
    assert (found.status, found.error) == ("finished", None)


def test_what_a_worker_could_not_send_comes_before_the_end_of_its_run(
    embedded: Config, door: Door, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_in(embedded, "job", options=QUIET) as run:
        worker = contextvars.Context().run(attach_run, run.id, config=embedded)
        worker.log_metric("rows", 5.0)
        worker.end()
    assert len(spools_in(spool_folder(embedded))) == 2
    monkeypatch.undo()
    report = sync_spool(embedded)
    assert (report.delivered, report.refusals) == ([run.id], [])
    shown = door.runs.show(ref=run.id)
    assert (shown.status, shown.metrics) == ("finished", {"rows": 5.0})


def test_what_comes_after_the_end_of_its_run_is_added_to_it(
    embedded: Config, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_door(config: Config, *, create: bool = False) -> Door:
        raise Unreachable("no server answers")

    run = start_in(embedded, "job", options=QUIET)
    with monkeypatch.context() as patched:
        for module in ("current", "route"):
            patched.setattr(f"millwright.sdk.{module}.open_door", open_door)
        worker = contextvars.Context().run(attach_run, run.id, config=embedded)
        worker.log_metric("rows", 5.0)
        worker.end()
    run.end("cancelled")
    before = door.runs.show(ref=run.id)
    assert sync_spool(embedded).delivered == [run.id]
    shown = door.runs.show(ref=run.id)
    assert (shown.status, shown.end_us, shown.metrics) == (
        "cancelled",
        before.end_us,
        {"rows": 5.0},
    )


def test_a_spool_in_use_or_for_another_server_is_left_alone(
    config: Config, project: Path, away: None
) -> None:
    run = start_in(config, "going on", options=QUIET)
    assert sync_spool(config).waiting == {run.id: "a process that is running uses it"}
    run.end()
    elsewhere = load_config(environment={}, folder=project, url="http://127.0.0.1:9")
    if config.url is not None:
        assert sync_spool(elsewhere).waiting == {run.id: f"it is for {config.url}"}


def test_a_file_that_is_no_spool_stops_nothing(
    embedded: Config, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = offline_run(embedded, project)
    stray = spool_folder(embedded) / "notes.spool"
    stray.write_text("buy milk, and more than that")
    monkeypatch.undo()
    report = sync_spool(embedded)
    assert run.id in report.delivered
    assert "notes.spool" in report.waiting
    assert stray.exists()
    stray.unlink()


def test_a_beginning_that_is_refused_keeps_all_of_its_run(
    config: Config, door: Door, project: Path, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = offline_run(config, project)
    monkeypatch.undo()
    with suppress(Conflict):
        door.experiments.create(name="churn")
    door.experiments.delete(ref="churn")
    report = sync_spool(config)
    assert "churn" in report.waiting[run.id]
    assert report.refusals == []
    door.experiments.restore(ref="churn")
    assert run.id in sync_spool(config).delivered
    assert door.runs.show(ref=run.id).status == "finished"


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


@pytest.mark.parametrize("place", ["before", "after"])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    place: str, embedded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = FakeHome()
    config = load_config(environment={}, folder=embedded.root, url="http://127.0.0.1:9")

    def open_door(config: Config, *, create: bool = False) -> Door:
        return home.door()

    for module in ("current", "route", "syncing"):
        monkeypatch.setattr(f"millwright.sdk.{module}.open_door", open_door)
    home.shut()
    with start_in(config, "night", params={"depth": 3}, options=QUIET) as run:
        for step in range(3):
            run.log_metric("auc", step / 4, step=step)
            assert not run.flush()
        run.log_artifact(embedded.root / "train.py")
    home.open()
    kills = 0
    while list(spools_in(spool_folder(config))):
        left = kills

        def kill(name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        # Each try gets one call further than the one before, from where that came to.
        setattr(home, place, kill)
        try:
            sync_spool(config)
        except Killed:
            kills += 1
            assert kills < 100
    kept = home.only()
    assert kills >= 4
    assert (kept.status, kept.params, kept.resumed) == ("finished", {"depth": "3"}, 0)
    assert [step for step, _ in kept.metrics("auc")] == [0, 1, 2]
    assert list(kept.files) == ["train.py"]


def serve(home: Home, port: int) -> uvicorn.Server:
    return make_server(
        cast("Host", home),
        clock=SystemClock(),
        address="127.0.0.1",
        port=port,
        open_on_loopback=True,
    )


def test_a_server_that_is_killed_and_started_again_misses_nothing(
    home: Home, door: Door, project: Path
) -> None:
    with running(serve(home, 0)) as address:
        config = load_config(environment={}, folder=project, url=address)
        run = start_in(config, "through it all", options=QUIET)
        run.log_metric("auc", 0.0, step=0)
        assert run.flush()
    run.log_metric("auc", 1.0, step=1)
    assert not run.flush()
    run.log_metric("auc", 2.0, step=2)
    with running(serve(home, int(address.rpartition(":")[2]))):
        run.log_metric("auc", 3.0, step=3)
        wait_until(run.flush)
        run.end()
    history = door.runs.history(ref=run.id, key="auc")
    assert [(point.step, point.value) for point in history] == [(n, float(n)) for n in range(4)]
    assert door.runs.show(ref=run.id).status == "finished"


KILLED = """
import os, signal
import millwright as mw
run = mw.start_run("killed", params={"depth": 3}, console=False, system_metrics=False)
print(run.id, flush=True)
for step in range(20_000):
    mw.log_metric("loss", step / 2, step=step)
mw.log_text("hello", "note.txt")
mw.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_script_could_not_send_is_sent_for_it(
    home: Home, door: Door, project: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        capture_output=True,
        text=True,
        cwd=project,
        env=os.environ | {"MILLWRIGHT_URL": url},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    run = done.stdout.split()[0]
    config = load_config(environment={}, folder=project, url=url)
    with running(serve(home, port)):
        wait_until(lambda: run in sync_spool(config).delivered)
    shown = door.runs.show(ref=run)
    # Nobody said how it ended.
    assert (shown.status, shown.params) == ("running", {"depth": "3"})
    history = door.runs.history(ref=run, key="loss")
    assert [point.step for point in history] == list(range(20_000))
    assert [link.name for link in shown.links] == ["note.txt"]
