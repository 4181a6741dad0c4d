"""The SQL of the home itself."""

from __future__ import annotations

from millwright.core.ids import HomeId
from millwright.metadata.database import Reader, Writer


def find_home(tx: Reader) -> HomeId | None:
    """Return the home's id, or None before it is made."""
    found = tx.value(str, "SELECT id FROM home")
    return None if found is None else HomeId(found)


def insert_home(tx: Writer, *, home_id: HomeId, now_us: int) -> bool:
    """Give the home its id; False when it has one already, perhaps since a moment ago."""
    added = tx.run(
        "INSERT INTO home (one, id, created_us) VALUES (1, :id, :now) ON CONFLICT DO NOTHING",
        id=home_id,
        now=now_us,
    )
    return added == 1
