"""A home with a deployment, of each kind of database or on SQLite only, and real rows for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.monitoring import Cancer, World, make_world, split_cancer
from millwright.metadata.database import Database
from millwright.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(database: Database, tmp_path: Path, clock: FakeClock) -> World:
    return make_world(database, tmp_path / "store", clock)


@pytest.fixture
def sqlite_world(sqlite_address: str, tmp_path: Path, clock: FakeClock) -> Iterator[World]:
    database = Database.at(sqlite_address)
    yield make_world(database, tmp_path / "store", clock)
    database.close()


@pytest.fixture
def cancer() -> Cancer:
    return split_cancer(7)
