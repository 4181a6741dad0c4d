from __future__ import annotations

import hashlib
import re
import traceback

import msgspec
import pytest

from millwright.access.actors import Directory
from millwright.access.grants import Grants
from millwright.access.permissions import Principal, allows
from millwright.access.projects import Projects
from millwright.access.roles import PERMISSIONS
from millwright.access.tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, Tokens, parse_scopes
from millwright.core.clock import US_PER_S
from millwright.core.errors import (
    Conflict,
    Denied,
    Invalid,
    MillwrightError,
    NotFound,
    Unauthenticated,
)
from millwright.core.ids import TokenId
from millwright.metadata.database import Database
from millwright.records.access import Permission, Role, Token
from millwright.records.events import Act, Detail, Subject, TokenCreated, TokenRevoked
from millwright.testing.clock import FakeClock


@pytest.fixture
def bob(directory: Directory, grants: Grants, act: Act) -> Principal:
    """An editor of the default project."""
    directory.create_person("bob", act=act)
    grants.grant_role("bob", Role.EDITOR, act=act, project="default")
    return grants.principal_of("bob")


class TestAuthenticate:
    def test_a_token_stands_for_its_actor(self, tokens: Tokens, bob: Principal, act: Act) -> None:
        _, secret = tokens.create_token("laptop", by=bob, act=act)
        assert tokens.authenticate(secret.reveal()) == bob

    def test_scopes_and_project_narrow_it(
        self, tokens: Tokens, projects: Projects, ada: Principal, act: Act
    ) -> None:
        loans = projects.create("loans", act=act)
        _, secret = tokens.create_token(
            "ci", by=ada, act=act, scopes=["viewer", "gate.run"], project="loans"
        )
        found = tokens.authenticate(secret.reveal())
        assert found.scopes == PERMISSIONS[Role.VIEWER] | {Permission.GATE_RUN}
        assert found.project_key == loans.key
        assert allows(found, Permission.GATE_RUN, loans.key)
        assert not allows(found, Permission.DATA_WRITE, loans.key), "not in its scopes"
        assert not allows(found, Permission.GATE_RUN, act.project_key), "another project"

    def test_it_never_opens_more_than_its_actors_roles(
        self, tokens: Tokens, bob: Principal, act: Act, grants: Grants
    ) -> None:
        _, secret = tokens.create_token("x", by=bob, act=act, scopes=["admin"])
        found = tokens.authenticate(secret.reveal())
        assert not allows(found, Permission.USER_WRITE, act.project_key)
        assert allows(found, Permission.DATA_WRITE, act.project_key)
        grants.revoke_role("bob", Role.EDITOR, act=act, project="default")
        later = tokens.authenticate(secret.reveal())
        assert not allows(later, Permission.DATA_WRITE, act.project_key)

    def test_a_wrong_secret_is_refused(self, tokens: Tokens, act: Act) -> None:
        for wrong in ("", "mw_", "mw_" + "A" * 43, "é\ud800", "x" * 5000):
            with pytest.raises(Unauthenticated, match="nobody issued this token"):
                tokens.authenticate(wrong)

    def test_one_character_off_is_refused(self, tokens: Tokens, ada: Principal, act: Act) -> None:
        _, secret = tokens.create_token("x", by=ada, act=act)
        text = secret.reveal()
        for wrong in (text[:-1], text + "A", text.swapcase(), " " + text):
            with pytest.raises(Unauthenticated):
                tokens.authenticate(wrong)

    def test_it_expires(self, tokens: Tokens, ada: Principal, act: Act, clock: FakeClock) -> None:
        made, secret = tokens.create_token("x", by=ada, act=act)
        assert made.expires_us == clock.now_us() + DEFAULT_LIFETIME_S * US_PER_S
        clock.advance(DEFAULT_LIFETIME_S - 1)
        tokens.authenticate(secret.reveal())
        clock.advance(1)
        with pytest.raises(Unauthenticated, match="the token x expired at 2025-09-13"):
            tokens.authenticate(secret.reveal())

    def test_it_is_revoked_once_and_for_all(
        self,
        tokens: Tokens,
        ada: Principal,
        act: Act,
        clock: FakeClock,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        made, secret = tokens.create_token("x", by=ada, act=act)
        entries.clear()
        revoked = tokens.revoke_token(made.id, by=ada, act=act)
        clock.advance(1)
        assert tokens.revoke_token(made.id, by=ada, act=act) == revoked
        with pytest.raises(Unauthenticated, match="the token x was revoked at"):
            tokens.authenticate(secret.reveal())
        subjects = [Subject(kind="token", id=made.id), Subject(kind="actor", id=ada.actor)]
        assert entries == [(act, TokenRevoked(name="x", reason="because"), subjects)]

    def test_a_disabled_actors_token_opens_nothing(
        self, tokens: Tokens, directory: Directory, bob: Principal, act: Act
    ) -> None:
        _, secret = tokens.create_token("x", by=bob, act=act)
        directory.disable("bob", act=act)
        with pytest.raises(Unauthenticated, match="bob, whose token this is, is disabled"):
            tokens.authenticate(secret.reveal())

    def test_last_use_is_noted_at_most_once_a_minute(
        self, tokens: Tokens, ada: Principal, act: Act, clock: FakeClock
    ) -> None:
        made, secret = tokens.create_token("x", by=ada, act=act)
        noted: list[int | None] = []
        start_us = clock.now_us()
        for seconds in (10, 30, 29, 1):
            clock.advance(seconds)
            tokens.authenticate(secret.reveal())
            noted.append(tokens.get(made.id).last_used_us)
        assert [us and (us - start_us) // US_PER_S for us in noted] == [10, 10, 10, 70]

    def test_a_stored_scope_without_meaning_opens_nothing(
        self, tokens: Tokens, ada: Principal, act: Act, database: Database
    ) -> None:
        _, secret = tokens.create_token("x", by=ada, act=act, scopes=["data.read"])
        with database.write() as tx:
            tx.run("UPDATE token SET scopes_json = '[\"data.fly\"]'")
        assert tokens.authenticate(secret.reveal()).scopes == frozenset()


class TestCreate:
    def test_the_record_and_the_event_say_everything_but_the_secret(
        self,
        tokens: Tokens,
        ada: Principal,
        act: Act,
        clock: FakeClock,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        made, _ = tokens.create_token(
            "ci", by=ada, act=act, scopes=["viewer", "gate.run"], project="default", lifetime_s=60
        )
        assert made == Token(
            id=made.id,
            name="ci",
            actor=ada.actor,
            actor_name="ada",
            project="default",
            scopes=["gate.run", "viewer"],
            created_us=clock.now_us(),
            expires_us=clock.now_us() + 60 * US_PER_S,
        )
        assert tokens.get(made.id) == made
        assert tokens.list() == tokens.list("ada") == [made]
        detail = TokenCreated(
            name="ci", scopes=made.scopes, expires_us=made.expires_us, reason="because"
        )
        subjects = [Subject(kind="token", id=made.id), Subject(kind="actor", id=ada.actor)]
        assert entries == [(act, detail, subjects)]

    def test_secrets_have_256_bits_and_only_their_hash_is_stored(
        self, tokens: Tokens, ada: Principal, act: Act, database: Database
    ) -> None:
        secrets = {tokens.create_token(f"t{i}", by=ada, act=act)[1].reveal() for i in range(5)}
        assert len(secrets) == 5
        assert all(re.fullmatch(r"mw_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
        with database.read() as tx:
            stored = set(tx.column(bytes, "SELECT secret_sha256 FROM token"))
        assert stored == {hashlib.sha256(secret.encode()).digest() for secret in secrets}

    def test_the_secret_shows_in_no_repr_record_event_or_error(
        self,
        tokens: Tokens,
        ada: Principal,
        act: Act,
        clock: FakeClock,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        made, secret = tokens.create_token("x", by=ada, act=act)
        text = secret.reveal()
        shown = [repr(secret), str(secret), f"{secret}", repr((made, secret)), repr(entries)]
        shown += [msgspec.json.encode(made).decode(), repr(tokens.authenticate(text)), repr(tokens)]
        clock.advance(DEFAULT_LIFETIME_S)
        for wrong in (text, text + "x"):
            with pytest.raises(Unauthenticated) as caught:
                tokens.authenticate(wrong)
            shown += [repr(caught.value), "".join(traceback.format_exception(caught.value))]
        assert [place for place in shown if text[3:] in place] == []

    def test_what_cannot_be_right_is_refused(
        self, tokens: Tokens, ada: Principal, act: Act
    ) -> None:
        wrong: list[tuple[list[str], int, str]] = [
            ([], 60, "a token without scopes"),
            (["data.raed"], 60, "did you mean 'data.read'"),
            (["*"], 0, "cannot live for 0 s"),
            (["*"], MAX_LIFETIME_S + 1, "1 s to 366 days"),
        ]
        for scopes, lifetime_s, message in wrong:
            with pytest.raises(Invalid, match=re.escape(message)):
                tokens.create_token("x", by=ada, act=act, scopes=scopes, lifetime_s=lifetime_s)
        assert tokens.list() == []

    def test_an_admin_makes_a_services_token_and_an_editor_does_not(
        self, tokens: Tokens, directory: Directory, ada: Principal, bob: Principal, act: Act
    ) -> None:
        directory.create_service("worker", act=act)
        made, _ = tokens.create_token("w", by=ada, act=act, owner="worker")
        assert made.actor_name == "worker"
        with pytest.raises(Denied, match=r"bob may not do user.write in every project"):
            tokens.create_token("w", by=bob, act=act, owner="worker")
        with pytest.raises(Denied, match=r"bob may not do user.write"):
            tokens.revoke_token(made.id, by=bob, act=act)

    def test_an_admin_of_one_project_cannot_borrow_an_admin_of_all(
        self, tokens: Tokens, directory: Directory, grants: Grants, act: Act
    ) -> None:
        directory.create_person("carl", act=act)
        grants.grant_role("carl", Role.ADMIN, act=act, project="default")
        with pytest.raises(Denied, match=r"carl may not do user.write in every project"):
            tokens.create_token("x", by=grants.principal_of("carl"), act=act, owner="ada")

    def test_who_holds_no_role_makes_no_token(
        self, tokens: Tokens, directory: Directory, grants: Grants, act: Act
    ) -> None:
        directory.create_person("carl", act=act)
        with pytest.raises(Denied, match=r"carl may not do token.write"):
            tokens.create_token("x", by=grants.principal_of("carl"), act=act)

    def test_a_token_makes_none_that_opens_more(
        self, tokens: Tokens, projects: Projects, ada: Principal, act: Act
    ) -> None:
        projects.create("loans", act=act)
        _, secret = tokens.create_token(
            "narrow", by=ada, act=act, scopes=["token.write", "data.read"], project="loans"
        )
        narrow = tokens.authenticate(secret.reveal())
        tokens.create_token("same", by=narrow, act=act, scopes=["data.read"], project="loans")
        wider: list[tuple[list[str], str | None]] = [
            (["*"], "loans"),
            (["data.write"], "loans"),
            (["data.read"], None),
            (["data.read"], "default"),
        ]
        for scopes, project in wider:
            with pytest.raises(Denied, match="opens more than the one in use"):
                tokens.create_token("x", by=narrow, act=act, scopes=scopes, project=project)
        _, mute = tokens.create_token("mute", by=ada, act=act, scopes=["data.read"])
        with pytest.raises(Denied, match=r"does not have token.write among its scopes"):
            tokens.create_token(
                "x", by=tokens.authenticate(mute.reveal()), act=act, scopes=["data.read"]
            )

    def test_the_disabled_get_none_and_the_unknown_are_not_found(
        self, tokens: Tokens, directory: Directory, ada: Principal, bob: Principal, act: Act
    ) -> None:
        directory.disable("bob", act=act)
        with pytest.raises(Conflict, match="bob is disabled"):
            tokens.create_token("x", by=ada, act=act, owner="bob")
        failures: list[MillwrightError] = []
        for owner, project in (("eve", None), (None, "none")):
            with pytest.raises(NotFound) as caught:
                tokens.create_token("x", by=ada, act=act, owner=owner, project=project)
            failures.append(caught.value)
        assert [error.what for error in failures] == ["no actor 'eve'", "no project 'none'"]
        with pytest.raises(NotFound, match="no token"):
            tokens.revoke_token(TokenId("tok_0"), by=ada, act=act)


class TestScopes:
    def test_a_star_narrows_nothing_and_roles_stand_for_what_they_hold(self) -> None:
        assert parse_scopes(["data.read", "*"]) is None
        assert parse_scopes(["viewer"]) == PERMISSIONS[Role.VIEWER]
        assert parse_scopes(["service", "user.read"]) == PERMISSIONS[Role.SERVICE] | {
            Permission.USER_READ
        }
