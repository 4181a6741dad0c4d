from __future__ import annotations

from pathlib import Path

import pytest

from millwright.core.ids import RunId, new_id
from millwright.records.runs import MetricPoint
from millwright.sdk.backlog import Backlog
from millwright.sdk.items import Batch, Item, Resumed, Stored
from millwright.sdk.spool import FORMAT, Header, Spool


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    run = RunId(new_id("run"))
    header = Header(format=FORMAT, run=run, project="default", url=None)
    return Backlog(Spool(tmp_path / "spool" / f"{run}.spool", header), max_held=5)


def batch(number: int) -> Batch:
    return Batch(points=[MetricPoint(key="a", value=1.0, step=number)], params={"n": str(number)})


def drain(backlog: Backlog) -> list[Item]:
    found: list[Item] = []
    while (item := backlog.head()) is not None:
        found.append(item)
        backlog.advance(item)
    return found


def test_it_waits_on_disk(backlog: Backlog) -> None:
    for number in range(10):
        backlog.append(batch(number))
    assert (backlog.waiting, backlog.lost) == (10, 0)
    assert drain(backlog) == [batch(number) for number in range(10)]
    assert backlog.close() == 0


def test_what_is_on_disk_at_the_end_stays_there(backlog: Backlog) -> None:
    backlog.append(batch(1))
    assert backlog.close() == 1
    assert backlog.spool.path.exists()


def test_without_a_disk_it_waits_in_memory_as_far_as_that_goes(backlog: Backlog) -> None:
    backlog.append(Resumed())
    backlog.advance(Resumed())
    folder = backlog.spool.path.parent
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    for number in range(4):
        backlog.append(batch(number))
    assert (backlog.waiting, backlog.lost) == (2, 4)
    assert "cannot be written" in "".join(backlog.losses)
    folder.unlink()
    # It stands behind what is held, and so is held too.
    backlog.append(Stored(objects=["x"]))
    assert drain(backlog) == [batch(0), batch(1), Stored(objects=["x"])]
    backlog.append(batch(9))
    assert backlog.spool.waiting == 1
    assert (backlog.close(), backlog.lost) == (1, 4)


def test_a_text_that_cannot_be_written_takes_nothing_else_along(backlog: Backlog) -> None:
    backlog.append(batch(0))
    backlog.append(Batch(params={"a": "\udcff"}))
    backlog.append(batch(1))
    assert drain(backlog) == [batch(0), batch(1)]
    assert backlog.lost == 1


def test_what_nothing_can_encode_is_lost_and_named(
    backlog: Backlog, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(str):
        __slots__ = ()

    backlog.append(Batch(params={"n": Odd("1"), "m": "2"}))
    backlog.append(batch(1))
    assert (backlog.waiting, backlog.lost) == (1, 2)
    assert drain(backlog) == [batch(1)]
    assert "n, m cannot be written: TypeError" in "".join(backlog.losses)
    assert "training goes on" in capsys.readouterr().err
