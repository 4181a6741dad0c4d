from __future__ import annotations

import pytest

from fixtures.tracked import Tracked, tracked_in
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import LoggedModelId, new_id
from millwright.metadata.database import Database
from millwright.metadata.filters import FilterError
from millwright.records.runs import LoggedModel, LoggedModelMetric, ModelUse
from millwright.tracking.logged_models import DatasetName, LoggedModels
from millwright.tracking.telemetry import ParamChanged


@pytest.fixture
def tracked(database: Database) -> Tracked:
    return tracked_in(database)


@pytest.fixture
def models(database: Database, tracked: Tracked) -> LoggedModels:
    return LoggedModels(database, tracked.journal, tracked.clock)


def made(models: LoggedModels, tracked: Tracked, name: str, **params: str) -> LoggedModel:
    tracked.clock.advance(1)
    return models.create(tracked.act, experiment="Default", name=name, params=params)


def test_a_model_is_made_filled_and_said_to_be_ready(
    models: LoggedModels, tracked: Tracked
) -> None:
    run = tracked.start()
    model = models.create(
        tracked.act, experiment="Default", name="forest", run=run, params={"depth": "3"}
    )
    assert (model.status, model.run, model.params) == ("pending", run, {"depth": "3"})
    models.log_uses(tracked.act, run, [ModelUse(way="output", model=model.id, step=2)])
    assert models.finish(tracked.act, model.id, "ready").status == "ready"
    models.set_tags(tracked.act, model.id, {"a": "1", "b": "2"})
    models.delete_tag(tracked.act, model.id, "a")
    assert models.get(tracked.key, model.id).tags == {"b": "2"}
    assert tracked.runs.get(tracked.key, run).models == [
        ModelUse(way="output", model=model.id, step=2)
    ]
    with pytest.raises(NotFound, match="has no tag"):
        models.delete_tag(tracked.act, model.id, "a")


def test_a_deleted_model_is_seen_only_by_who_asks_for_deleted_ones(
    models: LoggedModels, tracked: Tracked
) -> None:
    tracked.start()
    model = made(models, tracked, "forest")
    models.delete(tracked.act, model.id)
    with pytest.raises(NotFound):
        models.get(tracked.key, model.id)
    assert models.get(tracked.key, model.id, deleted=True).deleted_us is not None
    assert models.search(tracked.key, experiments=["Default"]).models == []
    with pytest.raises(NotFound):
        models.get(tracked.key, LoggedModelId(new_id("lgm")))


def test_models_are_found_by_what_was_measured_on_which_data(
    models: LoggedModels, tracked: Tracked
) -> None:
    run = tracked.start()
    by_name = {name: made(models, tracked, name, kind=name[0]) for name in ("tree", "forest", "x")}
    for name, value, data in (
        ("tree", 0.8, "test"),
        ("forest", 0.9, "test"),
        ("tree", 0.99, "fit"),
    ):
        metric = LoggedModelMetric(
            key="auc", value=value, step=0, time_us=1, run=run, dataset_name=data
        )
        models.log_metrics(tracked.act, by_name[name].id, [metric, metric])

    def names(filter_: str, *order: str, on: str | None = None) -> list[str]:
        data = None if on is None else DatasetName(on)
        found = models.search(
            tracked.key,
            experiments=["Default"],
            filter_=filter_,
            order=[(term, data) for term in order],
            datasets=[] if data is None else [data],
        )
        return [model.name for model in found.models]

    assert names("") == ["x", "forest", "tree"]
    assert names("metrics.auc > 0.95") == ["tree"]
    assert names("metrics.auc > 0.95", on="test") == []
    assert names("", "metrics.auc DESC") == ["tree", "forest", "x"]
    assert names("", "metrics.auc DESC", on="test") == ["forest", "tree", "x"]
    assert names("", "metrics.auc DESC", on="fit") == ["tree", "x", "forest"]
    assert names("params.kind = 'f'") == ["forest"]
    assert names("name LIKE '%e%' AND status = 'PENDING'", "name") == ["forest", "tree"]
    with pytest.raises(FilterError, match="Invalid attribute key"):
        names("depth = 3")
    with pytest.raises(FilterError, match="at most 100 terms"):
        names("", *(f"metrics.m{number}" for number in range(101)))
    with pytest.raises(Invalid, match="a page holds"):
        models.search(tracked.key, experiments=["Default"], limit=0)
    first = models.search(tracked.key, experiments=["Default"], limit=2)
    rest = models.search(tracked.key, experiments=["Default"], token=first.next_token)
    assert [one.name for one in (*first.models, *rest.models)] == ["x", "forest", "tree"]


def test_a_parameter_keeps_the_value_it_was_given_first(
    models: LoggedModels, tracked: Tracked
) -> None:
    tracked.start()
    model = made(models, tracked, "forest", depth="3").id
    models.log_params(tracked.act, model, {"depth": "3", "trees": "10"})
    with pytest.raises(ParamChanged) as caught:
        models.log_params(tracked.act, model, {"leaf": "1", "depth": "4"})
    assert caught.value.changes == [("depth", "3", "4")]
    assert models.get(tracked.key, model).params == {"depth": "3", "trees": "10"}
