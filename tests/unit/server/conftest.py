"""A server on loopback over an example home, shared by the tests of one module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fixtures.example_host import ExampleHost, serving
from millwright.metadata.database import Database


@pytest.fixture(scope="module")
def host(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleHost]:
    folder = tmp_path_factory.mktemp("home")
    database = Database.at(str(shutil.copy(sqlite_template, folder / "millwright.db")))
    (folder / "artifacts").mkdir()
    yield ExampleHost(database, folder / "artifacts")
    database.close()


@pytest.fixture(scope="module")
def address(host: ExampleHost) -> Iterator[str]:
    with serving(host) as address:
        yield address


@pytest.fixture(scope="module")
def admin_token(host: ExampleHost) -> str:
    return host.token("ada", ["*"])


@pytest.fixture(scope="module")
def anybody(address: str) -> Iterator[httpx.Client]:
    """Requests without a token."""
    with httpx.Client(base_url=address, trust_env=False) as http:
        yield http


@pytest.fixture(scope="module")
def admin(address: str, admin_token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {admin_token}"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
        yield http
