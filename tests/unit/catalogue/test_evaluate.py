from __future__ import annotations

import polars as pl
import pytest

from fixtures.steps import Stage
from millwright.catalogue.evaluate import evaluate
from millwright.catalogue.train import train

EXCLUDED = ["id", "says"]


def test_accuracy_comes_with_its_interval_and_the_area_with_two_classes(
    stage: Stage, people: pl.DataFrame
) -> None:
    model = train(people, "says", EXCLUDED, "forest", 3, 5, 0, stage.ctx)
    found = evaluate(model, people, "says", EXCLUDED, stage.ctx)
    said = model.predict(people.select("height", "age", "town"))
    right = sum(a == b for a, b in zip(said, people["says"], strict=True))
    assert found["accuracy"] == pytest.approx(right / people.height)
    assert found["accuracy_low"] < found["accuracy"] <= found["accuracy_high"]
    assert found["rows"] == 60
    assert 0.9 < found["auc"] <= 1.0
    assert stage.heard.metrics == found


def test_a_constant_label_has_no_area(stage: Stage, people: pl.DataFrame) -> None:
    model = train(people, "says", EXCLUDED, "forest", 3, 5, 0, stage.ctx)
    tall = people.filter(pl.col("says") == "yes")
    assert "auc" not in evaluate(model, tall, "says", EXCLUDED, stage.ctx)


def test_three_classes_have_an_accuracy_and_no_area(stage: Stage, people: pl.DataFrame) -> None:
    model = train(people, "town", ["id", "town"], "forest", 3, 5, 0, stage.ctx)
    found = evaluate(model, people, "town", ["id", "town"], stage.ctx)
    assert set(found) == {"accuracy", "accuracy_low", "accuracy_high", "rows"}
