"""An event is proved to those of its project, and to nobody else."""

from __future__ import annotations

import pytest

from fixtures.homes import Place
from millwright.core.errors import NotFound
from millwright.core.ids import new_id
from millwright.journal import merkle


def test_an_event_of_another_project_is_not_there(place: Place) -> None:
    place.me.access.create_project(name="other")
    other = place.home.door(place.home.principal(), "other")
    other.models.create(name="churn")
    (event,) = place.events("ModelCreated")
    unknown = new_id("evt")
    for theirs in (event.id, unknown):
        with pytest.raises(NotFound) as caught:
            place.me.audit.prove(id=theirs)
        assert caught.value.what == f"there is no event {theirs}"
    proof = other.audit.prove(id=event.id)
    assert merkle.verify_inclusion(
        merkle.leaf_hash(bytes.fromhex(proof.leaf)),
        index=proof.index,
        size=proof.size,
        path=[bytes.fromhex(step) for step in proof.path],
        root=bytes.fromhex(proof.root),
    )
