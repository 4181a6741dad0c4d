from __future__ import annotations

import pickle

import pytest

from millwright.core.digest import digest_bytes
from millwright.core.errors import Failed, Invalid, Refused
from millwright.registry.pickles import (
    PicklePermission,
    check_permission,
    refuse_pickle,
    unpickle,
)

PERMISSION = PicklePermission(digest_bytes(b"model"), "an old model of our own")


def test_a_permission_is_for_one_model_and_has_a_reason() -> None:
    check_permission(PERMISSION, digest_bytes(b"model"))
    with pytest.raises(Refused, match="for another model"):
        check_permission(PERMISSION, digest_bytes(b"other"))
    with pytest.raises(Invalid, match="needs a reason"):
        PicklePermission(digest_bytes(b"model"), "  ")


def test_a_refusal_says_what_to_do() -> None:
    refusal = refuse_pickle("sklearn", "model.pkl")
    assert refusal.what.startswith("model.pkl is a pickle")
    assert "serialization_format='skops'" in refusal.fix


def test_what_does_not_load_says_why() -> None:
    assert unpickle(pickle.dumps([1]), "model.pkl", PERMISSION) == [1]
    with pytest.raises(Failed) as caught:
        unpickle(b"cnowhere\nThing\n.", "model.pkl", PERMISSION)
    assert "No module named 'nowhere'" in caught.value.why
