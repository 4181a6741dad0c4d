"""Who may do what: actors, projects, grants, tokens; the closed sets of roles and permissions."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from millwright.core.ids import ActorId, ProjectId, TokenId


class ActorKind(StrEnum):
    """What sort of actor it is; every event names one."""

    PERSON = "person"
    SERVICE = "service"
    """A process with credentials of its own: a worker, a serving process, a CI job."""
    RULE = "rule"
    """An automation rule, which acts on what happens."""


class Role(StrEnum):
    """A named set of permissions (`access.roles` says which), granted in one project or in all."""

    VIEWER = "viewer"
    EDITOR = "editor"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"
    SERVICE = "service"


class Permission(StrEnum):
    """Everything one may be allowed to do, as `noun.verb`; what is not here cannot be done."""

    ALERT_READ = "alert.read"
    ALERT_WRITE = "alert.write"
    AUDIT_READ = "audit.read"
    AUDIT_VERIFY = "audit.verify"
    DATA_READ = "data.read"
    DATA_WRITE = "data.write"
    DECISION_READ = "decision.read"
    DECISION_WRITE = "decision.write"
    DEPLOYMENT_READ = "deployment.read"
    DEPLOYMENT_ROLLBACK = "deployment.rollback"
    DEPLOYMENT_WRITE = "deployment.write"
    GATE_READ = "gate.read"
    GATE_RUN = "gate.run"
    JOB_READ = "job.read"
    JOB_WORK = "job.work"
    """Claim jobs and report on them."""
    JOB_WRITE = "job.write"
    """Enqueue and cancel jobs."""
    LABEL_WRITE = "label.write"
    MODEL_APPROVE = "model.approve"
    MODEL_PROMOTE = "model.promote"
    MODEL_READ = "model.read"
    MODEL_REGISTER = "model.register"
    MONITOR_READ = "monitor.read"
    MONITOR_WRITE = "monitor.write"
    PIPELINE_READ = "pipeline.read"
    PIPELINE_RUN = "pipeline.run"
    PROJECT_READ = "project.read"
    PROJECT_WRITE = "project.write"
    RULE_READ = "rule.read"
    RULE_WRITE = "rule.write"
    RUN_READ = "run.read"
    RUN_WRITE = "run.write"
    SERVE_FOLLOW = "serve.follow"
    """Follow a deployment's plan, as a serving process does."""
    TOKEN_WRITE = "token.write"  # noqa: S105 - a permission, no secret
    """Make, list and revoke one's own tokens; those of others take `user.write` everywhere."""
    USER_READ = "user.read"
    USER_WRITE = "user.write"
    """Create and disable actors, grant and revoke roles."""


class Actor(Struct, frozen=True, kw_only=True):
    """Somebody, or something, that acts."""

    id: ActorId
    kind: ActorKind
    name: str
    created_us: int
    disabled_us: int | None = None


class Project(Struct, frozen=True, kw_only=True):
    """The tenant inside a home; names are unique within it."""

    id: ProjectId
    key: int
    """The integer by which tables know it."""
    name: str
    created_us: int


class Grant(Struct, frozen=True, kw_only=True):
    """A role that an actor holds."""

    actor: ActorId
    actor_name: str
    role: Role
    project: str | None
    """The project's name; None for every project of the home."""
    granted_us: int


class Token(Struct, frozen=True, kw_only=True):
    """Credentials as they may be shown: everything but the secret, which nobody has stored."""

    id: TokenId
    name: str
    actor: ActorId
    actor_name: str
    project: str | None
    """The one project it opens; None when it opens every project its actor may enter."""
    scopes: list[str]
    """Permissions and roles to which it is narrowed; `*` stands for all its actor may do."""
    created_us: int
    expires_us: int
    revoked_us: int | None = None
    last_used_us: int | None = None
    """To the minute."""


class NewToken(Struct, frozen=True, kw_only=True):
    """A token just made, with its secret: shown here and nowhere else."""

    token: Token
    secret: str
