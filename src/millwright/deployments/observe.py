"""What captured decisions say of a rollout: counts for each sticky key of each arm."""

from __future__ import annotations

from collections.abc import Iterable

from millwright.core.ids import RolloutId
from millwright.metadata.tables.deployments import KeySeen
from millwright.records.serving import Decision


def count_keys(decisions: Iterable[Decision], *, rollout: RolloutId) -> list[KeySeen]:
    """Return what each key has shown of each arm among the decisions taken in `rollout`."""
    seen: dict[tuple[str, str], list[int]] = {}
    for decision in decisions:
        if decision.rollout != rollout:
            continue
        counts = seen.setdefault((decision.role, decision.key), [0, 0, 0])
        counts[0] += 1
        counts[1] += decision.error is not None
        counts[2] += decision.slow
    return [
        KeySeen(role=role, key=key, requests=counts[0], errors=counts[1], slow=counts[2])
        for (role, key), counts in sorted(seen.items())
    ]
