"""The port of a gate: a check looks at evidence and says pass, fail or undetermined.

Checks are found by name in the entry-point group `millwright.checks`. Undetermined is an
answer of its own: it says how many rows would decide, and never counts as a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from millwright.core import plugins
from millwright.gates.compare import Answers, Truth
from millwright.records.models import CheckResult
from millwright.records.schema import Signature

GROUP = "millwright.checks"
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a gate may judge on: labelled rows, and what both models say of them."""

    columns: Mapping[str, npt.NDArray[np.generic]]
    """Raw columns (n,) of the judged rows, those that are no feature among them."""
    truth: Truth
    candidate: Answers
    candidate_signature: Signature
    candidate_seen_rows: int | None
    """How many judged rows the candidate was trained on; None when nobody knows."""
    baseline: Answers | None = None
    baseline_signature: Signature | None = None
    baseline_seen_rows: int | None = None
    seed: int = 0

    @property
    def rows(self) -> int:
        """How many labelled rows there are."""
        return len(self.truth.label)


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every check may be told; a check's own options inherit from it."""

    check: str
    name: str = ""
    """What the check is called in the report; by default what it checks."""


class Check(Protocol):
    """One kind of check."""

    options: type[Options]

    def evaluate(self, evidence: Evidence, options: Any, /) -> list[CheckResult]:
        """Return one result, or one for each slice or group looked at."""
        ...


def load_check(kind: str) -> Check:
    """Return the check called `kind`; raises NotFound naming the nearest."""
    return cast("type[Check]", plugins.load(GROUP, kind))()
