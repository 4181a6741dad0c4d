from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.homes import SOURCE, Place, made_place
from millwright.core.errors import Denied
from millwright.core.ids import RunId
from millwright.metadata.database import Reader
from millwright.records.runs import ArtifactFile, MetricPoint
from millwright.testing.clock import FakeClock
from millwright.tracking.limits import Limits


@pytest.fixture
def place(place: Place) -> Place:
    place.home.limits = Limits(runs_per_experiment=2, points_per_run=5, artifact_bytes=10)
    return place


def points(first: int, count: int) -> list[MetricPoint]:
    return [MetricPoint(key="auc", value=0.5, step=first + at) for at in range(count)]


def test_an_experiment_takes_so_many_runs(place: Place) -> None:
    runs = [place.me.runs.start(name="fit", source=SOURCE, experiment="a").id for _ in range(2)]
    with pytest.raises(Denied, match="the experiment 'a' takes no more runs") as raised:
        place.me.runs.start(name="fit", source=SOURCE, experiment="a")
    assert raised.value.why == "its quota is used up: [quota] runs_per_experiment = 2"
    assert raised.value.fix == (
        "delete runs of it, use another experiment, or ask an admin of this home to raise it in "
        "millwright.toml"
    )
    assert place.me.runs.count(experiments=["a"]) == 2
    place.me.runs.start(name="fit", source=SOURCE, experiment="b")
    # The same call again makes no run, and deleted ones do not count.
    place.me.runs.start(name="fit", source=SOURCE, experiment="a", id=runs[0])
    place.me.runs.delete(run=runs[0])
    place.me.runs.start(name="fit", source=SOURCE, experiment="a")


def test_a_run_takes_so_many_points(place: Place) -> None:
    run = place.me.runs.start(name="fit", source=SOURCE).id
    place.me.runs.log_metrics(run=run, points=points(0, 4))
    with pytest.raises(Denied, match=f"run {run} takes no more points"):
        place.me.runs.log_batch(run=run, points=points(4, 2), params={"depth": "3"})
    # All of it or nothing.
    assert place.me.runs.show(ref=run).params == {}
    place.me.runs.log_metrics(run=run, points=points(0, 5))
    assert len(place.me.runs.history(ref=run, key="auc")) == 5
    place.me.runs.log_params(run=run, params={"depth": "3"})
    place.me.runs.finish(run=run)
    with pytest.raises(Denied):
        place.me.runs.amend(run=run, points=points(9, 1))


def put(place: Place, run: RunId, path: str, data: bytes) -> None:
    digest = place.home.artifacts.put_bytes(data)
    file = ArtifactFile(path=path, digest=digest, size_bytes=len(data))
    place.me.runs.log_artifacts(run=run, files=[file])


def test_a_project_takes_so_many_bytes(place: Place) -> None:
    run = place.me.runs.start(name="fit", source=SOURCE).id
    put(place, run, "a", b"12345")
    put(place, run, "a", b"1234567890")
    with pytest.raises(Denied, match="the project takes no more artifacts") as raised:
        put(place, run, "b", b"1")
    assert "artifact_bytes = 10" in raised.value.why
    assert [one.path for one in place.me.runs.artifacts(ref=run)] == ["a"]
    place.me.access.create_project(name="other")
    other = place.home.door(place.home.principal(), "other")
    theirs = other.runs.start(name="fit", source=SOURCE).id
    file = ArtifactFile(
        path="a", digest=place.home.artifacts.put_bytes(b"1234567890"), size_bytes=10
    )
    other.runs.log_artifacts(run=theirs, files=[file])


def test_without_limits_nothing_is_counted(
    sqlite_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    value = Reader.value

    def watching(self: Reader, shape: type[int], sql: str, **params: int) -> int | None:
        asked.append(sql)
        return value(self, shape, sql, **params)

    with made_place(sqlite_address, tmp_path, FakeClock()) as place:
        monkeypatch.setattr(Reader, "value", watching)
        run = place.me.runs.start(name="fit", source=SOURCE).id
        place.me.runs.log_metrics(run=run, points=points(0, 3))
        put(place, run, "a", b"1")
    assert [sql for sql in asked if "count(*)" in sql or "sum(" in sql] == []
