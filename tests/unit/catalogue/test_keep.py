from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fixtures.homes import Place
from fixtures.steps import Stage
from millwright.catalogue.keep import keep
from millwright.core.errors import Denied


def test_rows_become_a_version_that_says_which_run_made_it(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    assert keep(people, "choir", indoors.ctx) == "choir@v1"
    version = place.me.data.show(ref="choir")
    assert version.source == f"step it of run {indoors.ctx.run}"
    assert_frame_equal(place.home.datasets.load(place.key, "choir@v1"), people)
    assert indoors.heard.tags == {"dataset": "choir@v1"}


def test_the_same_rows_are_the_same_version(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    assert keep(people, "choir", indoors.ctx) == "choir@v1"
    assert keep(people, "choir", indoors.ctx) == "choir@v1"
    assert keep(people.head(5), "choir", indoors.ctx) == "choir@v2"


def test_who_may_not_write_data_keeps_none(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    indoors.heard.door = place.person("vic", "viewer")
    with pytest.raises(Denied):
        keep(people, "choir", indoors.ctx)
    assert place.me.data.list_all() == []
