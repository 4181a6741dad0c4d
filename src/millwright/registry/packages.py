"""Packages at hand: fetched once from the artifact store to a folder, and loaded from there."""

from __future__ import annotations

import threading
from pathlib import Path

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import fetch_tree
from millwright.core.digest import PREFIX, Digest, parse_digest
from millwright.core.errors import Conflict, Refused
from millwright.registry.package import LoadedModel, load_package
from millwright.registry.pickles import PickleRefused


class Packages:
    """Keeps fetched packages below `folder`, one folder a digest; any of it may be deleted."""

    def __init__(self, artifacts: ArtifactStore, folder: Path) -> None:
        self._artifacts = artifacts
        self._folder = folder
        self._lock = threading.Lock()

    def fetch(self, package_digest: Digest) -> Path:
        """Return the folder of a package, fetching it when it is not here yet."""
        target = self._folder / parse_digest(package_digest).removeprefix(PREFIX)
        with self._lock:
            if not target.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                try:
                    fetch_tree(self._artifacts, package_digest, target)
                except Conflict:
                    # Another process has just fetched the same package.
                    if not target.exists():
                        raise
        return target

    def load(self, package_digest: Digest) -> LoadedModel:
        """Return the model of a package, its digest verified; raises Refused for a pickle."""
        try:
            return load_package(self.fetch(package_digest))
        except PickleRefused as error:
            raise Refused(
                error.what,
                why=error.why,
                fix="log it with serialization_format='skops', or as ONNX: gates and servers load "
                "no pickle, whatever was allowed",
            ) from error
