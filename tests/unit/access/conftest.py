"""A home with one admin, `ada`, and one project; its events are kept in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pytest

from millwright.access.actors import Directory
from millwright.access.grants import Grants
from millwright.access.permissions import Principal
from millwright.access.projects import DEFAULT_PROJECT, Projects
from millwright.access.tokens import Tokens
from millwright.core.ids import ActorId, EventId, ProjectId, new_id
from millwright.metadata.database import Database, Writer
from millwright.records.access import Role
from millwright.records.events import Act, Detail, Subject
from millwright.testing.clock import FakeClock

Entries: TypeAlias = list[tuple[Act, Detail, list[Subject]]]


class ListRecorder:
    """Keeps what it is told to record."""

    def __init__(self) -> None:
        self.entries: Entries = []

    def append(self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject]) -> EventId:
        self.entries.append((act, detail, list(subjects)))
        return EventId(new_id("evt"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder() -> ListRecorder:
    return ListRecorder()


@pytest.fixture
def entries(recorder: ListRecorder) -> Entries:
    """What was recorded since the home was made; the fixtures that follow add to it first."""
    return recorder.entries


@pytest.fixture
def projects(database: Database, recorder: ListRecorder, clock: FakeClock) -> Projects:
    return Projects(database, recorder, clock)


@pytest.fixture
def directory(database: Database, recorder: ListRecorder, clock: FakeClock) -> Directory:
    return Directory(database, recorder, clock)


@pytest.fixture
def grants(database: Database, recorder: ListRecorder, clock: FakeClock) -> Grants:
    return Grants(database, recorder, clock)


@pytest.fixture
def tokens(database: Database, recorder: ListRecorder, clock: FakeClock) -> Tokens:
    return Tokens(database, recorder, clock)


@pytest.fixture
def act(recorder: ListRecorder, projects: Projects, directory: Directory, grants: Grants) -> Act:
    """The first person acts in the default project of a home just made."""
    first = ActorId(new_id("act"))
    before = Act(actor=first, project=ProjectId(""), project_key=0)
    project = projects.create(DEFAULT_PROJECT, act=before)
    act = Act(actor=first, project=project.id, project_key=project.key, reason="because")
    directory.create_person("ada", act=act, actor_id=first)
    grants.grant_role("ada", Role.ADMIN, act=act, project=None)
    recorder.entries.clear()
    return act


@pytest.fixture
def ada(grants: Grants, act: Act) -> Principal:
    return grants.principal_of(act.actor)
