"""The door to artifacts by path; their bytes go through the door to artifacts."""

from __future__ import annotations

from typing import Protocol

from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.runs import ArtifactEntry, ArtifactFile


class Files(Protocol):
    """Names for stored bytes: `3/0198…7f/artifacts/plots/roc.png` is one of a run's."""

    @operation("POST", "/files", needs=Permission.RUN_WRITE)
    def put(self, *, files: list[ArtifactFile]) -> None:
        """Give stored bytes their paths, all or none."""
        ...

    @operation("GET", "/files/{path}", needs=Permission.RUN_READ)
    def show(self, *, path: str) -> ArtifactFile:
        """Return the file at a path."""
        ...

    @operation("GET", "/files", needs=Permission.RUN_READ)
    def list_folder(self, *, folder: str = "") -> list[ArtifactEntry]:
        """Return what lies in a folder."""
        ...

    @operation("DELETE", "/files/{path}", needs=Permission.RUN_WRITE)
    def delete(self, *, path: str) -> int:
        """Take the name of a file, or of all in a folder, away; return how many."""
        ...
