"""Versions registered from where their files lie, as clients of MLflow's do.

`models:/m-…` is a logged model, `runs:/…/model` and `mlflow-artifacts:/…` are folders of
artifacts. What lies there is put together as a tree and never changes again, whatever happens to
the run. What lies elsewhere, or is no folder at all (a prompt), is registered by what is said
about it alone; such a version can be neither judged nor deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import Tree, load_tree, put_tree
from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import MillwrightError
from millwright.core.ids import LoggedModelId, RunId
from millwright.metadata.database import Database
from millwright.records.events import Act
from millwright.records.models import ModelVersion
from millwright.records.schema import Signature
from millwright.registry.mlmodel import Package
from millwright.registry.models import Candidate, Models

_UNKNOWN = Signature(inputs=[], outputs=[])


class Folders(Protocol):
    """Puts what lies in a folder of artifacts together; `tracking.files.Files` fills it."""

    def tree(self, project_key: int, folder: str) -> Tree:
        """Store and return the tree of a folder's files; raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version comes from, and what its client says about it."""

    address: str
    """As the client gave it."""
    folder: str | None
    """The folder of artifacts it means; None when its files do not lie here."""
    run: RunId | None = None
    run_link: str = ""
    logged_model: LoggedModelId | None = None
    description: str = ""
    tags: Mapping[str, str] | None = None
    package_digest: Digest | None = None
    """The tree of its files, where they were put together before."""


class Sources:
    """Registers from sources, for all projects of a home."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, models: Models, folders: Folders
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._models = models
        self._folders = folders

    def register(self, act: Act, name: str, source: Source) -> ModelVersion:
        """Give what lies at a source the next number of a model, each time anew.

        Raises NotFound for a model or run that is not there, or a folder without files.
        """
        tags = source.tags or {}
        digest, package_digest, package = self._read(act, source)
        found = Candidate(
            digest=digest,
            package_digest=package_digest,
            signature=_UNKNOWN if package is None else package.facts.signature,
            flavors=[] if package is None else package.flavors,
            run=source.run,
            description=source.description,
            source=source.address,
            run_link=source.run_link,
            logged_model=source.logged_model,
            tags=tags,
        )
        with self._database.write() as tx:
            return self._models.add_in(tx, act, name, found)

    def _read(self, act: Act, source: Source) -> tuple[Digest, Digest, Package | None]:
        if source.folder is None and source.package_digest is None:
            said = canonical.encode(
                {
                    "source": source.address,
                    "tags": [[key, value] for key, value in sorted((source.tags or {}).items())],
                }
            )
            return digest_bytes(said), put_tree(self._artifacts, {}).digest, None
        tree = source.package_digest
        if tree is None:
            tree = self._folders.tree(act.project_key, source.folder or "").digest
        try:
            package = self._models.package(tree)
        except MillwrightError:
            # A folder of another kind, or one we cannot read: known by all its bytes.
            return load_tree(self._artifacts, tree).digest, tree, None
        return package.digest, tree, package
