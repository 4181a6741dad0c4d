from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from fixtures.estimators import labels, rows
from millwright.core.errors import Corrupt
from millwright.registry.flavors.sklearn import SklearnFlavor
from millwright.registry.skopsfile import canonical_skops


def matrix() -> np.ndarray:
    return np.column_stack([values for name, values in rows().items() if name != "region"])


def test_the_spelling_of_a_spelling_is_itself() -> None:
    once = canonical_skops(skops.io.dumps(DecisionTreeClassifier().fit(matrix(), labels())))
    assert canonical_skops(once) == once


def test_a_model_read_back_is_written_the_same() -> None:
    flavor = SklearnFlavor()
    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(matrix(), labels())
    data = flavor.dumps(model)
    assert flavor.dumps(flavor.loads(data)) == data


def test_sets_and_shared_objects_do_not_show_where_they_lay() -> None:
    words = [f"word{number}" for number in range(50)]
    shared = np.arange(3)
    forward = canonical_skops(skops.io.dumps({"a": set(words), "b": [shared, shared]}))
    backward = canonical_skops(
        skops.io.dumps({"a": {*words[25:], *words[:25]}, "b": [shared, shared.copy()]})
    )
    assert forward == backward
    read = skops.io.loads(forward)
    assert read["a"] == set(words)
    np.testing.assert_array_equal(read["b"], [[0, 1, 2], [0, 1, 2]])


def test_padding_between_fields_is_not_written() -> None:
    layout = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8]})
    clean = np.zeros(2, dtype=layout)
    dirty = np.full(2 * layout.itemsize, 255, dtype=np.uint8).view(layout)
    dirty["a"], dirty["b"] = clean["a"], clean["b"]
    spelled = [canonical_skops(skops.io.dumps(array)) for array in (clean, dirty)]
    assert spelled[0] == spelled[1]


def test_the_number_of_cores_is_forgotten() -> None:
    model = HistGradientBoostingClassifier(max_iter=1, random_state=0).fit(matrix(), labels())
    data = SklearnFlavor().dumps(model)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    mapper = schema["content"]["content"]["_bin_mapper"]["content"]["content"]
    assert mapper["n_threads"]["content"] == "null"


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip file at all"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Corrupt, match="not a skops file"):
        canonical_skops(data)
