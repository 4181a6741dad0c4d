"""The door to the journal."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.events import Event


class Proof(Struct, frozen=True, kw_only=True):
    """That one event stands in the journal, checkable with SHA-256 alone (RFC 9162 §2.1.3)."""

    event: str
    index: int
    size: int
    leaf: str
    """The leaf's bytes, hexadecimal."""
    path: list[str]
    """Hexadecimal hashes, from the leaf upwards."""
    root: str
    checkpoint: str
    """A signed note (C2SP) whose root is `root`."""


class Place(Struct, frozen=True, kw_only=True):
    """Something wrong at one place of the journal."""

    place: int | None
    what: str


class Verification(Struct, frozen=True, kw_only=True):
    """What a check of the whole journal found."""

    ok: bool
    size: int
    root: str
    problems: list[Place]
    cannot_exclude: list[str]


class Audit(Protocol):
    """The journal: read, proved, verified."""

    @operation("GET", "/events", needs=Permission.AUDIT_READ)
    def events(
        self,
        *,
        after: int = -1,
        limit: int = 100,
        kind: str | None = None,
        subject: str | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        """Return events in their order; `subject` is the id of what they are about."""
        ...

    @operation("GET", "/events/{id}/proof", needs=Permission.AUDIT_READ)
    def prove(self, *, id: str) -> Proof:
        """Return the proof that an event stands in the journal."""
        ...

    @operation("GET", "/checkpoint", needs=Permission.AUDIT_READ)
    def checkpoint(self) -> str:
        """Return a signed checkpoint of the journal as it is now; keep it somewhere else."""
        ...

    @operation("POST", "/audit/verification", needs=Permission.AUDIT_VERIFY)
    def verify(self, *, against: str | None = None) -> Verification:
        """Check every event, proof and checkpoint, also against one kept outside."""
        ...
