from __future__ import annotations

import pytest

from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid
from millwright.core.ids import ActorId, ModelVersionId
from millwright.deployments.plan import alone, check_plan, shared
from millwright.metadata.tables.models import VersionRow
from millwright.records.deployments import RolloutPlan
from millwright.records.serving import WEIGHT_TOTAL, Variant


def row(version: int) -> VersionRow:
    return VersionRow(
        pk=version,
        model_pk=1,
        id=ModelVersionId(f"mov_{version}"),
        name="churn",
        version=version,
        digest=digest_bytes(b"%d" % version),
        package_digest=digest_bytes(b"package %d" % version),
        signature_json="{}",
        flavors_json="[]",
        profile_digest=None,
        run_id=None,
        actor=ActorId("act_1"),
        created_us=0,
    )


def test_alone_a_version_answers_every_key() -> None:
    assert alone(row(1)) == [
        Variant(
            role="champion",
            version=1,
            model_version=ModelVersionId("mov_1"),
            digest=digest_bytes(b"1"),
            package_digest=digest_bytes(b"package 1"),
            weight=WEIGHT_TOTAL,
        )
    ]


def test_shared_the_candidate_has_its_share_and_the_champion_the_rest() -> None:
    made = shared(row(1), row(2), 500)
    assert [(one.role, one.version, one.weight) for one in made] == [
        ("champion", 1, 9_500),
        ("candidate", 2, 500),
    ]


def test_a_plan_that_can_be_carried_out_is_returned() -> None:
    plan = RolloutPlan(steps=(1, WEIGHT_TOTAL - 1))
    assert check_plan(plan) is plan


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (RolloutPlan(steps=()), "the steps"),
        (RolloutPlan(steps=(0, 500)), "the steps"),
        (RolloutPlan(steps=(500, 500)), "the steps"),
        (RolloutPlan(steps=(500, 100)), "the steps"),
        (RolloutPlan(steps=(500, WEIGHT_TOTAL)), "the steps"),
        (RolloutPlan(alpha=0.0), "alpha is 0.0"),
        (RolloutPlan(alpha=float("nan")), "alpha is nan"),
        (RolloutPlan(error_margin=1.0), "error_margin is 1.0"),
        (RolloutPlan(slow_margin=-0.1), "slow_margin is -0.1"),
        (RolloutPlan(min_keys=0), "must be above 0"),
        (RolloutPlan(slow_after_us=0), "must be above 0"),
        (RolloutPlan(max_step_s=0.0), "must be above 0"),
    ],
)
def test_a_plan_that_cannot_is_refused_naming_what(plan: RolloutPlan, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check_plan(plan)
