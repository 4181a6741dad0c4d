"""Opens a home: the one place that knows every room and ties them together.

A home is a folder with a database (or the address of one), stored artifacts and keys. Any
number of processes may open it at once; nothing here runs by itself.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from millwright.access.permissions import Principal, require
from millwright.access.projects import DEFAULT_PROJECT
from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import Conflict, Denied, Invalid, NotFound
from millwright.core.ids import ActorId, EventId, HomeId, ProjectId, RequestId, new_id
from millwright.core.refs import did_you_mean
from millwright.core.version import VERSION
from millwright.doors.audit import Proof
from millwright.governance.policy import Policy
from millwright.journal.checkpoints import KEY_FILE, SigningKey
from millwright.journal.verify import Verification, verify
from millwright.metadata.database import Database, Writer
from millwright.metadata.migrations.upgrade import upgrade
from millwright.metadata.tables import home as home_tables
from millwright.metadata.tables.models import VersionRow
from millwright.records.access import Actor, Permission, Role
from millwright.records.events import AccessDenied, Act, HomeCreated, Subject
from millwright.tracking.limits import Limits
from millwright.workspace.arguments import parse_choice
from millwright.workspace.config import Config, init_command
from millwright.workspace.nouns import Nouns
from millwright.workspace.proving import prove
from millwright.workspace.rooms import Rooms
from millwright.workspace.session import Session
from millwright.workspace.tracking_rooms import ARTIFACTS_FOLDER

DATABASE_FILE = "millwright.db"
KEYS_FOLDER = "keys"
RUN_FOLDER = "run"
IGNORE_FILE = ".gitignore"
HOME_MODE = 0o700
DATABASE_MODE = 0o600
PLAN_POLL_S = 0.1
NO_PROJECT = ProjectId("")

T = TypeVar("T")


class Home(Rooms):
    """An open home; its rooms are made when they are first asked for."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        database: str | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
        webhook_origins: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> Home:
        """Make a home in the folder `path`, or open the one that is there.

        Its first actor is the user of this machine, an admin. Raises Denied when the folder
        cannot be written, Conflict when the database is that of a home with another folder's key,
        and what opening raises.
        """
        try:
            # A folder that is there keeps its mode: somebody may have chosen it.
            path.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
            for folder in (path / ARTIFACTS_FOLDER, path / RUN_FOLDER):
                folder.mkdir(exist_ok=True)
            if not (path / IGNORE_FILE).exists():
                # A home holds keys; it must not slip into a repository.
                (path / IGNORE_FILE).write_text("*\n", encoding="utf-8")
            if database is None:
                # SQLite gives its -wal and -shm the mode of the file.
                (path / DATABASE_FILE).touch(mode=DATABASE_MODE)
        except OSError as error:
            raise Denied(
                f"no home can be made in {path}",
                why=error.strerror or str(error),
                fix="name a folder you may write to with --home",
            ) from error
        store = Database.at(database or str(path / DATABASE_FILE))
        upgrade(store)
        clock, policy = clock or SystemClock(), policy or Policy()
        with store.read() as tx:
            found = home_tables.find_home(tx)
        if found is not None and not (path / KEYS_FOLDER / KEY_FILE).exists():
            # A key is made before its home: this folder is not the one that made it.
            store.close()
            raise Conflict(
                f"the database is that of the home {found}, and {path} has not its signing key",
                why="a second key would make every checkpoint of the first look forged",
                fix=f"copy its folder {KEYS_FOLDER} to {path}, or name an empty database",
            )
        key = SigningKey.load_or_create(path / KEYS_FOLDER)

        def making(home_id: HomeId) -> Home:
            return cls(
                path,
                store,
                home_id=home_id,
                key=key,
                policy=policy,
                clock=clock,
                webhook_origins=webhook_origins,
                limits=limits,
            )

        with store.write() as tx:
            found = HomeId(new_id("hom"))
            if home_tables.insert_home(tx, home_id=found, now_us=clock.now_us()):
                made = making(found)
                made.record_creation(tx)
                return made
            found = home_tables.find_home(tx)
        assert found is not None, "a home is never removed"
        return making(found)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        database: str | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
        webhook_origins: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> Home:
        """Open the home in the folder `path`.

        Raises NotFound when there is none, Unsupported for one made by newer code, and
        Unreachable, Denied or Corrupt when its database cannot be used.
        """
        if not (path / KEYS_FOLDER).is_dir() or not (database or (path / DATABASE_FILE).is_file()):
            raise NotFound(
                f"there is no home in {path}",
                why="it has no database and no keys",
                fix=f"make one: {init_command(path)}",
            )
        store = Database.at(database or str(path / DATABASE_FILE))
        upgrade(store)
        with store.read() as tx:
            found = home_tables.find_home(tx)
        if found is None:
            raise NotFound(
                f"the home in {path} was never finished", fix=f"finish it: {init_command(path)}"
            )
        return cls(
            path,
            store,
            home_id=found,
            key=SigningKey.load(path / KEYS_FOLDER),
            policy=policy or Policy(),
            clock=clock or SystemClock(),
            webhook_origins=webhook_origins,
            limits=limits,
        )

    def close(self) -> None:
        """Sign the journal as it stands and let go of the database."""
        self.journal.close()
        self.database.close()

    def record_creation(self, writer: Writer) -> None:
        """Write the first project, person and events of a new home, in its first transaction."""
        me = ActorId(new_id("act"))
        act = Act(actor=me, project=NO_PROJECT, project_key=0, reason="the home was made")
        project = self.projects.create(DEFAULT_PROJECT, act=act, tx=writer)
        act = Act(actor=me, project=project.id, project_key=project.key, reason=act.reason)
        detail = HomeCreated(
            reason=act.reason,
            home=self.id,
            version=VERSION,
            key=self.key.verifier(self.origin).text(),
        )
        self.journal.append(writer, act, detail, [Subject(kind="home", id=self.id)])
        name = system_user()
        self.directory.create_person(name, act=act, actor_id=me, tx=writer)
        self.grants.grant_role(name, Role.ADMIN, act=act, project=None, tx=writer)

    def session(
        self,
        principal: Principal,
        project: str,
        *,
        request: RequestId | None = None,
        cause: EventId | None = None,
        reason: str = "",
    ) -> Session:
        """Return `principal` at work in `project`; raises NotFound for an unknown one."""
        found = self.projects.get(project)
        return Session(
            principal=principal,
            project=found.id,
            project_name=found.name,
            key=found.key,
            request=request,
            cause=cause,
            reason=reason,
        )

    def principal(self, actor: str | None = None) -> Principal:
        """Return the principal for an actor, or for the user of this machine.

        Who can open the home's files is who he says he is. Raises NotFound and Denied.
        """
        return self.grants.principal_of(actor or system_user())

    def authenticate(self, secret: str) -> Principal:
        """Return whose token `secret` is; raises Unauthenticated."""
        return self.tokens.authenticate(secret)

    def local_principal(self) -> Principal:
        """Return the user of this machine."""
        return self.principal()

    def permit(self, act: Act, permission: Permission) -> None:
        """Return when the act's actor may do `permission` in its project; raises Denied."""
        require(self.grants.principal_of(act.actor), permission, act.project_key)

    def permit_job(self, session: Session, kind: str) -> None:
        """Return when the session may have a job of that kind done; raises Denied and Invalid."""
        from millwright.automation.actions import NEEDS

        if kind not in NEEDS:
            raise Invalid(
                f"no job is called {kind!r}",
                why=f"there are: {', '.join(NEEDS)}",
                fix=did_you_mean(kind, NEEDS),
            )
        require(session.principal, NEEDS[kind], session.key, project=session.project_name)

    def note_denial(
        self,
        principal: Principal,
        permission: Permission,
        project: str,
        *,
        path: str,
        request: RequestId | None = None,
    ) -> None:
        """Journal that somebody known tried what he may not do."""
        act = self.session(principal, project, request=request).act()
        detail = AccessDenied(permission=permission.value, path=path)
        with self.database.write() as tx:
            self.journal.append(tx, act, detail, [Subject(kind="actor", id=principal.actor)])

    def project_key(self, name: str) -> int:
        """Return the integer key of a project; raises NotFound."""
        return self.projects.get(name).key

    def project_name(self, key: int) -> str:
        """Return the name of the project of that key; raises NotFound."""
        return self.projects.of_key(key).name

    def door(
        self, principal: Principal, project: str, *, request: RequestId | None = None
    ) -> Workspace:
        """Return a door for `principal` into `project`; closing it leaves the home open."""
        return Workspace(self, self.session(principal, project, request=request))

    def version_row(self, project_key: int, ref: str) -> VersionRow:
        """Return the row of a model version; raises NotFound."""
        from millwright.registry.models import find_version

        with self.database.read() as tx:
            return find_version(tx, project_key, ref)

    def together(
        self, calls: Sequence[Callable[[], T]], *, relaxed: bool = False
    ) -> list[T | Exception]:
        """Make calls of this home's doors with one commit; return what each gave or raised."""
        return self.database.together(calls, relaxed=relaxed)

    def at_once(self, call: Callable[[], T]) -> T:
        """Return what a call of telemetry gives, without waiting; raises WouldWait."""
        return self.database.at_once(call)

    def ensure_default_experiment(self, principal: Principal, project: str) -> None:
        """Make the experiment `Default` of a project where it is not there."""
        self.runs.experiments.ensure_default(self.session(principal, project).act())

    def plan_revision(self) -> int:
        """Return the common revision of all deployment plans."""
        return self.deployments.plan_revision()

    def wait_for_plans(self, after: int, wait_s: float) -> None:
        """Return when the plans' revision is above `after`, or after `wait_s` seconds."""
        deadline = self.clock.monotonic_s() + wait_s
        while self.plan_revision() <= after and self.clock.monotonic_s() < deadline:
            self.clock.sleep(PLAN_POLL_S)

    def prove(self, event: EventId, *, project: ProjectId) -> Proof:
        """Return the proof that an event of that project stands in the journal; see `proving`."""
        return prove(self.journal, event, project=project)

    def verify(self, against: str | None = None) -> Verification:
        """Check the whole journal, also against a checkpoint kept outside."""
        self.journal.settle()
        return verify(self.database, self.key.verifier(self.origin), against=against)

    def ensure_service(self, name: str, session: Session) -> Principal:
        """Return the principal of a service account, made with the service's role when new."""
        try:
            return self.principal(name)
        except NotFound:
            reason = "a process of this home works under it"
            # A Conflict says that another process has just made it.
            with suppress(Conflict):
                self.create_actor(
                    session, name=name, kind="service", role=Role.SERVICE, reason=reason
                )
            return self.principal(name)

    def create_actor(
        self, session: Session, *, name: str, kind: str, role: str | None, reason: str
    ) -> Actor:
        """Make a person or a service account with a role in the session's project."""
        makers = {
            "person": self.directory.create_person,
            "service": self.directory.create_service,
            "rule": self.directory.create_rule,
        }
        if kind not in makers:
            raise Invalid(f"{kind!r} is no kind of actor", why=f"there are: {', '.join(makers)}")
        act = session.act(reason)
        with self.database.write() as tx:
            actor = makers[kind](name, act=act, tx=tx)
            if role is not None:
                self.grants.grant_role(
                    actor.id,
                    parse_choice(role, Role, "role"),
                    act=act,
                    project=session.project_name,
                    tx=tx,
                )
        return actor


class Workspace(Nouns):
    """The embedded door to one project of a home; fills `doors.door.Door`."""

    def __init__(self, home: Home, session: Session, *, owns_home: bool = False) -> None:
        super().__init__(home, session)
        self._owns_home = owns_home

    @classmethod
    def open(cls, config: Config, *, create: bool = False) -> Workspace:
        """Open the home that `config` names, making it with `create` when there is none."""
        opening = Home.create if create else Home.open
        home = opening(
            config.home,
            database=config.database,
            policy=config.policy,
            webhook_origins=config.webhook_origins,
            limits=config.limits,
        )
        try:
            session = home.session(home.principal(config.actor), config.project)
        except BaseException:
            home.close()
            raise
        return cls(home, session, owns_home=True)

    def close(self) -> None:
        """Let go of the home, when this door opened it."""
        if self._owns_home:
            self.home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def system_user() -> str:
    """Return a name for the user of this machine, in the letters a name may have."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user{os.getuid()}" if hasattr(os, "getuid") else "local"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip("_.-") or "local"
