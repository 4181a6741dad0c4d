from __future__ import annotations

import numpy as np
import pytest

from fixtures.homes import DEPLOYMENT, TRAINED_ROWS, Place, ServingLife, table
from millwright.core.errors import Denied, NotFound
from millwright.core.ids import DecisionId, new_id
from millwright.doors.decisions import Explanation
from millwright.records.serving import Decision

COLUMNS = {*(f"x{at}" for at in range(6)), "visits", "region"}


def answered(place: Place) -> list[Decision]:
    """Deploy v1 and capture decisions on rows it was not fitted on, one without a text."""
    place.deployed()
    rows = table().drop("y", "id").slice(TRAINED_ROWS, 3).to_dicts()
    rows[2]["region"] = "atlantis"
    life = ServingLife(place)
    taken = life.decide(["a", "b", "c"], inputs=rows)
    life.send(taken)
    return taken


def score_of(place: Place, decision: Decision) -> float:
    """Return what the version itself says of a decision's inputs."""
    model = place.home.packages.load(place.row("churn@v1").package_digest)
    said = model.predict({name: np.array([value]) for name, value in decision.inputs.items()})
    return float(said["probability"][0])


def test_contributions_of_raw_columns_add_up_to_the_score_the_version_gives(
    sqlite_place: Place,
) -> None:
    taken = answered(sqlite_place)
    for decision in taken:
        found = sqlite_place.me.decisions.explain(id=decision.id)
        assert isinstance(found, Explanation)
        # A one-hot encoded text is one column.
        assert set(found.contributions) == COLUMNS
        assert found.scale == "probability"
        assert abs(found.residue) < 1e-12
        assert abs(found.base + sum(found.contributions.values()) - found.output) < 1e-9
        # The served form differs from the trained one by less than its parity.
        assert abs(found.output - score_of(sqlite_place, decision)) < 1e-5
        assert found.model_digest == decision.digest


def test_it_explains_with_the_version_that_decided_whoever_is_champion_now(
    sqlite_place: Place,
) -> None:
    place = sqlite_place
    taken = answered(place)
    before = place.me.decisions.explain(id=taken[0].id)
    place.me.models.promote(ref=place.passed(1))
    assert place.me.decisions.explain(id=taken[0].id) == before


def test_reading_it_is_journaled_as_an_explanation(place: Place) -> None:
    taken = answered(place)
    place.me.decisions.explain(id=taken[0].id)
    assert [one.detail for one in place.events("DecisionRead")] == [
        {"reason": "", "deployment": DEPLOYMENT, "how": "explain"}
    ]


def test_what_was_never_decided_or_may_not_be_seen_is_not_explained(sqlite_place: Place) -> None:
    taken = answered(sqlite_place)
    with pytest.raises(NotFound):
        sqlite_place.me.decisions.explain(id=DecisionId(new_id("dec")))
    with pytest.raises(Denied):
        sqlite_place.person("eve").decisions.explain(id=taken[0].id)
