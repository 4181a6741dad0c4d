"""Tokens: 256 random bits that stand for an actor, narrowed, expiring and revocable.

Only the SHA-256 of the secret is kept. A plain hash is enough here, where a password would
need argon2id: nobody can try 2^256 secrets. The secret is looked up by its hash, so the time
a lookup takes tells nothing about the secret itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

import msgspec

from millwright.access.actors import Recorder, read_actor
from millwright.access.grants import read_roles
from millwright.access.permissions import EVERY_PROJECT, Principal, allows, require
from millwright.access.projects import read_project
from millwright.access.roles import PERMISSIONS
from millwright.core.clock import US_PER_S, Clock, to_text
from millwright.core.errors import (
    Conflict,
    Denied,
    Invalid,
    MillwrightError,
    NotFound,
    Unauthenticated,
)
from millwright.core.ids import ActorId, TokenId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import access as table
from millwright.records.access import Permission, Role, Token
from millwright.records.events import Act, Subject, TokenCreated, TokenRevoked

PREFIX = "mw_"
"""By which a scanner for leaked secrets finds ours."""
SECRET_BYTES = 32
DEFAULT_LIFETIME_S = 90 * 86_400
MAX_LIFETIME_S = 366 * 86_400
USE_NOTED_EVERY_S = 60
ALL = "*"
"""The scope that narrows nothing."""


class Secret:
    """A secret that shows itself only when asked by `reveal()`: no repr, log or error holds it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret, to be shown once to the one who asked for it."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({PREFIX}…)"


class Tokens:
    """The tokens of a home."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        self._random_bytes = random_bytes

    def create_token(
        self,
        name: str,
        *,
        by: Principal,
        act: Act,
        scopes: Sequence[str] = (ALL,),
        owner: str | None = None,
        project: str | None = None,
        lifetime_s: int = DEFAULT_LIFETIME_S,
        tx: Writer | None = None,
    ) -> tuple[Token, Secret]:
        """Make a token for `owner` (name or id; None: for `by`), and return it with its secret.

        `scopes` are permissions, role names or `*`; `project` (name or id) limits it to one.
        What is made by means of a token can open no more than that token. Raises Invalid for an
        unknown scope or a lifetime out of range, Conflict for a disabled owner, NotFound, and
        Denied when `by` may not make it: one's own take `token.write`, others' `user.write` in
        every project.
        """
        check_name(name, "token")
        parsed = parse_scopes(scopes)
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise Invalid(
                f"a token cannot live for {lifetime_s} s",
                why=f"it lives for 1 s to {MAX_LIFETIME_S // 86_400} days",
                fix="make a shorter one, and a new one before it expires",
            )
        now_us = self._clock.now_us()
        with self._writing(tx) as writer:
            who = read_actor(writer, owner or by.actor)
            where = None if project is None else read_project(writer, project)
            key = where.key if where else EVERY_PROJECT
            _require_right(by, who.id)
            _check_no_wider(by, parsed, key)
            if who.disabled_us is not None:
                raise Conflict(f"{who.name} is disabled", why="a token for it would open nothing")
            secret = Secret(PREFIX + _text_of(self._random_bytes(SECRET_BYTES)))
            token = Token(
                id=TokenId(new_id("tok")),
                name=name,
                actor=who.id,
                actor_name=who.name,
                project=where.name if where else None,
                scopes=sorted(set(scopes)),
                created_us=now_us,
                expires_us=now_us + lifetime_s * US_PER_S,
            )
            table.insert_token(
                writer, token, secret_sha256=_hash_of(secret.reveal()), project_key=key
            )
            detail = TokenCreated(
                name=name, scopes=token.scopes, expires_us=token.expires_us, reason=act.reason
            )
            self._recorder.append(writer, act, detail, _subjects(token))
        return token, secret

    def authenticate(self, secret: str) -> Principal:
        """Return the principal that `secret` stands for.

        Does the same work for a wrong secret as for a right one, and raises Unauthenticated, in
        which the secret never appears, when it is unknown, expired, revoked, or of an actor that
        is disabled. The last three are told apart only to who holds a secret that was issued.
        """
        digest = _hash_of(secret)
        now_us = self._clock.now_us()
        with self._database.read() as tx:
            found = table.find_credentials(tx, digest)
            grants = read_roles(tx, found.actor if found else ActorId(""))
        if found is None or not hmac.compare_digest(found.secret_sha256, digest):
            raise Unauthenticated("nobody issued this token", fix="make one: mill token create")
        if found.disabled_us is not None:
            raise Unauthenticated(f"{found.actor_name}, whose token this is, is disabled")
        if found.revoked_us is not None:
            raise Unauthenticated(
                f"the token {found.token_name} was revoked at {to_text(found.revoked_us)}",
                fix="make a new one: mill token create",
            )
        if found.expires_us <= now_us:
            raise Unauthenticated(
                f"the token {found.token_name} expired at {to_text(found.expires_us)}",
                fix="make a new one: mill token create",
            )
        self._note_use(found, now_us)
        return Principal(
            actor=found.actor,
            name=found.actor_name,
            kind=found.actor_kind,
            grants=grants,
            scopes=_read_scopes(found.scopes_json),
            project_key=None if found.project_id == EVERY_PROJECT else found.project_id,
        )

    def get(self, token: TokenId) -> Token:
        """Return the token with that id; raises NotFound."""
        with self._database.read() as tx:
            return _read_token(tx, token)

    def list(self, owner: str | None = None) -> list[Token]:
        """Return the tokens of `owner` (name or id), or (None) of everybody, oldest first."""
        with self._database.read() as tx:
            return table.list_tokens(tx, None if owner is None else read_actor(tx, owner).id)

    def revoke_token(
        self, token: TokenId, *, by: Principal, act: Act, tx: Writer | None = None
    ) -> Token:
        """Let a token open nothing any more; doing it again changes nothing.

        Raises NotFound, and Denied when it belongs to another and `by` lacks `user.write` in
        every project.
        """
        with self._writing(tx) as writer:
            found = _read_token(writer, token)
            _require_right(by, found.actor)
            if table.revoke_token(writer, token, now_us=self._clock.now_us()):
                detail = TokenRevoked(name=found.name, reason=act.reason)
                self._recorder.append(writer, act, detail, _subjects(found))
            return _read_token(writer, token)

    def _note_use(self, found: table.Credentials, now_us: int) -> None:
        stale_us = now_us - USE_NOTED_EVERY_S * US_PER_S
        if found.last_used_us is not None and found.last_used_us > stale_us:
            return
        # Who may read still gets in when the store cannot be written just now.
        with suppress(MillwrightError), self._database.write() as tx:
            table.touch_token(tx, found.token_pk, now_us=now_us, unless_since_us=stale_us)

    def _writing(self, tx: Writer | None) -> AbstractContextManager[Writer]:
        return self._database.write() if tx is None else nullcontext(tx)


def parse_scopes(scopes: Sequence[str]) -> frozenset[Permission] | None:
    """Return the permissions that `scopes` name, one by one or by role; None when `*` is there.

    Raises Invalid for none at all and for a word that is neither.
    """
    if not scopes:
        raise Invalid("a token without scopes would open nothing", fix=f"name some, or {ALL!r}")
    known = [ALL, *(word.value for kind in (Role, Permission) for word in kind)]
    for scope in scopes:
        if scope not in known:
            raise Invalid(
                f"{scope!r} is neither a permission nor a role",
                why=did_you_mean(scope, known) or f"roles: {', '.join(Role)}",
            )
    return _permissions_of(scopes)


def _read_scopes(scopes_json: str) -> frozenset[Permission] | None:
    return _permissions_of(msgspec.json.decode(scopes_json, type=list[str]))


def _permissions_of(scopes: Sequence[str]) -> frozenset[Permission] | None:
    # A stored word that means nothing any more opens nothing.
    if ALL in scopes:
        return None
    by_role = [PERMISSIONS[Role(scope)] for scope in scopes if scope in set(Role)]
    alone = frozenset(Permission(scope) for scope in scopes if scope in set(Permission))
    return alone.union(*by_role)


def _require_right(by: Principal, owner: ActorId) -> None:
    if owner != by.actor:
        return require(by, Permission.USER_WRITE, EVERY_PROJECT)
    # A token opens no more than its actor's roles do, so to hold the right anywhere is enough.
    places = by.grants if by.project_key is None else [by.project_key]
    if not any(allows(by, Permission.TOKEN_WRITE, place) for place in places):
        require(by, Permission.TOKEN_WRITE, by.project_key or EVERY_PROJECT)
    return None


def _check_no_wider(by: Principal, scopes: frozenset[Permission] | None, project_key: int) -> None:
    inside = by.scopes is None or (scopes is not None and scopes <= by.scopes)
    if not inside or by.project_key not in {None, project_key}:
        raise Denied(
            f"{by.name} may not make a token that opens more than the one in use",
            why="its scopes or its project are wider",
            fix="name fewer scopes and the same project, or use a wider token",
        )


def _read_token(tx: Reader, token: TokenId) -> Token:
    found = table.find_token(tx, token)
    if found is None:
        raise NotFound(f"no token {token!r}", fix="see: mill token list")
    return found


def _subjects(token: Token) -> list[Subject]:
    return [Subject(kind="token", id=token.id), Subject(kind="actor", id=token.actor)]


def _hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _text_of(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode("ascii")
