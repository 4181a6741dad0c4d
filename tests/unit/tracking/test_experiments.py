from __future__ import annotations

from collections.abc import Iterable

import pytest

from fixtures.tracked import Tracked, tracked_in
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.metadata.database import Database
from millwright.metadata.filters import FilterError
from millwright.records.runs import Experiment
from millwright.tracking.experiments import ExperimentExists


@pytest.fixture
def tracked(database: Database) -> Tracked:
    return tracked_in(database)


def test_number_0_is_default_whichever_is_made_first(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    assert experiments.create(act, "churn").number == 1
    experiments.ensure_default(act)
    experiments.ensure_default(act)
    assert experiments.create(act, "loans").number == 2
    assert [(one.number, one.name) for one in experiments.list_all(tracked.key)] == [
        (0, "Default"),
        (1, "churn"),
        (2, "loans"),
    ]
    assert experiments.get(tracked.key, "#1").name == "churn"


def test_a_name_is_taken_once_also_by_a_deleted_experiment(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    experiments.create(act, "churn")
    with pytest.raises(ExperimentExists) as taken:
        experiments.create(act, "churn")
    assert not taken.value.deleted
    experiments.delete(act, "churn")
    with pytest.raises(ExperimentExists, match="keeps its name") as kept:
        experiments.create(act, "churn")
    assert kept.value.deleted


def test_what_is_put_away_takes_its_runs_along_and_brings_them_back(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    run = tracked.start(experiment="churn")
    experiments.delete(act, "churn")
    assert tracked.runs.get(tracked.key, run).deleted_us is not None
    with pytest.raises(Conflict, match="is deleted"):
        tracked.start(experiment="churn")
    with pytest.raises(Conflict, match="is deleted"):
        experiments.rename(act, "churn", "loans")
    experiments.restore(act, "churn")
    assert tracked.runs.get(tracked.key, run).deleted_us is None
    with pytest.raises(Conflict, match="is not deleted"):
        experiments.restore(act, "churn")


def test_names_and_tags_change_and_are_journaled(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    experiments.create(act, "churn", tags={"team": "risk"})
    experiments.rename(act, "churn", "loans")
    experiments.set_tags(act, "loans", {"team": "credit", "x": "1"})
    experiments.delete_tag(act, "loans", "x")
    assert experiments.get(tracked.key, "loans").tags == {"team": "credit"}
    kinds = [event.kind for event in tracked.journal.events()]
    assert kinds[:2] == ["ExperimentCreated", "ExperimentRenamed"]
    with pytest.raises(NotFound, match="has no tag"):
        experiments.delete_tag(act, "loans", "x")
    with pytest.raises(NotFound, match="did you mean 'loans'"):
        experiments.get(tracked.key, "loan")
    with pytest.raises(Invalid, match="are allowed"):
        experiments.set_tags(act, "loans", {"team": "x" * 20_001})


def test_they_are_found_by_filter_and_order_page_by_page(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    for name in ("churn", "Chess", "loans"):
        tracked.clock.advance(1)
        experiments.create(act, name, tags={"team": "risk"} if name != "loans" else {})
    experiments.delete(act, "loans")

    def names(filter_: str = "", **more: object) -> list[str]:
        found = experiments.search(tracked.key, filter_=filter_, **more)  # pyright: ignore[reportArgumentType]
        return [one.name for one in found.experiments]

    assert names() == ["Chess", "churn"]
    assert names(lifecycle="all", order=["name"]) == ["Chess", "churn", "loans"]
    assert names(lifecycle="deleted") == ["loans"]
    assert names("name LIKE 'ch%'") == ["churn"]
    assert names("name ILIKE 'ch%' AND tags.team = 'risk'", order=["name DESC"]) == [
        "churn",
        "Chess",
    ]
    assert names("experiment_id IN ('1', '3')", lifecycle="all") == ["loans", "churn"]
    first = experiments.search(tracked.key, order=["name"], limit=1)
    rest = experiments.search(tracked.key, order=["name"], limit=5, token=first.next_token)
    assert [one.name for one in (*first.experiments, *rest.experiments)] == ["Chess", "churn"]
    with pytest.raises(FilterError, match="belongs to another search"):
        experiments.search(tracked.key, order=["creation_time"], token=first.next_token)
    with pytest.raises(Invalid, match="a page holds"):
        experiments.search(tracked.key, limit=0)


def test_each_has_its_own_tags_however_it_is_read(tracked: Tracked) -> None:
    experiments, act = tracked.runs.experiments, tracked.act
    experiments.ensure_default(act)
    made = [experiments.create(act, name, tags={"of": name}) for name in ("one", "two")]
    expected: list[tuple[str, dict[str, str]]] = [("Default", {})]
    expected += [(one.name, dict(one.tags)) for one in made]

    def said(found: Iterable[Experiment]) -> list[tuple[str, dict[str, str]]]:
        return [(one.name, dict(one.tags)) for one in found]

    assert said(experiments.get(tracked.key, name) for name, _ in expected) == expected
    assert said(experiments.list_all(tracked.key)) == expected
    order = ["experiment_id"]
    assert said(experiments.search(tracked.key, order=order).experiments) == expected
    assert experiments.search(tracked.key, filter_="name = 'none'").experiments == []
