from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from millwright.core.errors import Corrupt, Invalid, NotFound
from millwright.records.schema import Column, Signature
from millwright.registry.examples import (
    answers_text,
    example_text,
    read_answers,
    read_example_columns,
    read_examples,
)
from millwright.registry.signature import Array, infer_signature


def test_rows_come_back_as_the_model_takes_them(tmp_path: Path) -> None:
    rows: dict[str, Array] = {
        "a": np.array([1.5, np.nan]),
        "b": np.array(["x", None], dtype=object),
        "c": np.array([1, 2]),
        "d": np.array([True, False]),
    }
    (tmp_path / "input_example.json").write_text(example_text(rows))
    found = read_examples(tmp_path, infer_signature(rows, {}))
    for name, values in rows.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}', ["a", "b"]),
        ('{"data": [[1, 2], [3, 4]]}', ["0", "1"]),
        ('{"inputs": [[1, 2], [3, 4]]}', ["0", "1"]),
        ("[[1, 2], [3, 4]]", ["0", "1"]),
        ("[1, 3]", ["0"]),
        ('{"anything": "else"}', []),
        ('"text"', []),
    ],
)
def test_the_forms_of_mlflow_are_read(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "input_example.json").write_text(text)
    found = read_example_columns(tmp_path)
    assert list(found) == names
    if names:
        assert found[names[0]].tolist() == [1, 3]


@pytest.mark.parametrize(
    "text", ["{", "[[1, 2], [3]]", '{"columns": ["a"], "data": [[1, 2]]}', "\\"]
)
def test_what_is_no_table_is_corrupt(tmp_path: Path, text: str) -> None:
    (tmp_path / "input_example.json").write_text(text)
    with pytest.raises(Corrupt):
        read_example_columns(tmp_path)


def test_none_are_kept_or_others(tmp_path: Path) -> None:
    signature = Signature(inputs=[Column(name="a", kind="float")], outputs=[])
    with pytest.raises(NotFound, match="keeps no example rows"):
        read_examples(tmp_path, signature)
    (tmp_path / "input_example.json").write_text('{"columns": ["b"], "data": [[1]]}')
    with pytest.raises(Invalid, match="do not fit the model"):
        read_examples(tmp_path, signature)


def test_answers_come_back_as_they_were_given(tmp_path: Path) -> None:
    assert read_answers(tmp_path) is None
    given: dict[str, Array] = {
        "prediction": np.array(["yes", "no"]),
        "probability": np.array([[0.1, 0.9], [1 / 3, 2 / 3]]),
        "flag": np.array([True, False]),
        "count": np.array([1, 2**60]),
    }
    (tmp_path / "output_example.json").write_text(answers_text(given))
    found = read_answers(tmp_path)
    assert found is not None
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)


def test_answers_that_json_has_no_number_for_come_back_exactly(tmp_path: Path) -> None:
    odd = [np.nan, np.inf, -np.inf, 1 / 3]
    given: dict[str, Array] = {
        "prediction": np.array(odd),
        "probability": np.array([odd, odd]),
        "alike": np.array([np.inf]),
        "label": np.array(["nan", "Infinity"], dtype=object),
        "nothing": np.array([]),
    }
    (tmp_path / "output_example.json").write_text(answers_text(given))
    found = read_answers(tmp_path)
    assert found is not None
    assert list(found) == list(given)
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)
    assert [found[name].dtype.kind for name in ("prediction", "alike", "label")] == ["f", "f", "U"]


def test_answers_that_are_no_numbers_after_all_are_told(tmp_path: Path) -> None:
    for text in ('{"prediction": [{"float": "many"}]}', '{"prediction": [{"int": "1"}]}', "[]"):
        (tmp_path / "output_example.json").write_text(text)
        with pytest.raises(Corrupt, match=r"output_example\.json cannot be read"):
            read_answers(tmp_path)
