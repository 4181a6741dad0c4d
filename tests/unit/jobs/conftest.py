"""A queue in a store with one project."""

from __future__ import annotations

import pytest

from millwright.core.ids import ActorId, ProjectId
from millwright.jobs.queue import Jobs
from millwright.metadata.database import Database
from millwright.metadata.tables.access import insert_project
from millwright.records.events import Act
from millwright.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def act(database: Database) -> Act:
    project = ProjectId("prj_1")
    with database.write() as tx:
        key = insert_project(tx, project_id=project, name="default", now_us=0)
    assert key is not None
    return Act(actor=ActorId("act_1"), project=project, project_key=key, reason="because")


@pytest.fixture
def jobs(database: Database, clock: FakeClock) -> Jobs:
    return Jobs(database, clock)
