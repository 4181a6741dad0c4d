"""What all tests share: metadata stores of both kinds, made once and copied for each test."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest

from fixtures import postgres
from millwright.metadata.database import Database
from millwright.metadata.migrations.upgrade import upgrade

# The same examples each time, however slow the machine: a red run says something of the change.
# `make storm` looks for others, which nobody has tried yet.
hypothesis.settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "others", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("same")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a PostgreSQL server whose database `mill_template` has our schema."""
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (neither initdb on PATH nor /usr/lib/postgresql)")
    with postgres.server(binaries) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE mill_template")
        template = Database.at(url.replace("/postgres", "/mill_template"))
        upgrade(template)
        template.close()
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "millwright.db"
    database = Database.at(str(path))
    upgrade(database)
    database.close()
    return path


@contextmanager
def postgres_database(url: str, *, template: str = "mill_template") -> Generator[str]:
    """Make a database from a template and yield its address; drop it afterwards."""
    name = f"mill_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield url.replace("/postgres", f"/{name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sqlite_address(sqlite_template: Path, tmp_path: Path) -> str:
    """The path of a fresh SQLite store at the newest schema."""
    return str(shutil.copy(sqlite_template, tmp_path / "millwright.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a fresh store at the newest schema, of each kind in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_address")
        return
    with postgres_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """A fresh metadata store at the newest schema, of each kind in turn."""
    database = Database.at(address)
    yield database
    database.close()
