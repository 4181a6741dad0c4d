from __future__ import annotations

import polars as pl
import pytest

from fixtures.homes import Place
from fixtures.steps import Stage
from millwright.catalogue.register import TRAINING_ROWS, profile_of, register
from millwright.catalogue.train import train
from millwright.core.errors import Conflict, Denied
from millwright.data.rows import count_shared, decode_row_set, row_hashes
from millwright.stats.profile import TableProfile

EXCLUDED = ["id", "says"]


def test_a_fit_becomes_a_version_with_profile_and_keys(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    model = train(people, "says", EXCLUDED, "forest", 3, 3, 0, indoors.ctx)
    ref = register(model, people, EXCLUDED, "id", "choir", "high", indoors.ctx)
    assert ref == "choir@v1"
    assert indoors.heard.tags == {"model_version": "choir@v1"}
    version = place.me.models.show(ref=ref)
    assert version.run == indoors.ctx.run
    assert place.me.models.history(name="choir").model.risk == "high"
    assert [(one.name, one.kind, one.nullable) for one in version.signature.inputs] == [
        ("height", "float", True),
        ("age", "float", True),
        ("town", "text", True),
    ]
    loaded = place.home.packages.load(version.package_digest)
    rows = people.select("height", "age", "town")
    assert list(loaded.predict(rows)["prediction"]) == list(model.predict(rows))

    links = {one.name: one for one in place.me.runs.show(ref=indoors.ctx.run).links}
    assert links["model"].id == version.id
    assert links["profile"].digest == version.profile_digest
    known = decode_row_set(place.home.artifacts.read_bytes(links[TRAINING_ROWS].digest))
    assert known.columns == ["id"]
    assert count_shared(known.array(), row_hashes(people, ["id"])) == people.height


def test_the_same_fit_is_the_same_version(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    for seed, wanted in ((0, "choir@v1"), (0, "choir@v1"), (1, "choir@v2")):
        model = train(people, "says", EXCLUDED, "forest", 3, 3, seed, indoors.ctx)
        ref = register(model, people, EXCLUDED, "id", "choir", "low", indoors.ctx)
        assert ref == wanted
        # Each step has an empty folder of its own.
        for path in sorted(indoors.ctx.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert len(place.me.models.history(name="choir").versions) == 2


def test_the_profile_counts_every_row_in_cells_of_its_own(people: pl.DataFrame) -> None:
    profile = TableProfile.from_bytes(profile_of(people))
    assert profile.rows == people.height
    assert set(profile.columns) == set(people.columns)


def test_errors_of_the_registry_reach_the_step(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    place.me.models.create(name="choir", risk="low")
    model = train(people, "says", EXCLUDED, "forest", 3, 3, 0, indoors.ctx)
    with pytest.raises(Conflict, match="a model choir already, of low risk"):
        register(model, people, EXCLUDED, "id", "choir", "high", indoors.ctx)


def test_a_step_may_do_what_who_started_it_may_and_no_more(
    indoors: Stage, place: Place, people: pl.DataFrame
) -> None:
    indoors.heard.door = place.person("vic", "viewer")
    model = train(people, "says", EXCLUDED, "forest", 3, 3, 0, indoors.ctx)
    with pytest.raises(Denied, match="vic may not do"):
        register(model, people, EXCLUDED, "id", "choir", "low", indoors.ctx)
    assert place.me.models.list_all() == []
