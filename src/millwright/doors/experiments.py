"""The door to experiments."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.runs import Experiment, Lifecycle


class FoundExperiments(Struct, frozen=True, kw_only=True):
    """One page of a search, and the token by which to read on."""

    experiments: list[Experiment]
    next_token: str | None


class Experiments(Protocol):
    """Named sets of runs. A `ref` is a name, or a number written `#3`."""

    @operation("POST", "/experiments", needs=Permission.RUN_WRITE)
    def create(
        self,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        location: str | None = None,
        reason: str = "",
    ) -> Experiment:
        """Make an experiment; Conflict when the name is taken."""
        ...

    @operation("GET", "/experiments", needs=Permission.RUN_READ)
    def list_all(self, *, deleted: bool = False) -> list[Experiment]:
        """Return the project's experiments, or those that are deleted."""
        ...

    @operation("POST", "/experiments/search", needs=Permission.RUN_READ)
    def search(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        lifecycle: Lifecycle = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> FoundExperiments:
        """Return experiments that fit a filter, newest first where nothing else orders them."""
        ...

    @operation("GET", "/experiments/{ref}", needs=Permission.RUN_READ)
    def show(self, *, ref: str) -> Experiment:
        """Return one experiment."""
        ...

    @operation("POST", "/experiments/{ref}/name", needs=Permission.RUN_WRITE)
    def rename(self, *, ref: str, name: str, reason: str = "") -> Experiment:
        """Give an experiment another name."""
        ...

    @operation("POST", "/experiments/{ref}/deletion", needs=Permission.RUN_WRITE)
    def delete(self, *, ref: str, reason: str = "") -> None:
        """Put an experiment and its runs away; they can be restored."""
        ...

    @operation("POST", "/experiments/{ref}/restoration", needs=Permission.RUN_WRITE)
    def restore(self, *, ref: str, reason: str = "") -> Experiment:
        """Take a deleted experiment and its runs back."""
        ...

    @operation("POST", "/experiments/{ref}/tags", needs=Permission.RUN_WRITE)
    def set_tags(self, *, ref: str, tags: dict[str, str]) -> None:
        """Set tags, replacing earlier values."""
        ...

    @operation("DELETE", "/experiments/{ref}/tags/{key}", needs=Permission.RUN_WRITE)
    def delete_tag(self, *, ref: str, key: str) -> None:
        """Remove a tag."""
        ...
