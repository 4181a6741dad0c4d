"""What happens around runs, as records: studies, saved views, and what is removed for good."""

from __future__ import annotations

from millwright.records.events import Detail


class StudyCreated(Detail, frozen=True, kw_only=True):
    """A search for good hyperparameters began; its trials are runs."""

    name: str
    metric: str
    direction: str


class TrialEnded(Detail, frozen=True, kw_only=True):
    """A trial of a study is complete, was given up early, or failed."""

    study: str
    number: int
    state: str


class ViewChanged(Detail, frozen=True, kw_only=True):
    """A search was saved under a name, saved anew, or (removed) taken away."""

    name: str
    removed: bool = False


class ModelsPurged(Detail, frozen=True, kw_only=True):
    """Models and versions that had been deleted were removed for good."""

    models: int
    versions: int
