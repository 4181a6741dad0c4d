"""Which permissions each role holds, as data.

Chosen so that duties stay apart: an approver cannot make what is approved, an editor cannot
approve what he made, a viewer sees no single decision about a person, and the processes that
do the work can neither promote, nor approve, nor hand out access. An actor may hold several
roles; what they hold adds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from millwright.records.access import Permission, Role

_VIEWER = frozenset(
    {
        Permission.ALERT_READ,
        Permission.DATA_READ,
        Permission.DEPLOYMENT_READ,
        Permission.GATE_READ,
        Permission.JOB_READ,
        Permission.MODEL_READ,
        Permission.MONITOR_READ,
        Permission.PIPELINE_READ,
        Permission.PROJECT_READ,
        Permission.RULE_READ,
        Permission.RUN_READ,
        Permission.TOKEN_WRITE,
    }
)
_EDITOR = _VIEWER | {
    Permission.ALERT_WRITE,
    Permission.DATA_WRITE,
    Permission.DEPLOYMENT_ROLLBACK,
    Permission.DEPLOYMENT_WRITE,
    Permission.GATE_RUN,
    Permission.JOB_WRITE,
    Permission.LABEL_WRITE,
    Permission.MODEL_PROMOTE,
    Permission.MODEL_REGISTER,
    Permission.MONITOR_WRITE,
    Permission.PIPELINE_RUN,
    Permission.RULE_WRITE,
    Permission.RUN_WRITE,
}
_APPROVER = _VIEWER | {
    Permission.AUDIT_READ,
    Permission.AUDIT_VERIFY,
    Permission.DEPLOYMENT_ROLLBACK,
    Permission.MODEL_APPROVE,
}
_AUDITOR = _VIEWER | {
    Permission.AUDIT_READ,
    Permission.AUDIT_VERIFY,
    Permission.DECISION_READ,
    Permission.USER_READ,
}
_SERVICE = frozenset(
    {
        Permission.ALERT_READ,
        Permission.ALERT_WRITE,
        Permission.DATA_READ,
        Permission.DATA_WRITE,
        Permission.DECISION_READ,
        Permission.DECISION_WRITE,
        Permission.DEPLOYMENT_READ,
        Permission.DEPLOYMENT_ROLLBACK,
        Permission.GATE_READ,
        Permission.GATE_RUN,
        Permission.JOB_READ,
        Permission.JOB_WORK,
        Permission.JOB_WRITE,
        Permission.LABEL_WRITE,
        Permission.MODEL_READ,
        Permission.MODEL_REGISTER,
        Permission.MONITOR_READ,
        Permission.PIPELINE_READ,
        Permission.PIPELINE_RUN,
        Permission.PROJECT_READ,
        Permission.RULE_READ,
        Permission.RUN_READ,
        Permission.RUN_WRITE,
        Permission.SERVE_FOLLOW,
    }
)

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: _VIEWER,
        Role.EDITOR: _EDITOR,
        Role.APPROVER: _APPROVER,
        Role.AUDITOR: _AUDITOR,
        Role.ADMIN: frozenset(Permission),
        Role.SERVICE: _SERVICE,
    }
)
"""Role -> what it may do; a role that is not named here could do nothing."""


def roles_with(permission: Permission) -> list[Role]:
    """Return the roles that hold `permission`, the least powerful first."""
    return sorted(
        (role for role, held in PERMISSIONS.items() if permission in held),
        key=lambda role: len(PERMISSIONS[role]),
    )
