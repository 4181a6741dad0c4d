from __future__ import annotations

import polars as pl
import pytest

from fixtures.steps import Stage
from millwright.catalogue.split import split
from millwright.core.errors import Invalid


def keys(rows: pl.DataFrame) -> set[str]:
    return set(rows["id"])


def test_no_key_is_on_both_sides_and_none_is_lost(stage: Stage, people: pl.DataFrame) -> None:
    twice = pl.concat([people, people])
    train, holdout = split(twice, "id", 0.3, 1, stage.ctx)
    assert not keys(train) & keys(holdout)
    assert keys(train) | keys(holdout) == keys(people)
    assert train.height + holdout.height == twice.height
    assert 0.1 < holdout.height / twice.height < 0.5
    assert stage.heard.metrics == {"train_rows": train.height, "holdout_rows": holdout.height}


def test_the_side_of_a_key_hangs_on_key_and_seed_alone(stage: Stage, people: pl.DataFrame) -> None:
    _, before = split(people.head(40), "id", 0.3, 1, stage.ctx)
    _, after = split(people.reverse(), "id", 0.3, 1, stage.ctx)
    assert keys(before) == keys(after) & keys(people.head(40))
    _, other = split(people, "id", 0.3, 2, stage.ctx)
    assert keys(other) != keys(after)


def test_a_side_without_rows_is_refused_with_the_counts(stage: Stage, people: pl.DataFrame) -> None:
    with pytest.raises(Invalid, match="of 1 rows, ") as caught:
        split(people.head(1), "id", 0.3, 1, stage.ctx)
    assert caught.value.why == "each side needs rows"
