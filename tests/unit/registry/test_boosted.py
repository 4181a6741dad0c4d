from __future__ import annotations

import io
import zipfile

import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fixtures.boosters import lgb_classifier, matrix, xgb_classifier
from fixtures.estimators import labels
from millwright.core.errors import Corrupt, Refused, Unsupported
from millwright.registry.boosted import check_boosters
from millwright.registry.flavors.sklearn import SklearnFlavor


def changed(data: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """Return a skops file with other bytes in the members whose name ends so."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as copy:
        for member in archive.namelist():
            content = archive.read(member)
            if member.endswith(name):
                assert old in content
                content = content.replace(old, new, 1)
            copy.writestr(member, content)
    return out.getvalue()


def test_boosters_at_the_end_of_a_pipeline_are_written_and_come_back() -> None:
    flavor = SklearnFlavor()
    for booster in (xgb_classifier(), lgb_classifier()):
        model = make_pipeline(StandardScaler(), booster).fit(matrix(), labels())
        data = flavor.dumps(model)
        check_boosters(data)
        loaded = flavor.loads(data)
        assert (loaded.predict(matrix()) == model.predict(matrix())).all()


def test_their_trees_are_followed_before_they_are_made() -> None:
    flavor = SklearnFlavor()
    data = flavor.dumps(make_pipeline(StandardScaler(), lgb_classifier()))
    for broken in (
        changed(data, ".json", b"left_child=1", b"left_child=99"),
        changed(data, ".json", b"right_child=", b"right_child=99 "),
    ):
        with pytest.raises(Refused):
            flavor.loads(broken)
    data = flavor.dumps(xgb_classifier())
    with pytest.raises(Corrupt):
        flavor.loads(changed(data, ".bin", b"left_children[$l#", b"left_children[$l!"))


def test_a_booster_that_its_library_did_not_write_is_refused() -> None:
    data = skops.io.dumps(lgb_classifier())
    with pytest.raises(Refused, match="did not write"):
        check_boosters(changed(data, ".json", b'"_handle"', b'"_handel"'))
    data = skops.io.dumps(xgb_classifier())
    with pytest.raises(Refused, match="did not write"):
        check_boosters(changed(data, ".json", b'"BytearrayNode"', b'"BytesNode"'))


def test_two_members_of_one_name_are_refused() -> None:
    out = io.BytesIO(skops.io.dumps(xgb_classifier()))
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("schema.json", "{}")
    with pytest.raises(Refused, match="two members of one name"):
        check_boosters(out.getvalue())


def test_what_is_no_skops_file_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="not a skops file"):
        check_boosters(b"x")


def test_another_wrapper_of_ones_own_is_still_refused() -> None:
    class Mine(type(xgb_classifier())):
        def predict_mine(self) -> int:
            return 1

    with pytest.raises(Unsupported):
        SklearnFlavor().dumps(Mine(n_estimators=1).fit(matrix(), labels()))
