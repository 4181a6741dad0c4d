from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.boosters import numbers, xgb_classifier
from fixtures.estimators import forest, frame
from millwright.core.clock import SystemClock
from millwright.core.errors import Invalid
from millwright.registry.package import write_package
from millwright.registry.replay import replay


@pytest.mark.parametrize("kind", ["onnx", "xgboost"])
def test_a_package_answers_its_own_example(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        write_package(forest(), example=frame(), folder=tmp_path, now_us=0)
    else:
        write_package(xgb_classifier(), example=numbers(), folder=tmp_path, now_us=0)
    found = replay(tmp_path, SystemClock())
    assert (found.answered, found.flavor, found.rows, found.why) == (True, kind, 256, "")
    assert found.shapes == {"prediction": (256,), "probability": (256,)}
    assert found.load_s > 0
    assert found.answer_s > 0


def test_why_it_does_not_answer_is_said(tmp_path: Path) -> None:
    write_package(xgb_classifier(), example=numbers(), folder=tmp_path, now_us=0)
    example = tmp_path / "input_example.json"
    kept = json.loads(example.read_text())
    kept["columns"][0] = "other"
    example.write_text(json.dumps(kept))
    found = replay(tmp_path, SystemClock())
    assert not found.answered
    assert "missing: x0; not known: other" in found.why
    example.unlink()
    assert "keeps no example rows" in replay(tmp_path, SystemClock()).why


def test_a_pickle_is_not_tried_without_a_permission(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}\n")
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n")
    (tmp_path / "input_example.json").write_text("[[1.0]]")
    found = replay(tmp_path, SystemClock())
    assert (found.answered, found.flavor) == (False, "sklearn")
    assert "is a pickle" in found.why


def test_what_is_no_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("text")
    with pytest.raises(Invalid, match="no MLmodel file"):
        replay(tmp_path, SystemClock())
