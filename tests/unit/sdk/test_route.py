from __future__ import annotations

from pathlib import Path

import pytest

from millwright.core.clock import SystemClock
from millwright.core.errors import Unreachable
from millwright.core.ids import RunId, new_id
from millwright.sdk.items import Resumed
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.route import Route, spool_folder
from millwright.sdk.spool import FORMAT, Header, frame_of
from millwright.sdk.syncing import spools_in
from millwright.workspace.config import Config, load_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(environment={}, folder=tmp_path, url="http://127.0.0.1:9", project="p")


@pytest.fixture
def route(config: Config) -> Route:
    return Route(config, RunId(new_id("run")), SystemClock())


def test_a_run_waits_below_the_home_and_knows_where_it_is_to_go(
    route: Route, config: Config
) -> None:
    sender = route.sender()
    spool = sender.backlog.spool
    assert spool.path == config.home / "spool" / f"{route.run}.spool"
    assert (spool.header.run, spool.header.project, spool.header.url) == (
        route.run,
        "p",
        "http://127.0.0.1:9",
    )
    assert not config.home.exists()


def test_what_an_earlier_process_left_is_gone_on_with(route: Route) -> None:
    first = route.sender()
    assert first.stop(Resumed()) == 1
    assert route.resumed_sender().backlog.waiting == 1


def test_a_process_that_goes_on_with_a_run_in_use_has_a_spool_of_its_own(
    route: Route, config: Config
) -> None:
    first, second = route.sender(), route.resumed_sender()
    first.submit(Resumed())
    first.set_away(Unreachable("no server answers"))
    third = route.resumed_sender()
    for sender in (first, second, third):
        assert sender.stop(Resumed()) >= 1
        assert sender.backlog.lost == 0
    assert len(spools_in(spool_folder(config))) == 3
    # The first process' is gone on with, before the others'.
    assert route.resumed_sender().backlog.waiting == 2


def test_a_spool_whose_beginning_is_torn_is_set_aside(route: Route, config: Config) -> None:
    folder = spool_folder(config)
    folder.mkdir(parents=True)
    (folder / f"{route.run}.spool").write_bytes(b"\0" * 512)
    with pytest.warns(LoggingWarning, match="is not a spool: it is kept as"):
        sender = route.resumed_sender()
    assert sender.stop(Resumed()) == 1
    (aside,) = folder.glob("*.unreadable")
    assert aside.read_bytes() == b"\0" * 512


def test_a_spool_of_a_later_version_waits_where_it_is(route: Route, config: Config) -> None:
    folder = spool_folder(config)
    folder.mkdir(parents=True)
    later = Header(format=FORMAT + 1, run=route.run, project="p", url=None)
    (folder / f"{route.run}.spool").write_bytes(frame_of(later))
    sender = route.resumed_sender()
    assert sender.stop(Resumed()) == 1
    assert len(spools_in(folder)) == 2


def test_each_worker_has_a_spool_of_its_own_behind_the_runs(route: Route, config: Config) -> None:
    workers = [route.worker_sender(), route.worker_sender()]
    for sender in (*workers, route.sender()):
        assert sender.stop(Resumed()) == 1
    first, *others = spools_in(spool_folder(config))
    assert first.name == f"{route.run}.spool"
    assert len(others) == 2
