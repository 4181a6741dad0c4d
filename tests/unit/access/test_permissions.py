from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.access.permissions import EVERY_PROJECT, Principal, allows, require
from millwright.access.roles import PERMISSIONS
from millwright.core.errors import Denied
from millwright.core.ids import ActorId
from millwright.records.access import ActorKind, Permission, Role


def principal(
    grants: Mapping[int, frozenset[Role]],
    *,
    scopes: frozenset[Permission] | None = None,
    project_key: int | None = None,
) -> Principal:
    return Principal(ActorId("act_1"), "bob", ActorKind.PERSON, grants, scopes, project_key)


ROLES = st.frozensets(st.sampled_from(Role), max_size=3)
GRANTS = st.dictionaries(st.integers(0, 3), ROLES, max_size=3)
SCOPES = st.none() | st.frozensets(st.sampled_from(Permission), max_size=8)
KEYS = st.integers(0, 3)


class TestAllows:
    def test_nothing_is_granted_by_itself(self) -> None:
        nobody = principal({})
        assert not any(
            allows(nobody, permission, key) for permission in Permission for key in (0, 1)
        )

    @pytest.mark.parametrize("role", Role)
    def test_a_role_opens_what_it_holds_in_its_project_only(self, role: Role) -> None:
        bob = principal({7: frozenset({role})})
        opened = {permission for permission in Permission if allows(bob, permission, 7)}
        assert opened == PERMISSIONS[role]
        assert not any(allows(bob, permission, 8) for permission in Permission)
        assert not any(allows(bob, permission, EVERY_PROJECT) for permission in Permission)

    def test_a_role_in_every_project_holds_in_each(self) -> None:
        bob = principal({EVERY_PROJECT: frozenset({Role.VIEWER}), 7: frozenset({Role.APPROVER})})
        assert allows(bob, Permission.DATA_READ, 99)
        assert allows(bob, Permission.DATA_READ, EVERY_PROJECT)
        assert allows(bob, Permission.MODEL_APPROVE, 7)
        assert not allows(bob, Permission.MODEL_APPROVE, 99)

    @settings(max_examples=60)
    @given(
        grants=GRANTS,
        scopes=SCOPES,
        limit=st.none() | KEYS,
        permission=st.sampled_from(Permission),
        key=KEYS,
    )
    def test_a_token_only_ever_narrows(
        self,
        grants: dict[int, frozenset[Role]],
        scopes: frozenset[Permission] | None,
        limit: int | None,
        permission: Permission,
        key: int,
    ) -> None:
        narrowed = allows(principal(grants, scopes=scopes, project_key=limit), permission, key)
        assert narrowed == (
            allows(principal(grants), permission, key)
            and (scopes is None or permission in scopes)
            and limit in {None, key}
        )


class TestRequire:
    def test_what_is_allowed_passes(self) -> None:
        require(principal({7: frozenset({Role.EDITOR})}), Permission.DATA_WRITE, 7)

    def test_a_missing_role_is_named_with_who_could_grant_it(self) -> None:
        with pytest.raises(Denied) as caught:
            require(
                principal({7: frozenset({Role.VIEWER})}), Permission.DATA_WRITE, 7, project="loans"
            )
        assert str(caught.value) == (
            "bob may not do data.write in project loans\n"
            "it takes one of the roles editor, admin; held there: viewer\n"
            "ask an admin of project loans for: mill user grant bob editor"
        )

    def test_a_narrow_token_is_named(self) -> None:
        everything = {EVERY_PROJECT: frozenset({Role.ADMIN})}
        with pytest.raises(Denied, match=r"does not have data.write among its scopes"):
            require(
                principal(everything, scopes=frozenset({Permission.DATA_READ})),
                Permission.DATA_WRITE,
                7,
            )
        with pytest.raises(Denied, match="limited to another project"):
            require(principal(everything, project_key=8), Permission.DATA_WRITE, 7)
        with pytest.raises(Denied, match="in every project of this home"):
            require(principal({}), Permission.USER_WRITE, EVERY_PROJECT)
