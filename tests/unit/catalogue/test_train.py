from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fixtures.steps import Stage
from millwright.catalogue.train import KINDS, feature_names, train
from millwright.core.errors import Invalid

EXCLUDED = ["id", "says"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_learns_from_columns_of_any_kind(
    stage: Stage, people: pl.DataFrame, kind: str
) -> None:
    model = train(people, "says", EXCLUDED, kind, 3, 5, 0, stage.ctx)
    # A missing number is imputed and an unknown text ignored.
    strange = people.with_columns(
        pl.lit("atlantis").alias("town"), pl.lit(None, pl.Int64).alias("age")
    )
    said = model.predict(strange.select("height", "age", "town"))
    assert set(said) <= {"yes", "no"}
    assert list(model.feature_names_in_) == ["height", "age", "town"]
    assert stage.heard.params == {
        "kind": kind,
        "max_depth": "3",
        "trees": "5",
        "seed": "0",
        "features": "3",
        "rows": "60",
    }


def test_the_same_rows_and_parameters_give_the_same_fit(stage: Stage, people: pl.DataFrame) -> None:
    one, again, other = (
        train(people, "says", EXCLUDED, "forest", 3, 5, seed, stage.ctx) for seed in (0, 0, 1)
    )
    rows = people.select("height", "age", "town")
    assert np.array_equal(one.predict_proba(rows), again.predict_proba(rows))
    assert not np.array_equal(one.predict_proba(rows), other.predict_proba(rows))


def test_numbers_or_texts_alone_will_do(stage: Stage, people: pl.DataFrame) -> None:
    for taken in (["height"], ["town"]):
        excluded = [name for name in people.columns if name not in taken]
        model = train(people, "says", excluded, "forest", 3, 2, 0, stage.ctx)
        assert list(model.feature_names_in_) == taken


def test_an_unknown_kind_and_no_column_at_all_are_refused(
    stage: Stage, people: pl.DataFrame
) -> None:
    with pytest.raises(Invalid, match="no model is called 'forrest'") as caught:
        train(people, "says", EXCLUDED, "forrest", 3, 5, 0, stage.ctx)
    assert caught.value.fix == "did you mean 'forest'?"
    with pytest.raises(Invalid, match="no column is left to learn from"):
        feature_names(people, people.columns)
    assert feature_names(people, EXCLUDED) == ["height", "age", "town"]
