"""The one permission check: asked by the embedded door and by the server alike.

Everything is denied unless a granted role holds the permission, in the project at hand or in
every project; a token can only narrow that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millwright.access.roles import PERMISSIONS, roles_with
from millwright.core.errors import Denied
from millwright.core.ids import ActorId
from millwright.records.access import ActorKind, Permission, Role

EVERY_PROJECT = 0
"""As a project key: every project of the home, and what belongs to no single project."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known who asks for something, and all that decides whether he may."""

    actor: ActorId
    name: str
    kind: ActorKind
    grants: Mapping[int, frozenset[Role]]
    """Project key -> roles; those under EVERY_PROJECT hold in each."""
    scopes: frozenset[Permission] | None = None
    """What the token in use is narrowed to; None when nothing narrows it."""
    project_key: int | None = None
    """The only project the token in use opens; None when it opens all."""


class MissingPermission(Denied):
    """Somebody known lacks a permission."""

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", permission: Permission | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.permission = permission


def allows(principal: Principal, permission: Permission, project_key: int) -> bool:
    """Tell whether `principal` may do `permission` in the project; EVERY_PROJECT asks for all."""
    return _is_in_token(principal, permission, project_key) and any(
        permission in PERMISSIONS[role] for role in _roles_in(principal, project_key)
    )


def require(
    principal: Principal, permission: Permission, project_key: int, *, project: str | None = None
) -> None:
    """Return when `principal` may do `permission` there.

    `project` is the project's name, for the message. Raises MissingPermission naming actor,
    permission and project, what is missing, and who could give it.
    """
    if allows(principal, permission, project_key):
        return
    place = f"project {project or project_key}" if project_key else "every project of this home"
    what = f"{principal.name} may not do {permission} in {place}"
    if not _is_in_token(principal, permission, project_key):
        limit = (
            f"does not have {permission} among its scopes"
            if principal.scopes is not None and permission not in principal.scopes
            else "is limited to another project"
        )
        raise MissingPermission(
            what,
            why=f"the token in use {limit}",
            fix="use a token that allows it: mill token create",
            permission=permission,
        )
    held = sorted(_roles_in(principal, project_key))
    able = [
        role
        for role in roles_with(permission)
        # The role of processes is not for people.
        if role is not Role.SERVICE or principal.kind is ActorKind.SERVICE
    ]
    raise MissingPermission(
        what,
        why=f"it takes one of the roles {', '.join(able)}; "
        + (f"held there: {', '.join(held)}" if held else "none is held there"),
        fix=f"ask an admin of {place} for: mill user grant {principal.name} {able[0]}",
        permission=permission,
    )


def _is_in_token(principal: Principal, permission: Permission, project_key: int) -> bool:
    if principal.project_key is not None and principal.project_key != project_key:
        return False
    return principal.scopes is None or permission in principal.scopes


def _roles_in(principal: Principal, project_key: int) -> frozenset[Role]:
    nothing: frozenset[Role] = frozenset()
    everywhere = principal.grants.get(EVERY_PROJECT, nothing)
    return everywhere | principal.grants.get(project_key, nothing)
