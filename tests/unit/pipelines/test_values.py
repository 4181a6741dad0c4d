from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import Digest
from millwright.core.errors import Corrupt, Invalid
from millwright.pipelines.arguments import Stored
from millwright.pipelines.values import Values, damaged_objects
from millwright.testing.artifacts import MemoryBackend


class Metrics(msgspec.Struct, frozen=True):
    auc: float
    day: date


@dataclass
class Point:
    x: float
    y: float


class Pair(NamedTuple):
    left: int
    right: list[str]


class Vowels:
    """A model of a kind only this codec knows."""

    def __init__(self, letters: str) -> None:
        self.letters = letters


class VowelCodec:
    def handles(self, value: object) -> bool:
        return isinstance(value, Vowels)

    def dumps(self, value: object) -> bytes:
        assert isinstance(value, Vowels)
        return value.letters.encode()

    def loads(self, data: bytes) -> object:
        return Vowels(data.decode())


@pytest.fixture
def values() -> Values:
    return Values(ArtifactStore(MemoryBackend()), VowelCodec())


def there_and_back(values: Values, value: object, folder: Path, hint: object = None) -> object:
    saved = values.save(value, step="s", output="o", hint=hint)
    stored = Stored(kind=saved.kind, digest=saved.digest)
    return values.load(stored, hint=hint, folder=folder, place="step t, argument a")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(value=JSON)
def test_json_comes_back_as_it_was(value: object) -> None:
    values = Values(ArtifactStore(MemoryBackend()))
    assert there_and_back(values, value, Path()) == value


def test_numbers_that_are_none_survive(values: Values, tmp_path: Path) -> None:
    back = there_and_back(values, {"auc": float("nan"), "top": [math.inf]}, tmp_path)
    assert repr(back) == "{'auc': nan, 'top': [inf]}"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Metrics(0.1 + 0.2, date(2026, 1, 2)), Metrics),
        (Point(1.5, float("inf")), Point),
        (Pair(1, ["a"]), Pair),
        ({1: date(2026, 1, 2)}, dict[int, date]),
        ((1, "a"), tuple[int, str]),
        ({"b", "a"}, set[str]),
    ],
)
def test_records_come_back_by_their_annotation(
    values: Values, tmp_path: Path, value: object, hint: object
) -> None:
    back = there_and_back(values, value, tmp_path, hint)
    assert back == value
    assert type(back) is type(value)


def test_numbers_of_numpy_become_pythons(values: Values, tmp_path: Path) -> None:
    value = {"a": np.float64(0.1), "b": [np.int32(3)], "c": np.bool_(True)}
    assert there_and_back(values, value, tmp_path) == {"a": 0.1, "b": [3], "c": True}


def test_tables_keep_types_and_values(values: Values, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "n": [1, None, 3],
            "f": [0.1, float("nan"), None],
            "s": ["a", "", None],
            "d": [date(2026, 1, 1), None, date(2026, 1, 2)],
            "l": [[1], [], None],
        }
    )
    back = there_and_back(values, frame, tmp_path)
    assert isinstance(back, pl.DataFrame)
    assert back.equals(frame)
    assert back.schema == frame.schema


def test_equal_tables_have_one_digest(values: Values) -> None:
    whole = pl.DataFrame({"n": [1, 2, 3], "s": ["a", "bb", "a string longer than twelve bytes"]})
    parts = pl.concat([whole[:1], whole[1:]], rechunk=False)
    digests = {values.save(one, step="s", output="o").digest for one in (whole, parts)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.array([True, False]), np.array(["a", "bb"]), np.zeros(0)],
)
def test_arrays_come_back(values: Values, tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    back = cast("np.ndarray[Any, Any]", there_and_back(values, array, tmp_path))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_bytes_and_models_come_back(values: Values, tmp_path: Path) -> None:
    assert there_and_back(values, b"\x00\xff", tmp_path) == b"\x00\xff"
    back = there_and_back(values, Vowels("aeiou"), tmp_path)
    assert isinstance(back, Vowels)
    assert back.letters == "aeiou"


def test_files_keep_their_names_and_folders_their_files(values: Values, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    file = there_and_back(values, folder / "b.txt", tmp_path / "one")
    assert isinstance(file, Path)
    assert (file.name, file.read_text()) == ("b.txt", "b")
    back = there_and_back(values, folder, tmp_path / "two")
    assert isinstance(back, Path)
    assert (back / "sub" / "a.txt").read_text() == "a"


def test_data_is_a_file_of_the_name_given(values: Values, tmp_path: Path) -> None:
    digest = values.store.put_bytes(b"a,b\n1,2\n")
    stored = Stored(kind="data", digest=digest, name="loans.csv")
    back = values.load(stored, hint=Path, folder=tmp_path / "in", place="p")
    assert isinstance(back, Path)
    assert (back.name, back.read_bytes()) == ("loans.csv", b"a,b\n1,2\n")


REFUSED = {
    "an object": (object(), "builtins.object", "a step may return"),
    "a function": (len, "builtin_function_or_method", "a step may return"),
    "a generator": ((n for n in range(3)), "generator", "return list"),
    "a lazy frame": (pl.LazyFrame({"a": [1]}), "LazyFrame", "collect()"),
    "an array of objects": (np.array([object()]), "array of Python objects", "pickling"),
    "a list of objects": ([object()], "builtins.list", "it holds a builtins.object"),
    "an array in a mapping": ({"a": np.zeros(2)}, "builtins.dict", "numpy.ndarray"),
    "a date without annotation": ({"day": date(2026, 1, 1)}, "do not describe", "annotate"),
    "a record without annotation": (Point(1, 2), "do not describe", "annotate"),
    "a path to nothing": (Path("/nowhere/at/all"), "neither a file nor a folder", ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept_is_named(values: Values, what: str) -> None:
    value, named, said = REFUSED[what]
    with pytest.raises(Invalid) as caught:
        values.save(value, step="train", output="best")
    text = str(caught.value)
    assert text.startswith("step train, output best is")
    assert named in text
    assert said in text


def test_a_result_that_does_not_fit_its_reader_is_told(values: Values, tmp_path: Path) -> None:
    digest = values.store.put_bytes(b'{"auc":"high"}')
    with pytest.raises(Invalid, match="step t, argument a does not fit its annotation"):
        values.load(
            Stored(kind="json", digest=digest),
            hint=dict[str, float],
            folder=tmp_path,
            place="step t, argument a",
        )


def test_damage_is_found_and_repaired_by_the_same_result(tmp_path: Path) -> None:
    backend = MemoryBackend()
    values = Values(ArtifactStore(backend))
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "a.txt").write_text("content")
    results = [folder, {"a": 1}]
    saved = [values.save(one, step="s", output="o") for one in results]
    assert [list(damaged_objects(values.store, one)) for one in saved] == [[], []]
    for key, data in backend.objects.items():
        if data in {b"content", b'{"a":1}'}:
            backend.objects[key] = data[::-1]
    damaged: set[Digest] = set()
    for one in saved:
        found = list(damaged_objects(values.store, one))
        assert [type(error) for _, error in found] == [Corrupt]
        damaged.update(digest for digest, _ in found)
    repairing = Values(values.store, damaged=frozenset(damaged))
    assert [repairing.save(one, step="s", output="o") for one in results] == saved
    assert [list(damaged_objects(values.store, one)) for one in saved] == [[], []]
