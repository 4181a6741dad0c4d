"""The door to datasets."""

from __future__ import annotations

from typing import Protocol

from millwright.core.digest import Digest
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.data import Dataset, DatasetVersion, Expectation, ValidationReport
from millwright.records.events import JsonValue


class Data(Protocol):
    """Datasets and their versions. A `ref` is `name`, `name@v3`, `name@latest` or an id."""

    @operation("GET", "/datasets", needs=Permission.DATA_READ)
    def list_all(self) -> list[Dataset]:
        """Return the project's datasets, by name."""
        ...

    @operation("POST", "/datasets/{name}/versions", needs=Permission.DATA_WRITE, is_long=True)
    def add(
        self, *, name: str, digest: Digest, format: str, source: str, reason: str = ""
    ) -> DatasetVersion:
        """Make stored bytes a version of a dataset; the same bytes are the same version."""
        ...

    @operation("GET", "/datasets/{name}/versions", needs=Permission.DATA_READ)
    def versions(self, *, name: str) -> list[DatasetVersion]:
        """Return all versions of a dataset, oldest first."""
        ...

    @operation("GET", "/dataset-versions/{ref}", needs=Permission.DATA_READ)
    def show(self, *, ref: str) -> DatasetVersion:
        """Return one version."""
        ...

    @operation("GET", "/dataset-versions/{ref}/profile", needs=Permission.DATA_READ)
    def profile(self, *, ref: str) -> dict[str, JsonValue]:
        """Return what its columns look like: counts, missing, moments, quantiles, levels."""
        ...

    @operation("POST", "/dataset-versions/{ref}/validation", needs=Permission.DATA_WRITE)
    def validate(
        self, *, ref: str, expectations: list[Expectation], reason: str = ""
    ) -> ValidationReport:
        """Hold a version against expectations; the outcome is journaled."""
        ...
