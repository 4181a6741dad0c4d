"""The embedded door's service of stored bytes, behind a permission check of its own.

The door carries paths, no records, so that its methods are no operations and the guard does not
know them. What each takes is said in `doors.artifacts`, for this door and the server alike.
"""

from __future__ import annotations

from pathlib import Path

from millwright.access.permissions import allows, require
from millwright.artifacts.trees import fetch_tree, put_tree
from millwright.core.digest import Digest
from millwright.doors.artifacts import READERS, WRITERS
from millwright.records.access import Permission
from millwright.workspace.services import Service


class Artifacts(Service):
    """Fills `doors.artifacts.Artifacts`."""

    def put_file(self, path: Path) -> Digest:
        """Store a file and return its digest."""
        self._require_any(WRITERS)
        return self.home.artifacts.put_file(path).digest

    def put_folder(self, path: Path) -> Digest:
        """Store a folder as a tree and return the tree's digest."""
        self._require_any(WRITERS)
        return put_tree(self.home.artifacts, path).digest

    def fetch(self, digest: Digest, target: Path) -> None:
        """Write stored bytes to a file, checked."""
        self._require_any(READERS)
        self.home.artifacts.fetch(digest, target)

    def fetch_folder(self, digest: Digest, target: Path) -> None:
        """Write a stored tree to a new folder, checked."""
        self._require_any(READERS)
        fetch_tree(self.home.artifacts, digest, target)

    def _require_any(self, permissions: tuple[Permission, ...]) -> None:
        """Return when the session may do one of them; raises Denied, which names the first."""
        who, key = self.session.principal, self.session.key
        if not any(allows(who, permission, key) for permission in permissions):
            require(who, permissions[0], key, project=self.session.project_name)
