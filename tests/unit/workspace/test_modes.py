"""A home is closed to others from its first moment, and the doctor says when it no longer is."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from millwright.workspace.config import load_config
from millwright.workspace.doctor import Finding, examine
from millwright.workspace.open import Home

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes_of(home: Path) -> Finding:
    config = load_config(environment={}, folder=home, home=home)
    found = examine(config, sample=0, choice=random.Random(0))
    return next(one for one in found if one.name == "modes")


@pytest.mark.usefixtures("open_umask")
def test_a_new_home_is_its_makers_alone(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    files = list(home.path.glob("millwright.db*"))
    assert len(files) == 3
    assert {mode(one) for one in files} == {0o600}
    assert mode(home.path) == 0o700
    home.close()
    assert modes_of(home.path).ok


def test_a_folder_that_is_there_keeps_its_mode_and_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Home.create(tmp_path).close()
    assert mode(tmp_path) == 0o755
    found = modes_of(tmp_path)
    assert (found.ok, found.fix) == (False, f"chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    (tmp_path / "millwright.db").chmod(0o644)
    found = modes_of(tmp_path)
    assert found.what == f"{tmp_path}/millwright.db is open to other users (mode 0644)"
    assert found.fix == f"chmod 600 {tmp_path}/millwright.db"
    Home.open(tmp_path).close()
