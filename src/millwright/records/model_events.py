"""What is vouched for and allowed of single model versions, as records."""

from __future__ import annotations

from millwright.records.events import Detail


class ModelAttested(Detail, frozen=True, kw_only=True):
    """A signed statement of a version was made; the subjects carry its digest and its bill's."""

    name: str
    version: int


class PickleRuled(Detail, frozen=True, kw_only=True):
    """Somebody allowed that the code in a version's files is run, or took that back."""

    name: str
    version: int
    allowed: bool
