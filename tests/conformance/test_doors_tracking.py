"""Searches, comparisons, studies and views through both doors: what one writes the other reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from fixtures.example_host import serving
from millwright.client.services import Client
from millwright.core.errors import Conflict, Denied, Invalid, NotFound
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint, RunSource
from millwright.records.studies import Choice, FloatRange, IntRange
from millwright.records.views import ViewSpec
from millwright.server.host import Host
from millwright.tracking.limits import Limits
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets

SOURCE = RunSource(command=["python", "train.py"], python="3.11", platform="linux")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home.create(tmp_path_factory.mktemp("home") / "home")
    yield home
    home.close()


@pytest.fixture(scope="module")
def embedded(home: Home) -> Door:
    return cast("Door", home.door(home.local_principal(), "default"))


@pytest.fixture(scope="module")
def remote(home: Home) -> Iterator[Door]:
    with serving(cast("Host", home), open_on_loopback=True) as address, Client(address) as client:
        yield client


@pytest.fixture(params=["embedded", "remote"])
def door(request: pytest.FixtureRequest) -> Door:
    return request.getfixturevalue(request.param)


@pytest.fixture
def both(embedded: Door, remote: Door) -> tuple[Door, Door]:
    return embedded, remote


def test_runs_are_found_counted_and_compared_alike(
    door: Door, both: tuple[Door, Door], request: pytest.FixtureRequest
) -> None:
    experiment = f"of {request.node.name}"
    ids: list[str] = []
    for depth in (3, 5):
        run = door.runs.start(name=f"d{depth}", source=SOURCE, experiment=experiment).id
        door.runs.log_batch(
            run=run,
            params={"depth": str(depth)},
            points=[MetricPoint(key="auc", value=depth / 8), MetricPoint(key="bad", value=None)],
        )
        ids.append(run)
    door.runs.start(name="step", kind="step", source=SOURCE, experiment=experiment)
    for one in both:
        found = one.runs.search(
            filter="metrics.auc > 0.1", order=["metrics.auc desc"], experiments=[experiment]
        )
        assert [run.name for run in found.runs] == ["d5", "d3"]
        assert one.runs.count(experiments=[experiment]) == 3
        assert one.runs.count(experiments=[experiment], kinds=["script"]) == 2
        compared = one.runs.compare(runs=ids, differing=True)
        assert [(value.key, value.values) for value in compared.metrics] == [
            ("auc", [0.375, 0.625])
        ]
        chart = one.runs.parallel(runs=ids, axes=["params.depth", "metrics.bad"])
        assert [line.values for line in chart.lines] == [[3.0, None], [5.0, None]]
        with pytest.raises(Invalid, match="is compared with another one"):
            one.runs.compare(runs=ids[:1])
    mine, theirs = (one.runs.compare(runs=ids) for one in both)
    assert mine == theirs


def test_a_study_is_led_and_read_alike(
    door: Door, both: tuple[Door, Door], request: pytest.FixtureRequest
) -> None:
    name = f"study of {request.node.name}"
    study = door.studies.create(
        name=name,
        source=SOURCE,
        metric="loss",
        space={
            "rate": FloatRange(low=1e-4, high=0.1, log=True),
            "depth": IntRange(low=1, high=9),
            "kind": Choice(values=["a", "b"]),
        },
    )
    for number, loss in enumerate([0.5, 0.25]):
        trial = door.studies.add_trial(ref=name, params={"depth": "3"})
        assert trial.number == number
        door.studies.end_trial(ref=study.run, number=number, state="complete", value=loss)
    for one in both:
        report = one.studies.show(ref=name)
        assert report.study.best == report.trials[1]
        assert report.study in one.studies.list_all()
        with pytest.raises(Conflict, match="has ended"):
            one.studies.end_trial(ref=name, number=0, state="pruned")
    mine, theirs = (one.studies.show(ref=study.run) for one in both)
    assert mine == theirs


def test_a_view_is_saved_and_read_alike(
    door: Door, both: tuple[Door, Door], request: pytest.FixtureRequest
) -> None:
    name = f"view of/{request.node.name} %"
    spec = ViewSpec(filter="metrics.auc > 0.9", order=["metrics.auc"], columns=["name"])
    saved = door.views.put(name=name, spec=spec)
    for one in both:
        assert one.views.show(name=name) == saved
        assert saved in one.views.list_all()
        with pytest.raises(Invalid, match="ends where a value should stand"):
            one.views.put(name=name, spec=ViewSpec(filter="metrics.auc >"))
    door.views.delete(name=name)
    for one in both:
        with pytest.raises(NotFound):
            one.views.show(name=name)


def test_what_is_deleted_is_purged_alike(
    door: Door, both: tuple[Door, Door], request: pytest.FixtureRequest
) -> None:
    experiment = f"gone {request.node.name}"
    run = door.runs.start(name="fit", source=SOURCE, experiment=experiment).id
    door.runs.delete(run=run)
    door.models.create(name="gone")
    door.models.delete(name="gone")
    for one in both:
        assert one.runs.purge(older_than_days=0, dry_run=True).runs == 1
        assert one.models.purge(older_than_days=0, dry_run=True).models == 1
        assert one.runs.purge().runs == one.models.purge().models == 0
    done = door.runs.purge(older_than_days=0, reason="a test")
    assert (done.runs, done.dry_run, done.kept) == (1, False, [])
    assert door.models.purge(older_than_days=0).models == 1
    for one in both:
        with pytest.raises(NotFound):
            one.runs.show(ref=run)


def test_a_quota_is_told_alike(home: Home, both: tuple[Door, Door]) -> None:
    before, home.runs.limits = home.runs.limits, Limits(runs_per_experiment=0)
    told: list[str] = []
    try:
        for one in both:
            with pytest.raises(Denied) as raised:
                one.runs.start(name="fit", source=SOURCE, experiment="full")
            told.append(str(raised.value))
    finally:
        home.runs.limits = before
    assert told[0] == told[1]
    assert "[quota] runs_per_experiment = 0" in told[0]
