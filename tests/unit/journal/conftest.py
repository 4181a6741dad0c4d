from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.journals import ORIGIN
from millwright.journal.checkpoints import SigningKey, VerifierKey
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def key(keys: Path) -> SigningKey:
    return SigningKey.load_or_create(keys)


@pytest.fixture
def verifier(key: SigningKey) -> VerifierKey:
    return key.verifier(ORIGIN)


@pytest.fixture
def journal(database: Database, key: SigningKey, clock: FakeClock) -> Journal:
    return Journal(database, key, clock, origin=ORIGIN)
