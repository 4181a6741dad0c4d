from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.registries import Home, made_home
from millwright.metadata.database import Database


@pytest.fixture
def home(database: Database) -> Iterator[Home]:
    """A registry on a fresh store of each kind in turn."""
    with made_home(database) as home:
        yield home
