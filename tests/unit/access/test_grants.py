from __future__ import annotations

import pytest

from millwright.access.actors import Directory
from millwright.access.grants import Grants
from millwright.access.permissions import Principal
from millwright.access.projects import Projects
from millwright.core.errors import Conflict, Denied, NotFound
from millwright.records.access import ActorKind, Grant, Role
from millwright.records.events import Act, Detail, RoleGranted, RoleRevoked, Subject
from millwright.testing.clock import FakeClock


class TestGrants:
    def test_granted_roles_make_the_principal(
        self, grants: Grants, directory: Directory, projects: Projects, act: Act
    ) -> None:
        bob = directory.create_person("bob", act=act)
        loans = projects.create("loans", act=act)
        assert grants.principal_of("bob") == Principal(bob.id, "bob", ActorKind.PERSON, {})
        grants.grant_role("bob", Role.VIEWER, act=act, project=None)
        grants.grant_role("bob", Role.EDITOR, act=act, project="loans")
        grants.grant_role(bob.id, Role.APPROVER, act=act, project=loans.id)
        assert grants.principal_of(bob.id).grants == {
            0: frozenset({Role.VIEWER}),
            loans.key: frozenset({Role.EDITOR, Role.APPROVER}),
        }
        grants.revoke_role("bob", Role.EDITOR, act=act, project="loans")
        assert grants.principal_of("bob").grants[loans.key] == frozenset({Role.APPROVER})

    def test_grants_are_listed(
        self, grants: Grants, directory: Directory, act: Act, clock: FakeClock
    ) -> None:
        bob = directory.create_person("bob", act=act)
        clock.advance(1)
        grants.grant_role("bob", Role.VIEWER, act=act, project="default")
        assert [(grant.actor_name, grant.role, grant.project) for grant in grants.list()] == [
            ("ada", Role.ADMIN, None),
            ("bob", Role.VIEWER, "default"),
        ]
        assert grants.list()[1] == Grant(
            actor=bob.id,
            actor_name="bob",
            role=Role.VIEWER,
            project="default",
            granted_us=clock.now_us(),
        )

    def test_each_change_is_journaled_once(
        self,
        grants: Grants,
        directory: Directory,
        act: Act,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        bob = directory.create_person("bob", act=act)
        entries.clear()
        for _ in range(2):
            grants.grant_role("bob", Role.EDITOR, act=act, project="default")
        for _ in range(2):
            grants.revoke_role("bob", Role.EDITOR, act=act, project="default")
        grants.grant_role("bob", Role.AUDITOR, act=act, project=None)
        here = [Subject(kind="actor", id=bob.id), Subject(kind="project", id=act.project)]
        assert entries == [
            (
                act,
                RoleGranted(name="bob", role="editor", project="default", reason="because"),
                here,
            ),
            (
                act,
                RoleRevoked(name="bob", role="editor", project="default", reason="because"),
                here,
            ),
            (
                act,
                RoleGranted(name="bob", role="auditor", project=None, reason="because"),
                here[:1],
            ),
        ]

    def test_a_role_in_every_project_is_not_taken_back_in_one(
        self, grants: Grants, act: Act
    ) -> None:
        grants.revoke_role("ada", Role.ADMIN, act=act, project="default")
        assert grants.principal_of("ada").grants == {0: frozenset({Role.ADMIN})}

    def test_the_disabled_and_the_unknown_are_refused(
        self, grants: Grants, directory: Directory, act: Act
    ) -> None:
        directory.create_person("bob", act=act)
        directory.disable("bob", act=act)
        with pytest.raises(Denied, match="bob is disabled"):
            grants.principal_of("bob")
        with pytest.raises(Conflict, match="bob is disabled"):
            grants.grant_role("bob", Role.VIEWER, act=act, project=None)
        with pytest.raises(NotFound, match="no actor 'eve'"):
            grants.principal_of("eve")
        with pytest.raises(NotFound, match="no project 'none'"):
            grants.grant_role("ada", Role.VIEWER, act=act, project="none")
