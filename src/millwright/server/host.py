"""What the server asks of the home it serves; `workspace.open.Home` fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from millwright.access.permissions import Principal
from millwright.artifacts.store import ArtifactStore
from millwright.core.ids import RequestId
from millwright.doors.door import Door
from millwright.records.access import Permission

T = TypeVar("T")


class Host(Protocol):
    """One home, as the server sees it; every method may be called from many threads at once."""

    @property
    def artifacts(self) -> ArtifactStore:
        """Return the home's store of immutable things, for streams."""
        ...

    def authenticate(self, secret: str) -> Principal:
        """Return whom a token's secret stands for; raises Unauthenticated."""
        ...

    def local_principal(self) -> Principal:
        """Return the actor of the operating system's user who runs this process."""
        ...

    def project_key(self, name: str) -> int:
        """Return the key of the project of that name; raises NotFound."""
        ...

    def project_name(self, key: int) -> str:
        """Return the name of the project of that key; raises NotFound."""
        ...

    def door(self, principal: Principal, project: str, *, request: RequestId | None) -> Door:
        """Return a permission-checked door for one request.

        It shares what the host holds open, so the server asks for one each time and closes none.
        """
        ...

    def note_denial(
        self,
        principal: Principal,
        permission: Permission,
        project: str,
        *,
        path: str,
        request: RequestId,
    ) -> None:
        """Journal that somebody known was turned away at the server's own check."""
        ...

    def together(
        self, calls: Sequence[Callable[[], T]], *, relaxed: bool = False
    ) -> list[T | Exception]:
        """Make calls of this home's doors with one commit; return what each gave or raised.

        `relaxed` is for telemetry, which need not survive a power cut.
        """
        ...

    def at_once(self, call: Callable[[], T]) -> T:
        """Return what a call of telemetry gives, without waiting for a lock or the disk.

        Raises WouldWait where that cannot be; then nothing was written.
        """
        ...

    def ensure_default_experiment(self, principal: Principal, project: str) -> None:
        """Make the experiment `Default` of a project where it is not there."""
        ...

    def plan_revision(self) -> int:
        """Return a number that rises whenever any deployment's plan changes; cheap."""
        ...
