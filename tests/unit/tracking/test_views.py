from __future__ import annotations

from dataclasses import dataclass

import pytest

from fixtures.journals import ORIGIN
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import ActorId, ProjectId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.filters import FilterError
from millwright.metadata.tables.access import insert_project
from millwright.records.events import Act
from millwright.records.views import ViewSpec
from millwright.testing.clock import FakeClock
from millwright.tracking.views import Views

SPEC = ViewSpec(
    filter="metrics.auc > 0.9 and params.depth = '3'",
    order=["metrics.auc desc"],
    experiments=["churn", "#3"],
    kinds=["script"],
    columns=["name", "metrics.auc"],
)


@dataclass(frozen=True)
class Saved:
    """The views of one project."""

    views: Views
    journal: Journal
    act: Act
    other: Act


@pytest.fixture
def saved(database: Database) -> Saved:
    clock = FakeClock()
    acts: list[Act] = []
    for name in ("default", "other"):
        project = ProjectId(new_id("prj"))
        with database.write() as tx:
            key = insert_project(tx, project_id=project, name=name, now_us=0)
        assert key is not None
        acts.append(Act(actor=ActorId(new_id("act")), project=project, project_key=key))
    journal = Journal(database, None, clock, origin=ORIGIN)
    return Saved(Views(database, journal, clock), journal, acts[0], acts[1])


def test_a_view_is_saved_saved_anew_and_removed(saved: Saved) -> None:
    made = saved.views.put(saved.act, "best of churn", SPEC)
    assert (made.name, made.spec, made.actor) == ("best of churn", SPEC, saved.act.actor)
    assert saved.views.get(saved.act.project_key, "best of churn") == made
    anew = saved.views.put(saved.act, "best of churn", ViewSpec(lifecycle="deleted"))
    assert (anew.id, anew.spec) == (made.id, ViewSpec(lifecycle="deleted"))
    saved.views.put(saved.act, "a", ViewSpec())
    listed = saved.views.list_all(saved.act.project_key)
    assert [one.name for one in listed] == ["a", "best of churn"]
    saved.views.delete(saved.act, "best of churn")
    with pytest.raises(NotFound, match="no view called 'best of churn'"):
        saved.views.get(saved.act.project_key, "best of churn")
    told = [
        (event.detail or {})["removed"] for event in saved.journal.events(kinds=["ViewChanged"])
    ]
    assert told == [False, False, False, True]


def test_views_are_those_of_one_project(saved: Saved) -> None:
    saved.views.put(saved.act, "mine", SPEC)
    assert saved.views.list_all(saved.other.project_key) == []
    theirs = saved.views.put(saved.other, "mine", ViewSpec())
    assert saved.views.get(saved.act.project_key, "mine").spec == SPEC
    saved.views.delete(saved.other, theirs.name)
    assert len(saved.views.list_all(saved.act.project_key)) == 1
    with pytest.raises(NotFound) as raised:
        saved.views.delete(saved.act, "mne")
    assert raised.value.fix == "did you mean 'mine'?"


def test_a_view_that_could_not_be_opened_is_not_saved(saved: Saved) -> None:
    with pytest.raises(FilterError):
        saved.views.put(saved.act, "x", ViewSpec(filter="metrics.auc >"))
    with pytest.raises(FilterError):
        saved.views.put(saved.act, "x", ViewSpec(order=["nothing.auc"]))
    for columns in ([""], ["x" * 301], ["status"] * 201):
        with pytest.raises(Invalid, match="cannot be the columns of a view"):
            saved.views.put(saved.act, "x", ViewSpec(columns=columns))
    with pytest.raises(Invalid, match="cannot be the name of a view"):
        saved.views.put(saved.act, " ", ViewSpec())
    assert saved.views.list_all(saved.act.project_key) == []
