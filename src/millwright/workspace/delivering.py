"""Makes what tells webhooks of a home, for whichever long-lived process runs: worker or server."""

from __future__ import annotations

from millwright.automation.deliveries import LEASE_S, LOOK_EVERY_S, Deliverer
from millwright.workspace.open import Home


def make_deliverer(
    home: Home, *, look_every_s: float = LOOK_EVERY_S, lease_s: float = LEASE_S
) -> Deliverer:
    """Return what delivers to the webhooks of every project of the home while a block runs."""
    return Deliverer(
        home.deliveries,
        home.webhooks,
        home.database,
        home.jobs,
        home.clock,
        look_every_s=look_every_s,
        lease_s=lease_s,
    )
