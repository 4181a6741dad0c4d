"""What catalogue steps ask of the workspace, through their context's door.

Each is the part of a door that a step needs; the workspace fills it, wherever the step runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.records.data import DatasetVersion, Expectation, ValidationReport
from millwright.records.models import Model, ModelVersion, Risk
from millwright.records.runs import RunLink


class ArtifactsPort(Protocol):
    """Stored bytes."""

    def put_file(self, path: Path) -> Digest:
        """Store a file."""
        ...

    def put_folder(self, path: Path) -> Digest:
        """Store a folder as a tree."""
        ...


class DataPort(Protocol):
    """Datasets."""

    def add(
        self, *, name: str, digest: Digest, format: str, source: str, reason: str = ""
    ) -> DatasetVersion:
        """Make stored bytes a version of a dataset."""
        ...

    def validate(
        self, *, ref: str, expectations: list[Expectation], reason: str = ""
    ) -> ValidationReport:
        """Hold a version against expectations; the outcome is journaled."""
        ...


class ModelsPort(Protocol):
    """The registry."""

    def create(self, *, name: str, risk: Risk = "low", reason: str = "") -> Model:
        """Make a model; one of the same name and risk is returned as it is."""
        ...

    def register(
        self,
        *,
        name: str,
        package_digest: Digest,
        run: RunId | None = None,
        profile_digest: Digest | None = None,
        reason: str = "",
    ) -> ModelVersion:
        """Make a stored package a version of a model."""
        ...


class RunsPort(Protocol):
    """Runs."""

    def log_links(self, *, run: RunId, links: list[RunLink]) -> None:
        """Record what the run read and made."""
        ...
