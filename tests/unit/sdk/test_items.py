from __future__ import annotations

from pathlib import Path
from typing import assert_never

import pytest

from fixtures.away import SOURCE, FakeHome
from millwright.core.digest import digest_bytes
from millwright.core.errors import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unauthenticated,
    Unreachable,
)
from millwright.core.ids import RunId, new_id
from millwright.doors.door import Door
from millwright.records.runs import LoggedDataset, MetricPoint
from millwright.sdk.items import (
    MAX_BATCH_CHARS,
    Batch,
    Begun,
    DatasetAdded,
    DatasetRead,
    Described,
    Filed,
    Finished,
    Item,
    Linked,
    ModelRegistered,
    Refusal,
    Resumed,
    Stored,
    bounded,
    chars_in,
    deliver,
    deliver_parts,
    is_away,
    parts_of,
)

RUN = RunId(new_id("run"))
BEGUN = Begun(name="train", experiment="churn", source=SOURCE, start_us=1)
FINISHED = Finished(status="finished", error=None, log_digest=None, end_us=2)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (Unreachable("x"), True),
        (TimedOut("x"), True),
        (Failed("x"), True),
        (Denied("x"), True),
        (Unauthenticated("x"), True),
        (Invalid("x"), False),
        (Conflict("x"), False),
        (NotFound("x"), False),
    ],
)
def test_what_may_be_otherwise_tomorrow(error: MillwrightError, away: bool) -> None:
    assert is_away(error) is away


def test_everything_delivered_twice_is_there_once(tmp_path: Path) -> None:
    home = FakeHome()
    (tmp_path / "object").write_bytes(b"hello")
    point = MetricPoint(key="auc", value=0.5, step=1, time_us=7)
    for item in (
        BEGUN,
        Batch(points=[point], params={"a": "1"}, tags={"k": "v"}),
        Stored(objects=["object"]),
        Linked(links=[]),
        FINISHED,
    ):
        for _ in range(2):
            deliver(home.door(), RUN, item, folder=tmp_path)
    kept = home.only()
    assert list(kept.points) == [point]
    assert (kept.params, kept.tags) == ({"a": "1"}, {"k": "v"})
    assert (kept.status, kept.end_us, kept.start_us) == ("finished", 2, 1)
    assert list(home.stored) == [digest_bytes(b"hello")]
    deliver(home.door(), RUN, Resumed(), folder=tmp_path)
    assert kept.status == "running"


def test_another_end_than_the_one_there_is_refused(tmp_path: Path) -> None:
    home = FakeHome()
    deliver(home.door(), RUN, BEGUN, folder=tmp_path)
    deliver(home.door(), RUN, FINISHED, folder=tmp_path)
    failed = Finished(status="failed", error=None, log_digest=None, end_us=3)
    with pytest.raises(Conflict, match="is finished"):
        deliver(home.door(), RUN, failed, folder=tmp_path)


def test_a_run_waits_for_its_parent(tmp_path: Path) -> None:
    parent = RunId(new_id("run"))
    child = Begun(name="c", experiment="churn", source=SOURCE, parent=parent, start_us=1)
    home = FakeHome()
    with pytest.raises(Unreachable, match="waits for its parent"):
        deliver(home.door(), RUN, child, folder=tmp_path)
    deliver(home.door(), parent, BEGUN, folder=tmp_path)
    deliver(home.door(), RUN, child, folder=tmp_path)
    assert home.runs[RUN].parent == parent


def test_datasets_and_models_are_made_and_linked(door: Door, tmp_path: Path) -> None:
    run = RunId(new_id("run"))
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    digest = door.artifacts.put_file(tmp_path / "rows.csv")
    described = LoggedDataset(name="elsewhere", digest="abc", source_type="local")
    for item in (
        BEGUN,
        DatasetAdded(name="things", digest=digest, format="csv", source="rows.csv"),
        DatasetRead(ref="things@v1"),
        Described(datasets=[described]),
    ):
        deliver(door, run, item, folder=tmp_path)
    shown = door.runs.show(ref=run)
    assert [(link.way, link.what, link.name) for link in shown.links] == [
        ("input", "dataset_version", "things")
    ]
    assert [one.name for one in shown.datasets] == ["elsewhere"]
    with pytest.raises(NotFound):
        deliver(door, run, DatasetRead(ref="nothing@v1"), folder=tmp_path)


def test_a_batch_falls_into_what_can_be_refused_alone() -> None:
    point = MetricPoint(key="a", value=1.0)
    batch = Batch(points=[point], params={"a": "1", "b": "2"}, tags={"k": "v"})
    assert list(parts_of(batch)) == [
        Batch(points=[point]),
        Batch(params={"a": "1"}),
        Batch(params={"b": "2"}),
        Batch(tags={"k": "v"}),
    ]
    assert list(parts_of(FINISHED)) == [FINISHED]


def test_what_is_refused_is_returned_and_what_is_away_raised(tmp_path: Path) -> None:
    home = FakeHome()
    door = home.door()
    deliver(door, RUN, BEGUN, folder=tmp_path)
    deliver(door, RUN, Batch(params={"a": "1"}), folder=tmp_path)
    batch = Batch(params={"a": "2", "b": "2"}, tags={"k": "v"})
    (refusal,) = deliver_parts(door, RUN, batch, folder=tmp_path)
    assert refusal.item == Batch(params={"a": "2"})
    assert str(refusal) == "a: parameter 'a' already has another value"
    home.away = Failed("internal error")
    with pytest.raises(Failed):
        deliver_parts(door, RUN, batch, folder=tmp_path)


def test_a_refusal_names_what_it_is_about() -> None:
    points = [MetricPoint(key=key, value=1.0) for key in "abcda"]
    refusal = Refusal(Batch(points=points), Invalid("no"))
    assert str(refusal) == "a, b, c and others: no"
    assert str(Refusal(Resumed(), Invalid("no"))) == "Resumed: no"


def test_every_kind_of_item_is_known() -> None:
    def kind(item: Item) -> str:
        match item:
            case Begun() | Resumed() | Finished():
                return "life"
            case Batch():
                return "numbers"
            case Stored() | Linked() | Filed():
                return "files"
            case DatasetRead() | DatasetAdded() | Described() | ModelRegistered():
                return "things"
            case _:
                assert_never(item)

    assert kind(BEGUN) == "life"


def test_a_batch_is_parted_where_it_is_more_than_a_server_takes() -> None:
    point = MetricPoint(key="auc", value=0.5, step=1, time_us=7)
    texts = {f"k{number}": "x" * 8000 for number in range(200)}
    parts = list(bounded(Batch(points=[point], params=texts, tags=texts)))
    assert parts[0] == Batch(points=[point])
    assert {key for part in parts for key in part.params} == set(texts)
    assert {key for part in parts for key in part.tags} == set(texts)
    for part in parts:
        assert chars_in(part.params) + chars_in(part.tags) < MAX_BATCH_CHARS + 8250
    small = Batch(points=[point], tags={"k": "v"})
    assert list(bounded(small)) == [small]


def test_a_missing_object_takes_no_others_with_it(tmp_path: Path) -> None:
    home = FakeHome()
    for name in ("a", "c"):
        (tmp_path / name).write_text(name)
    stored = Stored(objects=["a", "b", "c"])
    refused = deliver_parts(home.door(), RUN, stored, folder=tmp_path)
    assert [refusal.item for refusal in refused] == [Stored(objects=["b"])]
    assert sorted(home.stored.values()) == [b"a", b"c"]
