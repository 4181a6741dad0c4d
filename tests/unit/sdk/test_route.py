from __future__ import annotations

from pathlib import Path

import pytest

from millwright.core.clock import SystemClock
from millwright.core.ids import RunId, new_id
from millwright.sdk.items import Resumed
from millwright.sdk.route import Route, spool_folder
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
    assert route.sender().backlog.waiting == 1


def test_each_worker_has_a_spool_of_its_own_behind_the_runs(route: Route, config: Config) -> None:
    workers = [route.worker_sender(), route.worker_sender()]
    for sender in (*workers, route.sender()):
        assert sender.stop(Resumed()) == 1
    first, *others = spools_in(spool_folder(config))
    assert first.name == f"{route.run}.spool"
    assert len(others) == 2
