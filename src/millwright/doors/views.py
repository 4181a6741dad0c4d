"""The door to saved views: searches for runs that somebody wants to see again."""

from __future__ import annotations

from typing import Protocol

from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.views import View, ViewSpec


class Views(Protocol):
    """Saved views, by name; they are the project's, not one person's."""

    @operation("POST", "/views", needs=Permission.RUN_WRITE)
    def put(self, *, name: str, spec: ViewSpec, reason: str = "") -> View:
        """Save a search under a name, in place of the one that had it."""
        ...

    @operation("GET", "/views", needs=Permission.RUN_READ)
    def list_all(self) -> list[View]:
        """Return the project's views, by name."""
        ...

    @operation("GET", "/views/{name}", needs=Permission.RUN_READ)
    def show(self, *, name: str) -> View:
        """Return one view."""
        ...

    @operation("DELETE", "/views/{name}", needs=Permission.RUN_WRITE)
    def delete(self, *, name: str, reason: str = "") -> None:
        """Remove a view; the runs it showed stay as they are."""
        ...
