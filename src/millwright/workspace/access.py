"""The embedded door's service of actors, projects and tokens."""

from __future__ import annotations

from millwright.access.permissions import EVERY_PROJECT, require
from millwright.core.errors import Conflict
from millwright.core.ids import TokenId
from millwright.records.access import Actor, NewToken, Permission, Project, Role, Token
from millwright.workspace.arguments import parse_choice
from millwright.workspace.services import Service


class Access(Service):
    """Fills `doors.access.Access`."""

    def whoami(self) -> Actor:
        return self.home.directory.get(self.session.principal.actor)

    def actors(self) -> list[Actor]:
        return self.home.directory.list()

    def create_actor(
        self, *, name: str, kind: str = "person", role: str | None = None, reason: str = ""
    ) -> Actor:
        return self.home.create_actor(self.session, name=name, kind=kind, role=role, reason=reason)

    def grant(self, *, name: str, role: str, reason: str = "") -> None:
        self.home.grants.grant_role(
            name,
            parse_choice(role, Role, "role"),
            act=self.session.act(reason),
            project=self.session.project_name,
        )

    def revoke(self, *, name: str, role: str, reason: str = "") -> None:
        self.home.grants.revoke_role(
            name,
            parse_choice(role, Role, "role"),
            act=self.session.act(reason),
            project=self.session.project_name,
        )

    def disable_actor(self, *, name: str, reason: str = "") -> Actor:
        # An actor is disabled in every project, so whoever does it is an admin of every one; and
        # since nobody disables himself, one such admin is always left.
        require(self.session.principal, Permission.USER_WRITE, EVERY_PROJECT)
        if self.home.directory.get(name).id == self.session.principal.actor:
            raise Conflict(
                f"{name} cannot be disabled by himself",
                why="nobody might be left who can let others in",
                fix="ask another admin of every project",
            )
        return self.home.directory.disable(name, act=self.session.act(reason))

    def projects(self) -> list[Project]:
        return self.home.projects.list()

    def create_project(self, *, name: str, reason: str = "") -> Project:
        return self.home.projects.create(name, act=self.session.act(reason))

    def tokens(self) -> list[Token]:
        return self.home.tokens.list(self.session.principal.actor)

    def create_token(
        self,
        *,
        name: str,
        actor: str | None = None,
        scopes: list[str],
        days: float = 90.0,
        reason: str = "",
    ) -> NewToken:
        token, secret = self.home.tokens.create_token(
            name,
            by=self.session.principal,
            act=self.session.act(reason),
            scopes=scopes,
            owner=actor,
            project=self.session.project_name,
            lifetime_s=round(days * 86_400),
        )
        return NewToken(token=token, secret=secret.reveal())

    def revoke_token(self, *, id: str, reason: str = "") -> None:
        self.home.tokens.revoke_token(
            TokenId(id), by=self.session.principal, act=self.session.act(reason)
        )
