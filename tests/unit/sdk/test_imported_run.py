from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import T0_US, logdir, runs_of
from fixtures.importing import artifacts
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint, Problem
from millwright.sdk.imported_run import RunTaker, on_the_wire
from millwright.sdk.imported_start import MARK, begin
from millwright.tracking.sources.found import (
    FoundEnd,
    FoundFile,
    FoundLog,
    FoundParams,
    FoundRow,
    FoundTags,
    Unread,
)
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


@pytest.fixture
def left_out() -> list[Unread]:
    return []


@pytest.fixture
def taker(door: Door, left_out: list[Unread], tmp_path: Path) -> Iterator[RunTaker]:
    source = TensorBoard(logdir(tmp_path / "logs", {"a": 0}))
    (found,) = runs_of(source)
    run = begin(door, source, found, None).run
    with closing(RunTaker(door, run, found, left_out.append)) as taker:
        yield taker


def test_everything_is_counted(taker: RunTaker) -> None:
    taker.take(MetricPoint(key="loss", value=1.0))
    taker.take(FoundParams(params={"a": "1", "b": "2"}))
    taker.take(FoundTags(tags={"t": "1"}))
    taker.take(FoundRow(table="texts/x", row={"text": "hello"}))
    taker.send()
    assert taker.count() == {
        "params": 2,
        "tags": 1,
        "points": 1,
        "artifacts": 1,
        "rows": 1,
        "datasets": 0,
    }
    assert taker.has_sent()
    assert not taker.has_sent()


def test_a_run_ends_as_it_ended_with_what_it_printed(
    door: Door, taker: RunTaker, tmp_path: Path
) -> None:
    taker.take(FoundLog(text="one\n"))
    taker.take(FoundLog(text="two\n"))
    problem = Problem(code="failed", what="it broke")
    taker.take(FoundEnd(status="failed", end_us=T0_US + 7, error=problem))
    taker.mark()
    run = door.runs.show(ref=taker.id)
    assert (run.status, run.end_us, run.error) == ("failed", T0_US + 7, problem)
    assert run.tags[MARK] == taker.found.mark
    assert run.log_digest is not None
    door.artifacts.fetch(run.log_digest, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_a_failure_without_a_reason_gets_one(door: Door, taker: RunTaker) -> None:
    taker.take(FoundEnd(status="failed", end_us=T0_US))
    taker.mark()
    error = door.runs.show(ref=taker.id).error
    assert error is not None
    assert error.what == "the store says that it failed"


def test_a_parameter_that_changed_keeps_its_first_value_and_is_named(
    door: Door, taker: RunTaker, left_out: list[Unread]
) -> None:
    # As an earlier import left it.
    door.runs.log_batch(run=taker.id, points=[], params={"kind": "tree"}, tags={})
    taker.take(FoundParams(params={"lr": "0.1", "kind": "net"}))
    taker.take(FoundParams(params={"lr": "0.2", "n": "3"}))
    taker.take(FoundTags(tags={"t": "1"}))
    taker.send()
    shown = door.runs.show(ref=taker.id)
    assert shown.params == {"kind": "tree", "lr": "0.1", "n": "3"}
    assert shown.tags["t"] == "1"
    assert [one.why for one in left_out] == [
        "parameter 'lr' was '0.1' before; it keeps that",
        "parameter 'kind' was 'tree' before; it keeps that",
    ]
    assert taker.taken.params == {"lr": "0.1", "n": "3"}


def test_a_file_that_is_gone_is_named_and_the_run_is_not_complete(
    door: Door, taker: RunTaker, left_out: list[Unread], tmp_path: Path
) -> None:
    (tmp_path / "here.txt").write_text("here")
    for name in ("gone.txt", "here.txt"):
        place = tmp_path / name
        taker.take(FoundFile(path=name, size_bytes=None, fetch=lambda _, at=place: at))
    taker.send()
    taker.mark()
    assert [one.where for one in left_out] == ["run a, gone.txt"]
    run = door.runs.show(ref=taker.id)
    assert artifacts(door, run, tmp_path) == {"here.txt": b"here"}
    assert run.tags[MARK] == f"{taker.found.mark} without 1"


def test_what_was_fetched_aside_is_not_kept_beside(taker: RunTaker) -> None:
    def fetch(target: Path) -> Path:
        target.write_bytes(b"fetched")
        seen.append(target)
        return target

    seen: list[Path] = []
    taker.take(FoundFile(path="a", size_bytes=7, fetch=fetch))
    assert not seen[0].exists()
    taker.close()
    assert not seen[0].parent.exists()


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(float("inf"), "Infinity"), (float("-inf"), "-Infinity"), (None, None), (0.5, 0.5)],
)
def test_infinite_values_are_spelled_on_their_way(
    value: float | None, spelled: float | str | None
) -> None:
    assert on_the_wire(MetricPoint(key="a", value=value)).value == spelled
