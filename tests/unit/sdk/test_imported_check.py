from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import event_file, runs_of
from millwright.core.digest import digest_bytes
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint
from millwright.sdk.imported_check import differences
from millwright.sdk.imported_run import RunTaker
from millwright.sdk.imported_start import begin
from millwright.tracking.sources import events
from millwright.tracking.sources.found import FoundBytes, FoundParams, FoundTags, Unread
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home


@pytest.fixture
def source(tmp_path: Path) -> TensorBoard:
    event_file(tmp_path / "logs" / "a", [events.scalar("loss", 0.5), events.scalar("acc", 1.0)])
    return TensorBoard(tmp_path / "logs")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


@pytest.fixture
def taker(door: Door, source: TensorBoard) -> Iterator[RunTaker]:
    (found,) = runs_of(source)
    left_out: list[Unread] = []
    taker = RunTaker(door, begin(door, source, found, None).run, found, left_out.append)
    with closing(taker):
        for item in source.items(found):
            taker.take(item)
        taker.take(FoundParams(params={"depth": "3"}))
        taker.take(FoundTags(tags={"who": "ada"}))
        taker.take(FoundBytes(path="a/b.txt", data=b"hello"))
        taker.send()
        yield taker
    assert left_out == []


def test_nothing_differs_where_all_was_kept(
    door: Door, taker: RunTaker, source: TensorBoard
) -> None:
    assert list(differences(door, taker, source)) == []


def test_each_thing_that_is_not_as_it_was_is_named(
    door: Door, taker: RunTaker, source: TensorBoard
) -> None:
    door.runs.set_tags(run=taker.id, tags={"who": "eve"})
    taker.taken.params["lost"] = "1"
    taker.taken.files["a/b.txt"] = digest_bytes(b"other")
    kept, lost = digest_bytes(b"hello"), digest_bytes(b"other")
    assert list(differences(door, taker, source)) == [
        "parameter 'lost' is None and was '1'",
        "tag 'who' is 'eve' and was 'ada'",
        f"artifact a/b.txt has the digest {kept} and had {lost}",
    ]


def test_a_point_that_never_arrived_is_named(
    door: Door, taker: RunTaker, source: TensorBoard, tmp_path: Path
) -> None:
    more = [events.scalar("loss", 0.5), events.scalar("loss", 0.25), events.scalar("new", 1.0)]
    event_file(tmp_path / "logs" / "a", more)
    for item in source.items(taker.found):
        if isinstance(item, MetricPoint):
            taker.taken.points[item.key] += 1
    assert list(differences(door, taker, source)) == [
        "1 points of metric 'loss' are missing",
        "1 points of metric 'new' are missing",
    ]


def test_long_histories_are_counted_page_by_page(
    door: Door, taker: RunTaker, source: TensorBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millwright.sdk.imported_check._LONG", 0)
    assert list(differences(door, taker, source)) == []
    taker.taken.points["never"] += 1
    # Nothing of it is in the store either; so it is not missing.
    assert list(differences(door, taker, source)) == []
