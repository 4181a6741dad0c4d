from __future__ import annotations

import pytest

from millwright.access.roles import PERMISSIONS, roles_with
from millwright.records.access import Permission, Role

TABLE = """
                      viewer editor approver auditor service admin
alert.read            x      x      x        x       x       x
alert.write           .      x      .        .       x       x
audit.read            .      .      x        x       .       x
audit.verify          .      .      x        x       .       x
data.read             x      x      x        x       x       x
data.write            .      x      .        .       x       x
decision.read         .      .      .        x       x       x
decision.write        .      .      .        .       x       x
deployment.read       x      x      x        x       x       x
deployment.rollback   .      x      x        .       x       x
deployment.write      .      x      .        .       .       x
gate.read             x      x      x        x       x       x
gate.run              .      x      .        .       x       x
job.read              x      x      x        x       x       x
job.work              .      .      .        .       x       x
job.write             .      x      .        .       x       x
label.write           .      x      .        .       x       x
model.approve         .      .      x        .       .       x
model.promote         .      x      .        .       .       x
model.read            x      x      x        x       x       x
model.register        .      x      .        .       x       x
monitor.read          x      x      x        x       x       x
monitor.write         .      x      .        .       .       x
pipeline.read         x      x      x        x       x       x
pipeline.run          .      x      .        .       x       x
project.read          x      x      x        x       x       x
project.write         .      .      .        .       .       x
rule.read             x      x      x        x       x       x
rule.write            .      x      .        .       .       x
run.read              x      x      x        x       x       x
run.write             .      x      .        .       x       x
serve.follow          .      .      .        .       x       x
token.write           x      x      x        x       .       x
user.read             .      .      .        x       .       x
user.write            .      .      .        .       .       x
"""


def rows() -> list[tuple[Permission, Role, bool]]:
    head, *body = TABLE.strip().splitlines()
    roles = [Role(word) for word in head.split()]
    return [
        (Permission(line.split()[0]), role, mark == "x")
        for line in body
        for role, mark in zip(roles, line.split()[1:], strict=True)
    ]


def test_the_table_names_every_role_and_permission() -> None:
    assert {(permission, role) for permission, role, _ in rows()} == {
        (permission, role) for permission in Permission for role in Role
    }
    assert set(PERMISSIONS) == set(Role)


@pytest.mark.parametrize(("permission", "role", "held"), rows())
def test_each_role_holds_what_the_table_says(
    permission: Permission, role: Role, held: bool
) -> None:
    assert (permission in PERMISSIONS[role]) is held


def test_no_role_but_admin_both_makes_and_approves() -> None:
    makes = {Permission.MODEL_REGISTER, Permission.MODEL_PROMOTE, Permission.PIPELINE_RUN}
    for role in set(Role) - {Role.ADMIN}:
        held = PERMISSIONS[role]
        assert not (Permission.MODEL_APPROVE in held and held & makes)


def test_the_least_powerful_role_is_named_first() -> None:
    assert roles_with(Permission.DATA_READ)[0] == Role.VIEWER
    assert roles_with(Permission.MODEL_APPROVE) == [Role.APPROVER, Role.ADMIN]
