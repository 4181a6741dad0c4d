from __future__ import annotations

from typing import Literal

from millwright.core.digest import digest_bytes
from millwright.core.ids import DecisionId, DeploymentId, RolloutId
from millwright.deployments.observe import count_keys
from millwright.metadata.tables.deployments import KeySeen
from millwright.records.serving import Decision

ROLLOUT = RolloutId("rol_1")


def decision(
    key: str,
    *,
    role: Literal["champion", "candidate"] = "candidate",
    error: str | None = None,
    slow: bool = False,
    rollout: RolloutId | None = ROLLOUT,
) -> Decision:
    return Decision(
        id=DecisionId("dec_1"),
        n=0,
        time_us=0,
        deployment=DeploymentId("dep_1"),
        revision=1,
        role=role,
        version=1,
        digest=digest_bytes(b"m"),
        inputs={},
        key=key,
        error=error,
        slow=slow,
        rollout=rollout,
    )


class TestCountKeys:
    def test_requests_are_added_up_by_arm_and_key(self) -> None:
        seen = count_keys(
            [
                decision("b", error="it broke"),
                decision("a", slow=True),
                decision("b", slow=True),
                decision("b", role="champion"),
            ],
            rollout=ROLLOUT,
        )
        assert seen == [
            KeySeen(role="candidate", key="a", requests=1, errors=0, slow=1),
            KeySeen(role="candidate", key="b", requests=2, errors=1, slow=1),
            KeySeen(role="champion", key="b", requests=1, errors=0, slow=0),
        ]

    def test_what_belongs_to_no_rollout_or_another_counts_for_nothing(self) -> None:
        others = [decision("a", rollout=None), decision("b", rollout=RolloutId("rol_2"))]
        assert count_keys(others, rollout=ROLLOUT) == []
