"""Who holds which role where, and the principal that comes of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from millwright.access.actors import Recorder, read_actor
from millwright.access.permissions import EVERY_PROJECT, Principal
from millwright.access.projects import read_project
from millwright.core.clock import Clock
from millwright.core.errors import Conflict, Denied
from millwright.core.ids import ActorId
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import access as table
from millwright.records.access import Actor, Grant, Project, Role
from millwright.records.events import Act, RoleGranted, RoleRevoked, Subject


class Grants:
    """The roles that actors hold; each change is journaled with who made it."""

    def __init__(self, database: Database, recorder: Recorder, clock: Clock) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock

    def grant_role(
        self, actor: str, role: Role, *, act: Act, project: str | None, tx: Writer | None = None
    ) -> None:
        """Give `actor` (name or id) a role in `project` (name or id), or with None in every one.

        A role already held stays held and is not journaled again. Raises NotFound, and Conflict
        for an actor that is disabled.
        """
        with self._writing(tx) as writer:
            who, where = _read(writer, actor, project)
            if who.disabled_us is not None:
                raise Conflict(f"{who.name} is disabled", why="a disabled actor is given no role")
            key = where.key if where else EVERY_PROJECT
            if table.insert_grant(writer, who.id, role, key, now_us=self._clock.now_us()):
                detail = RoleGranted(
                    name=who.name,
                    role=role.value,
                    project=where.name if where else None,
                    reason=act.reason,
                )
                self._recorder.append(writer, act, detail, _subjects(who, where))

    def revoke_role(
        self, actor: str, role: Role, *, act: Act, project: str | None, tx: Writer | None = None
    ) -> None:
        """Take a role back where it was granted; a role not held there changes nothing.

        A role held in every project is taken back with `project` None only. Raises NotFound.
        """
        with self._writing(tx) as writer:
            who, where = _read(writer, actor, project)
            if table.delete_grant(writer, who.id, role, where.key if where else EVERY_PROJECT):
                detail = RoleRevoked(
                    name=who.name,
                    role=role.value,
                    project=where.name if where else None,
                    reason=act.reason,
                )
                self._recorder.append(writer, act, detail, _subjects(who, where))

    def list(self) -> list[Grant]:
        """Return every grant of the home, by actor."""
        with self._database.read() as tx:
            return table.list_grants(tx)

    def principal_of(self, actor: str) -> Principal:
        """Return the principal for an actor (name or id) known without a token.

        That is the embedded door: who can open the store's file is who he says. Raises NotFound,
        and Denied for an actor that is disabled.
        """
        with self._database.read() as tx:
            who = read_actor(tx, actor)
            if who.disabled_us is not None:
                raise Denied(f"{who.name} is disabled and may do nothing")
            return Principal(who.id, who.name, who.kind, read_roles(tx, who.id))

    def _writing(self, tx: Writer | None) -> AbstractContextManager[Writer]:
        return self._database.write() if tx is None else nullcontext(tx)


def read_roles(tx: Reader, actor: ActorId) -> dict[int, frozenset[Role]]:
    """Return project key -> roles for all an actor was granted."""
    roles: dict[int, frozenset[Role]] = {}
    for key, role in table.roles_of(tx, actor):
        roles[key] = roles.get(key, frozenset()) | {role}
    return roles


def _read(tx: Reader, actor: str, project: str | None) -> tuple[Actor, Project | None]:
    who = read_actor(tx, actor)
    return who, None if project is None else read_project(tx, project)


def _subjects(who: Actor, where: Project | None) -> list[Subject]:
    subjects = [Subject(kind="actor", id=who.id)]
    return [*subjects, Subject(kind="project", id=where.id)] if where else subjects
