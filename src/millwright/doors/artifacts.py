"""The door to stored bytes; the one door that carries streams instead of records."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from millwright.core.digest import Digest
from millwright.records.access import Permission

READERS = (Permission.DATA_READ, Permission.SERVE_FOLLOW)
"""Whoever has one of these may read stored bytes whose digest he knows."""
WRITERS = (
    Permission.RUN_WRITE,
    Permission.DATA_WRITE,
    Permission.MODEL_REGISTER,
    Permission.DECISION_WRITE,
)
"""Whoever has one of these may store bytes."""


class Artifacts(Protocol):
    """Content-addressed bytes."""

    def put_file(self, path: Path) -> Digest:
        """Store a file and return its digest; bytes that are stored already are not sent."""
        ...

    def put_folder(self, path: Path) -> Digest:
        """Store a folder as a tree and return the tree's digest."""
        ...

    def fetch(self, digest: Digest, target: Path) -> None:
        """Write stored bytes to a file, checked."""
        ...

    def fetch_folder(self, digest: Digest, target: Path) -> None:
        """Write a stored tree to a new folder, checked."""
        ...
