"""By which versions a deployment came to the one that answers now."""

from __future__ import annotations

from collections.abc import Sequence


def way_here(promoted: Sequence[tuple[int, int]], *, now: int) -> list[int]:
    """Return the versions from the first that answered alone to `now`, which is the last.

    `promoted` holds champion and candidate of each rollout that ended well, oldest first. A
    champion that is not what the rollout before it left was rolled back to. Coming to a version
    on the way takes back all that came after it, so that one rollback behind another goes on
    backwards, and never returns to what was just left.
    """
    path: list[int] = []
    for version in [*(each for pair in promoted for each in pair), now]:
        if version in path:
            del path[path.index(version) + 1 :]
        else:
            path.append(version)
    return path
