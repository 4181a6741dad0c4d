from __future__ import annotations

import pytest

from fixtures.homes import Place
from millwright.artifacts.trees import put_tree
from millwright.core.errors import Denied, Invalid


def test_a_pickle_is_refused_until_it_is_allowed_and_after_it_is_taken_back(place: Place) -> None:
    models, ref = place.me.models, place.pickle()
    assert not models.pickle_ruling(ref=ref).allowed
    allowed = models.allow_pickle(ref=ref, reason="ours, of 2019")
    assert (allowed.allowed, allowed.reason) == (True, "ours, of 2019")
    assert models.pickle_ruling(ref=ref) == allowed
    assert not models.pickle_ruling(ref=place.version(0)).allowed
    models.refuse_pickle(ref=ref)
    assert not models.pickle_ruling(ref=ref).allowed
    events = place.events("PickleRuled")
    assert events[0].id == allowed.event
    assert [event.subjects[0].digest for event in events] == [allowed.digest] * 2


def test_it_needs_a_reason_and_somebody_who_answers_for_the_project(place: Place) -> None:
    ref = place.pickle()
    with pytest.raises(Invalid, match="needs a reason"):
        place.me.models.allow_pickle(ref=ref, reason=" ")
    with pytest.raises(Denied):
        place.person("ada", "editor").models.allow_pickle(ref=ref, reason="please")
    assert place.events("PickleRuled") == []


def test_a_reason_that_was_erased_allows_nothing(place: Place) -> None:
    ref = place.pickle()
    allowed = place.me.models.allow_pickle(ref=ref, reason="ours")
    assert allowed.event is not None
    with place.home.database.write() as tx:
        place.home.journal.erase_detail(tx, place.act, allowed.event)
    assert not place.me.models.pickle_ruling(ref=ref).allowed


def test_what_is_no_pickle_needs_no_permission(place: Place) -> None:
    with pytest.raises(Invalid, match="churn@v1 is no pickle, and needs no permission") as caught:
        place.me.models.allow_pickle(ref=place.version(0), reason="ours")
    assert caught.value.fix == "load it: mw.load_model('churn@v1')"
    code = {"MLmodel": b"flavors: {python_function: {loader_module: mlflow.pyfunc.model}}"}
    place.me.models.create(name="code")
    place.me.models.register(
        name="code", package_digest=put_tree(place.home.artifacts, code).digest
    )
    with pytest.raises(Invalid, match="code@v1 is no pickle") as caught:
        place.me.models.allow_pickle(ref="code@v1", reason="ours")
    assert caught.value.fix == (
        "load it with the tool that wrote it: mill model fetch code@v1 FOLDER"
    )
    assert place.events("PickleRuled") == []
