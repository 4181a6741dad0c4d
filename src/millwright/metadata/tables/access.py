"""SQL for projects, actors, role grants and tokens.

Key 0 in `role_grant` and `token` stands for every project of the home.
"""

from __future__ import annotations

import msgspec

from millwright.core.ids import ActorId, TokenId
from millwright.metadata.database import Reader, Writer
from millwright.records.access import Actor, ActorKind, Grant, Project, Role, Token

_ACTOR = "id, kind, name, created_us, disabled_us"
_PROJECT = "id, pk AS key, name, created_us"
_ISSUED = """
    SELECT t.id, t.name, a.id AS actor, a.name AS actor_name, p.name AS project, t.scopes_json,
           t.created_us, t.expires_us, t.revoked_us, t.last_used_us
    FROM token t JOIN actor a ON a.pk = t.actor_pk LEFT JOIN project p ON p.pk = t.project_id
"""


class Credentials(msgspec.Struct, frozen=True):
    """A token and its actor, as far as authentication needs them."""

    token_pk: int
    token_name: str
    secret_sha256: bytes
    project_id: int
    scopes_json: str
    expires_us: int
    revoked_us: int | None
    last_used_us: int | None
    actor: ActorId
    actor_kind: ActorKind
    actor_name: str
    disabled_us: int | None


def insert_project(tx: Writer, *, project_id: str, name: str, now_us: int) -> int | None:
    """Add a project and return its key, or None when the name is taken."""
    return tx.value(
        int,
        """
        INSERT INTO project (id, name, created_us) VALUES (:id, :name, :now)
        ON CONFLICT (name) DO NOTHING RETURNING pk
        """,
        id=project_id,
        name=name,
        now=now_us,
    )


def find_project(tx: Reader, text: str) -> Project | None:
    """Return the project with that id or name; an id comes first."""
    return tx.first(
        Project,
        f"""
        SELECT {_PROJECT} FROM project WHERE id = :text OR name = :text
        ORDER BY CASE WHEN id = :text THEN 0 ELSE 1 END LIMIT 1
        """,
        text=text,
    )


def list_projects(tx: Reader) -> list[Project]:
    """Return all projects, by name."""
    return tx.rows(Project, f"SELECT {_PROJECT} FROM project ORDER BY name")


def insert_actor(tx: Writer, actor: Actor) -> bool:
    """Add an actor; False when the name is taken."""
    added = tx.run(
        """
        INSERT INTO actor (id, kind, name, created_us) VALUES (:id, :kind, :name, :created_us)
        ON CONFLICT (name) DO NOTHING
        """,
        id=actor.id,
        kind=actor.kind.value,
        name=actor.name,
        created_us=actor.created_us,
    )
    return added == 1


def find_actor(tx: Reader, text: str) -> Actor | None:
    """Return the actor with that id or name; an id comes first."""
    return tx.first(
        Actor,
        f"""
        SELECT {_ACTOR} FROM actor WHERE id = :text OR name = :text
        ORDER BY CASE WHEN id = :text THEN 0 ELSE 1 END LIMIT 1
        """,
        text=text,
    )


def list_actors(tx: Reader) -> list[Actor]:
    """Return all actors, disabled ones too, by name."""
    return tx.rows(Actor, f"SELECT {_ACTOR} FROM actor ORDER BY name")


def disable_actor(tx: Writer, actor: ActorId, *, now_us: int) -> bool:
    """Mark an actor as disabled; False when it already was."""
    sql = "UPDATE actor SET disabled_us = :now WHERE id = :id AND disabled_us IS NULL"
    return tx.run(sql, id=actor, now=now_us) == 1


def insert_grant(tx: Writer, actor: ActorId, role: Role, project_key: int, *, now_us: int) -> bool:
    """Give an actor a role; False when it holds it already."""
    added = tx.run(
        """
        INSERT INTO role_grant (actor_pk, project_id, role, granted_us)
        VALUES ((SELECT pk FROM actor WHERE id = :actor), :project, :role, :now)
        ON CONFLICT (actor_pk, project_id, role) DO NOTHING
        """,
        actor=actor,
        project=project_key,
        role=role.value,
        now=now_us,
    )
    return added == 1


def delete_grant(tx: Writer, actor: ActorId, role: Role, project_key: int) -> bool:
    """Take a role back; False when the actor did not hold it there."""
    removed = tx.run(
        """
        DELETE FROM role_grant WHERE actor_pk = (SELECT pk FROM actor WHERE id = :actor)
            AND project_id = :project AND role = :role
        """,
        actor=actor,
        project=project_key,
        role=role.value,
    )
    return removed == 1


def list_grants(tx: Reader) -> list[Grant]:
    """Return every grant of the home, by actor."""
    return tx.rows(
        Grant,
        """
        SELECT a.id AS actor, a.name AS actor_name, g.role, p.name AS project, g.granted_us
        FROM role_grant g JOIN actor a ON a.pk = g.actor_pk
        LEFT JOIN project p ON p.pk = g.project_id
        ORDER BY a.name, g.project_id, g.role
        """,
    )


def roles_of(tx: Reader, actor: ActorId) -> list[tuple[int, Role]]:
    """Return (project key, role) for all an actor was granted."""
    return tx.rows(
        tuple[int, Role],
        """
        SELECT g.project_id, g.role FROM role_grant g JOIN actor a ON a.pk = g.actor_pk
        WHERE a.id = :actor
        """,
        actor=actor,
    )


def insert_token(tx: Writer, token: Token, *, secret_sha256: bytes, project_key: int) -> None:
    """Add a token."""
    tx.run(
        """
        INSERT INTO token (id, actor_pk, project_id, name, secret_sha256, scopes_json, created_us,
                           expires_us)
        VALUES (:id, (SELECT pk FROM actor WHERE id = :actor), :project, :name, :sha, :scopes,
                :created_us, :expires_us)
        """,
        id=token.id,
        actor=token.actor,
        project=project_key,
        name=token.name,
        sha=secret_sha256,
        scopes=msgspec.json.encode(token.scopes).decode(),
        created_us=token.created_us,
        expires_us=token.expires_us,
    )


def find_credentials(tx: Reader, secret_sha256: bytes) -> Credentials | None:
    """Return the token whose secret has that hash, whether or not it still opens anything."""
    return tx.first(
        Credentials,
        """
        SELECT t.pk AS token_pk, t.name AS token_name, t.secret_sha256, t.project_id, t.scopes_json,
               t.expires_us, t.revoked_us, t.last_used_us, a.id AS actor, a.kind AS actor_kind,
               a.name AS actor_name, a.disabled_us
        FROM token t JOIN actor a ON a.pk = t.actor_pk WHERE t.secret_sha256 = :sha
        """,
        sha=secret_sha256,
    )


def touch_token(tx: Writer, token_pk: int, *, now_us: int, unless_since_us: int) -> None:
    """Note that a token was used, unless that was noted after `unless_since_us`."""
    tx.run(
        """
        UPDATE token SET last_used_us = :now
        WHERE pk = :pk AND (last_used_us IS NULL OR last_used_us <= :since)
        """,
        pk=token_pk,
        now=now_us,
        since=unless_since_us,
    )


def find_token(tx: Reader, token: TokenId) -> Token | None:
    """Return the token with that id."""
    row = tx.first(_TokenRow, _ISSUED + "WHERE t.id = :id", id=token)
    return None if row is None else row.token()


def list_tokens(tx: Reader, actor: ActorId | None) -> list[Token]:
    """Return an actor's tokens, or (None) everybody's, oldest first."""
    if actor is None:
        rows = tx.rows(_TokenRow, _ISSUED + "ORDER BY t.pk")
    else:
        rows = tx.rows(_TokenRow, _ISSUED + "WHERE a.id = :actor ORDER BY t.pk", actor=actor)
    return [row.token() for row in rows]


def revoke_token(tx: Writer, token: TokenId, *, now_us: int) -> bool:
    """Mark a token as revoked; False when it already was."""
    sql = "UPDATE token SET revoked_us = :now WHERE id = :id AND revoked_us IS NULL"
    return tx.run(sql, id=token, now=now_us) == 1


class _TokenRow(msgspec.Struct, frozen=True):
    id: TokenId
    name: str
    actor: ActorId
    actor_name: str
    project: str | None
    scopes_json: str
    created_us: int
    expires_us: int
    revoked_us: int | None
    last_used_us: int | None

    def token(self) -> Token:
        return Token(
            id=self.id,
            name=self.name,
            actor=self.actor,
            actor_name=self.actor_name,
            project=self.project,
            scopes=msgspec.json.decode(self.scopes_json, type=list[str]),
            created_us=self.created_us,
            expires_us=self.expires_us,
            revoked_us=self.revoked_us,
            last_used_us=self.last_used_us,
        )
