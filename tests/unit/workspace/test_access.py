"""Roles are given, taken back and ended; a name that is none is said with those there are."""

from __future__ import annotations

import pytest

from fixtures.homes import Place
from millwright.core.errors import Conflict, Denied, Invalid


def test_a_role_is_taken_back_where_it_was_given(sqlite_place: Place) -> None:
    place = sqlite_place
    place.person("ada", "editor")
    place.me.access.revoke(name="ada", role="editor", reason="moved on")
    ada = place.home.door(place.home.principal("ada"), "default")
    with pytest.raises(Denied, match=r"ada may not do model\.register"):
        ada.models.create(name="churn")
    place.me.access.revoke(name="ada", role="editor")
    (event,) = place.events("RoleRevoked")
    assert event.detail == {
        "reason": "moved on",
        "name": "ada",
        "role": "editor",
        "project": "default",
    }


def test_who_is_disabled_may_do_nothing_anywhere(sqlite_place: Place) -> None:
    place = sqlite_place
    place.person("ada", "admin")
    done = place.me.access.disable_actor(name="ada", reason="left")
    assert done.disabled_us is not None
    with pytest.raises(Denied, match="ada is disabled"):
        place.home.principal("ada")
    assert len(place.events("ActorDisabled")) == 1


def test_an_admin_of_one_project_disables_nobody(sqlite_place: Place) -> None:
    place = sqlite_place
    ada = place.person("ada", "admin")
    me = place.me.access.whoami().name
    with pytest.raises(Denied, match=r"ada may not do user\.write in every project"):
        ada.access.disable_actor(name=me)
    with pytest.raises(Conflict, match="cannot be disabled by himself"):
        place.me.access.disable_actor(name=me)
    assert place.home.principal(me).name == me


def test_a_role_that_is_none_is_refused_naming_them_all(sqlite_place: Place) -> None:
    access = sqlite_place.me.access
    access.create_actor(name="ada")
    for change in (access.grant, access.revoke):
        with pytest.raises(Invalid) as caught:
            change(name="ada", role="editr")
        assert caught.value.what == "there is no role 'editr'"
        assert caught.value.why == "there are: viewer, editor, approver, auditor, admin, service"
        assert caught.value.fix == "did you mean 'editor'?"
