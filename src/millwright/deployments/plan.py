"""Who answers for what share of the keys: pure."""

from __future__ import annotations

from typing import Literal

from millwright.core.errors import Invalid
from millwright.metadata.tables.models import VersionRow
from millwright.records.deployments import RolloutPlan
from millwright.records.serving import WEIGHT_TOTAL, Variant


def variant(row: VersionRow, role: Literal["champion", "candidate"], weight: int) -> Variant:
    """Return a version in a role."""
    return Variant(
        role=role,
        version=row.version,
        model_version=row.id,
        digest=row.digest,
        package_digest=row.package_digest,
        weight=weight,
    )


def alone(row: VersionRow) -> list[Variant]:
    """Return the variants when one version answers everything."""
    return [variant(row, "champion", WEIGHT_TOTAL)]


def shared(champion: VersionRow, candidate: VersionRow, weight: int) -> list[Variant]:
    """Return the variants when the candidate answers `weight` of 10,000 keys."""
    return [
        variant(champion, "champion", WEIGHT_TOTAL - weight),
        variant(candidate, "candidate", weight),
    ]


def check_plan(plan: RolloutPlan) -> RolloutPlan:
    """Return `plan` when it can be carried out; raises Invalid naming what cannot."""
    rising = all(a < b for a, b in zip(plan.steps, plan.steps[1:], strict=False))
    if not plan.steps or not rising or plan.steps[0] < 1 or plan.steps[-1] >= WEIGHT_TOTAL:
        raise Invalid(
            f"the steps {list(plan.steps)} cannot be taken",
            why=f"they are rising shares between 1 and {WEIGHT_TOTAL - 1}, of {WEIGHT_TOTAL}",
        )
    for name in ("alpha", "error_margin", "slow_margin"):
        value = getattr(plan, name)
        if not 0.0 < value < 1.0:
            raise Invalid(f"{name} is {value}; it lies between 0 and 1")
    if plan.min_keys < 1 or plan.slow_after_us < 1 or plan.max_step_s <= 0:
        raise Invalid("min_keys, slow_after_us and max_step_s must be above 0")
    return plan
