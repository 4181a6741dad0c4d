"""Who is working where: what a service needs to turn a call into an act."""

from __future__ import annotations

from dataclasses import dataclass

from millwright.access.permissions import Principal
from millwright.core.ids import EventId, ProjectId, RequestId
from millwright.records.events import Act


@dataclass(frozen=True, slots=True)
class Session:
    """One principal in one project, for one request or one embedded workspace."""

    principal: Principal
    project: ProjectId
    project_name: str
    key: int
    """The project's integer key."""
    request: RequestId | None = None
    cause: EventId | None = None
    reason: str = ""
    """Given where an act has none of its own, as in what a rule does."""

    def act(self, reason: str = "") -> Act:
        """Return the act of doing something for `reason`."""
        return Act(
            actor=self.principal.actor,
            project=self.project,
            project_key=self.key,
            reason=reason or self.reason,
            request=self.request,
            cause=self.cause,
        )
