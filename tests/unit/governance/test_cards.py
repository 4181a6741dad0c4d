from __future__ import annotations

import pytest
from msgspec.structs import replace

from fixtures.example_host import example_of
from fixtures.homes import SOURCE, Place
from millwright.core.errors import NotFound
from millwright.core.ids import RunId, new_id
from millwright.governance.cards import notes_of
from millwright.records.models import Model, ModelVersion


def test_a_card_tells_run_verdict_and_aliases(place: Place) -> None:
    ref = place.trained(0)
    place.judged(ref)
    place.me.models.promote(ref=ref, reason="it is better")
    place.me.models.describe(name="churn", description="Who is about to leave.")
    card = place.me.models.card(ref="churn@champion")
    assert (card.model, card.version) == ("churn", 1)
    for words in (
        "## Intended use\n\nWho is about to leave.\n",
        "### Gate: pass",
        "it is better",
        "scikit-learn",
        str(place.me.models.show(ref=ref).run),
    ):
        assert words in card.text
    with pytest.raises(NotFound):
        place.me.models.card(ref="churn@v9")


def test_versions_of_one_model_and_of_two_are_compared(place: Place) -> None:
    first, second = place.trained(0), place.version(1)
    found = place.me.models.compare(left=first, right=second)
    assert (found.left, found.right, found.same_model) == (first, second, False)
    assert [one.key for one in found.digests] == ["model", "package"]
    assert (found.columns, found.requirements) == ([], [])
    again = place.version(0, name="other")
    assert place.me.models.compare(left=first, right=again).same_model


def test_what_a_step_registered_is_told_by_its_pipelines_run(place: Place) -> None:
    refs: list[str] = []
    for seed, depth in enumerate(("3", "5")):
        whole = place.me.runs.start(name="demo", kind="pipeline", source=SOURCE).id
        place.me.runs.log_params(run=whole, params={"depth": depth})
        step = place.me.runs.start(name="register", kind="step", source=SOURCE, parent=whole).id
        refs.append(place.version(seed, run=step))
    (change,) = place.me.models.compare(left=refs[0], right=refs[1]).params
    assert (change.key, change.left, change.right) == ("depth", "3", "5")
    assert "| depth | 3 |" in place.me.models.card(ref=refs[0]).text


def test_a_version_outlives_its_run(place: Place) -> None:
    ref = place.trained(0)
    with place.home.database.write() as tx:
        tx.run("UPDATE model_version SET run_id = :run", run=RunId(new_id("run")))
    assert "No run of this system trained it." in place.me.models.card(ref=ref).text
    assert place.me.models.compare(left=ref, right=ref).params == []


def test_a_versions_words_come_before_its_models() -> None:
    model = replace(
        example_of(Model),
        description="general",
        tags={"card.limits": "of the model", "team": "risk"},
    )
    version = replace(example_of(ModelVersion), tags={"card.limits": "of the version"})
    assert notes_of(model, version) == {"intended use": "general", "limits": "of the version"}
    model = replace(model, tags={"card.intended use": "written"})
    assert notes_of(model, replace(version, tags={})) == {"intended use": "written"}
    assert notes_of(replace(model, description="", tags={}), replace(version, tags={})) == {}
