"""What the tests of many rooms share: a home of each kind of database, and one on SQLite only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.homes import Place, made_place
from millwright.testing.clock import FakeClock


@pytest.fixture
def place(address: str, tmp_path: Path) -> Iterator[Place]:
    with made_place(address, tmp_path, FakeClock()) as place:
        yield place


@pytest.fixture
def sqlite_place(sqlite_address: str, tmp_path: Path) -> Iterator[Place]:
    with made_place(sqlite_address, tmp_path, FakeClock()) as place:
        yield place
