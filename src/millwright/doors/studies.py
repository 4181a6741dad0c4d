"""The door to studies: searches for good hyperparameters, whose trials are runs."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from millwright.core.ids import RunId
from millwright.doors.operation import operation
from millwright.records.access import Permission
from millwright.records.runs import Problem, RunSource
from millwright.records.studies import Direction, SearchSpace, Study, Trial, TrialEnd


class StudyReport(Struct, frozen=True, kw_only=True):
    """A study and all its trials, by number."""

    study: Study
    trials: list[Trial]


class Studies(Protocol):
    """Studies. A `ref` is a study's name, or the id of its run or a beginning of it."""

    @operation("POST", "/studies", needs=Permission.RUN_WRITE)
    def create(
        self,
        *,
        name: str,
        source: RunSource,
        metric: str,
        space: SearchSpace,
        direction: Direction = "minimize",
        experiment: str = "Default",
        reason: str = "",
    ) -> Study:
        """Begin a study, and the run that it is; end it as any run."""
        ...

    @operation("GET", "/studies", needs=Permission.RUN_READ)
    def list_all(self) -> list[Study]:
        """Return the project's studies, newest first."""
        ...

    @operation("GET", "/studies/{ref}", needs=Permission.RUN_READ)
    def show(self, *, ref: str) -> StudyReport:
        """Return a study with its space, its best trial so far, and all trials."""
        ...

    @operation("POST", "/studies/{ref}/trials", needs=Permission.RUN_WRITE)
    def add_trial(
        self,
        *,
        ref: str,
        params: dict[str, str],
        run: RunId | None = None,
        name: str = "",
        source: RunSource | None = None,
    ) -> Trial:
        """Begin the next trial: a new child run, or (`run`) a child that runs already."""
        ...

    @operation("POST", "/studies/{ref}/trials/end", needs=Permission.RUN_WRITE)
    def end_trial(
        self,
        *,
        ref: str,
        number: int,
        state: TrialEnd,
        value: float | None = None,
        error: Problem | None = None,
        reason: str = "",
    ) -> Trial:
        """Say how a trial ended, and close its run; `value` is logged as the study's metric."""
        ...
