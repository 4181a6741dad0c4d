"""A home that scripts log to, reached directly and through a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.example_host import serving
from millwright.doors.door import Door
from millwright.sdk.current import end_run
from millwright.server.host import Host
from millwright.testing.clock import FakeClock
from millwright.workspace.config import Config, load_config
from millwright.workspace.open import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home.create(tmp_path_factory.mktemp("home") / "home")
    yield home
    home.close()


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serving(cast("Host", home), open_on_loopback=True) as address:
        yield address


@pytest.fixture
def door(home: Home) -> Door:
    """The home, to look at what was logged."""
    return cast("Door", home.door(home.local_principal(), "default"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with one source file."""
    (tmp_path / "train.py").write_text("print('training')\n")
    return tmp_path


@pytest.fixture
def embedded(home: Home, project: Path) -> Config:
    return load_config(environment={}, folder=project, home=home.path)


@pytest.fixture(params=["embedded", "remote"])
def config(request: pytest.FixtureRequest, home: Home, project: Path) -> Config:
    """Settings that lead to the home, by each door in turn."""
    if request.param == "embedded":
        return load_config(environment={}, folder=project, home=home.path)
    url: str = request.getfixturevalue("address")
    return load_config(environment={}, folder=project, url=url)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def nothing_stays_active() -> Iterator[None]:
    yield
    end_run()
