from __future__ import annotations

import msgspec
import pytest

from fixtures.homes import Place, ServingLife
from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt
from millwright.journal.captured import read_decisions
from millwright.metadata.tables import segments as tables
from millwright.metadata.tables.segments import SegmentRow
from millwright.records.serving import Decision


@pytest.fixture
def place(sqlite_place: Place) -> Place:
    return sqlite_place


def sealed(place: Place) -> tuple[SegmentRow, list[Decision]]:
    """Have three decisions captured; return the segment and what was decided."""
    place.deployed()
    life = ServingLife(place)
    taken = life.decide(["a", "b", "c"])
    life.send(taken)
    # The home's first and only deployment.
    with place.home.database.read() as tx:
        rows = tables.segments_from(tx, deployment_pk=1, from_pk=0, limit=10)
    assert len(rows) == 1
    return rows[0], taken


def test_they_are_those_that_were_sealed(place: Place) -> None:
    row, taken = sealed(place)
    assert read_decisions(place.home.artifacts, row) == taken


def test_of_an_erased_payload_there_are_none(place: Place) -> None:
    row, _ = sealed(place)
    erased = msgspec.structs.replace(row, payload_digest=digest_bytes(b"erased"))
    assert read_decisions(place.home.artifacts, erased) == []


def test_another_payload_under_the_same_index_is_found_out(place: Place) -> None:
    row, _ = sealed(place)
    life = ServingLife(place, instance="other.1")
    other = life.sealed(life.decide(["x", "y", "z"])).header.payload_digest
    with pytest.raises(Corrupt, match="row 0 of the payload is not the one"):
        read_decisions(place.home.artifacts, msgspec.structs.replace(row, payload_digest=other))
