"""The projects of a home: the tenants inside which names are unique and roles are granted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from msgspec.structs import replace

from millwright.access.actors import Recorder
from millwright.core.clock import Clock
from millwright.core.errors import Conflict, NotFound
from millwright.core.ids import ProjectId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import access as table
from millwright.records.access import Project
from millwright.records.events import Act, ProjectCreated, Subject

DEFAULT_PROJECT = "default"
"""The project that every home has from its first day."""


class Projects:
    """The projects of a home."""

    def __init__(self, database: Database, recorder: Recorder, clock: Clock) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        # A project keeps its name and key for ever, so that each is read once.
        self._known: dict[str, Project] = {}

    def create(self, name: str, *, act: Act, tx: Writer | None = None) -> Project:
        """Add a project and return it; raises Conflict when the name is taken.

        The event belongs to the new project and is its first, whatever project `act` names.
        """
        project_id = ProjectId(new_id("prj"))
        now_us = self._clock.now_us()
        check_name(name, "project")
        with self._writing(tx) as writer:
            key = table.insert_project(writer, project_id=project_id, name=name, now_us=now_us)
            if key is None:
                raise Conflict(f"a project named {name} exists already", fix="choose another name")
            self._recorder.append(
                writer,
                replace(act, project=project_id, project_key=key),
                ProjectCreated(name=name, reason=act.reason),
                [Subject(kind="project", id=project_id)],
            )
        return Project(id=project_id, key=key, name=name, created_us=now_us)

    def get(self, text: str) -> Project:
        """Return the project with that name or id; raises NotFound."""
        known = self._known.get(text)
        if known is None:
            with self._database.read() as tx:
                known = self._known[text] = read_project(tx, text)
        return known

    def of_key(self, key: int) -> Project:
        """Return the project of a key; raises NotFound."""
        for project in self.list():
            if project.key == key:
                return project
        raise NotFound(f"no project with the key {key}")

    def list(self) -> list[Project]:
        """Return all projects, by name."""
        with self._database.read() as tx:
            return table.list_projects(tx)

    def _writing(self, tx: Writer | None) -> AbstractContextManager[Writer]:
        return self._database.write() if tx is None else nullcontext(tx)


def read_project(tx: Reader, text: str) -> Project:
    """Return the project with that name or id; raises NotFound."""
    project = table.find_project(tx, text)
    if project is None:
        known = [project.name for project in table.list_projects(tx)]
        why = did_you_mean(text, known) or f"this home has: {', '.join(known)}"
        raise NotFound(f"no project {text!r}", why=why)
    return project
