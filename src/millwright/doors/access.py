"""The door to people, service accounts, projects and tokens."""

from __future__ import annotations

from typing import Protocol

from millwright.doors.operation import operation
from millwright.records.access import Actor, NewToken, Permission, Project, Token


class Access(Protocol):
    """Who there is, and what each may do."""

    @operation("GET", "/me", needs=Permission.PROJECT_READ)
    def whoami(self) -> Actor:
        """Return who is asking."""
        ...

    @operation("GET", "/actors", needs=Permission.USER_READ)
    def actors(self) -> list[Actor]:
        """Return people, service accounts and rules, by name."""
        ...

    @operation("POST", "/actors", needs=Permission.USER_WRITE)
    def create_actor(
        self, *, name: str, kind: str = "person", role: str | None = None, reason: str = ""
    ) -> Actor:
        """Make a person or a service account, with a role in this project where one is given."""
        ...

    @operation("POST", "/actors/{name}/roles/{role}", needs=Permission.USER_WRITE)
    def grant(self, *, name: str, role: str, reason: str = "") -> None:
        """Give an actor a role in this project."""
        ...

    @operation("POST", "/actors/{name}/roles/{role}/revocation", needs=Permission.USER_WRITE)
    def revoke(self, *, name: str, role: str, reason: str = "") -> None:
        """Take a role in this project back; one that is not held here changes nothing."""
        ...

    @operation("POST", "/actors/{name}/disable", needs=Permission.USER_WRITE)
    def disable_actor(self, *, name: str, reason: str = "") -> Actor:
        """Let an actor act no more, in no project; takes an admin of every project."""
        ...

    @operation("GET", "/projects", needs=Permission.PROJECT_READ)
    def projects(self) -> list[Project]:
        """Return the projects of the home."""
        ...

    @operation("POST", "/projects", needs=Permission.PROJECT_WRITE)
    def create_project(self, *, name: str, reason: str = "") -> Project:
        """Make a project."""
        ...

    @operation("GET", "/tokens", needs=Permission.TOKEN_WRITE)
    def tokens(self) -> list[Token]:
        """Return the tokens of this project, without their secrets."""
        ...

    @operation("POST", "/tokens", needs=Permission.TOKEN_WRITE)
    def create_token(
        self,
        *,
        name: str,
        actor: str | None = None,
        scopes: list[str],
        days: float = 90.0,
        reason: str = "",
    ) -> NewToken:
        """Make a token; its secret is in the answer and nowhere else."""
        ...

    @operation("DELETE", "/tokens/{id}", needs=Permission.TOKEN_WRITE)
    def revoke_token(self, *, id: str, reason: str = "") -> None:
        """End a token."""
        ...
