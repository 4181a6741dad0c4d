from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.away import SOURCE
from fixtures.full_disk import full_disk
from millwright.core.errors import Corrupt, Unsupported
from millwright.core.ids import RunId, new_id
from millwright.records.runs import MetricPoint
from millwright.sdk.items import Batch, Begun, Finished, Item, Stored
from millwright.sdk.spool import FORMAT, Header, Sent, Spool, frame_of, frames_in

RUN = RunId(new_id("run"))
HEADER = Header(format=FORMAT, run=RUN, project="default", url="http://127.0.0.1:1")

points = st.builds(
    MetricPoint,
    key=st.text(min_size=1, max_size=5),
    value=st.floats(allow_nan=False) | st.none(),
    step=st.integers(-(2**63), 2**63 - 1),
    time_us=st.integers(0, 2**60),
)
texts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
items: st.SearchStrategy[Item] = st.one_of(
    st.builds(Batch, points=st.lists(points, max_size=3), params=texts, tags=texts),
    st.builds(Stored, objects=st.lists(st.text(max_size=5), max_size=3)),
    st.just(Begun(name="train", experiment="churn", source=SOURCE, start_us=1)),
    st.just(Finished(status="failed", error=None, log_digest=None, end_us=2)),
)


def batch(number: int) -> Batch:
    return Batch(params={"n": str(number)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "spool" / f"{RUN}.spool"


def drain(spool: Spool) -> list[Item]:
    found: list[Item] = []
    while (item := spool.head()) is not None:
        found.append(item)
        spool.advance(item)
    return found


@given(st.lists(items, max_size=5))
def test_frames_come_back_as_they_were(given_items: list[Item]) -> None:
    data = b"".join(frame_of(item) for item in given_items)
    found = list(frames_in(io.BytesIO(data)))
    assert [entry for entry, _ in found] == given_items
    assert [end for _, end in found][-1:] == ([len(data)] if given_items else [])


@given(st.lists(items, min_size=1, max_size=4), st.data())
def test_a_torn_end_hides_only_itself(given_items: list[Item], data: st.DataObject) -> None:
    whole = [frame_of(item) for item in given_items]
    cut = data.draw(st.integers(0, sum(map(len, whole))))
    kept, length = 0, 0
    for frame in whole:
        if length + len(frame) > cut:
            break
        kept, length = kept + 1, length + len(frame)
    found = [entry for entry, _ in frames_in(io.BytesIO(b"".join(whole)[:cut]))]
    assert found == given_items[:kept]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_harm(data: bytes) -> None:
    assert len(list(frames_in(io.BytesIO(data)))) <= len(data)


def test_infinities_and_nothing_survive() -> None:
    item = Batch(points=[MetricPoint(key="a", value=value) for value in (math.inf, -math.inf)])
    (entry, _) = next(frames_in(io.BytesIO(frame_of(item))))
    assert entry == item


def test_nothing_is_made_before_something_waits(path: Path) -> None:
    spool = Spool(path, HEADER)
    assert (spool.waiting, spool.head(), spool.last()) == (0, None, None)
    spool.close()
    assert not path.parent.exists()


def test_what_waits_is_there_for_the_next_process(path: Path) -> None:
    spool = Spool(path, HEADER)
    for number in range(3):
        spool.append(batch(number))
    assert spool.head() == batch(0)
    assert spool.last() == batch(2)
    spool.advance(batch(0))
    spool.close()
    later = Spool.adopt(path)
    assert later is not None
    assert later.header == HEADER
    assert later.waiting == 2
    later.append(batch(3))
    assert drain(later) == [batch(1), batch(2), batch(3)]
    assert not path.exists()


def test_a_delivered_spool_leaves_no_trace_and_can_be_used_again(path: Path) -> None:
    spool = Spool(path, HEADER)
    spool.append(batch(1))
    assert drain(spool) == [batch(1)]
    assert not path.exists()
    spool.append(batch(2))
    assert path.exists()
    assert drain(spool) == [batch(2)]
    spool.clean()
    assert list(path.parent.parent.iterdir()) == [path.parent.parent / ".gitignore"]


def test_a_half_written_end_is_written_over(path: Path) -> None:
    spool = Spool(path, HEADER)
    spool.append(batch(1))
    spool.close()
    with path.open("ab") as stream:
        stream.write(frame_of(batch(2))[:-3])
    later = Spool.adopt(path)
    assert later is not None
    later.append(batch(3))
    later.close()
    last = Spool.adopt(path)
    assert last is not None
    assert drain(last) == [batch(1), batch(3)]


@pytest.mark.parametrize("free_bytes", [0, 5, len(frame_of(HEADER)), len(frame_of(HEADER)) + 9])
def test_what_a_full_disk_took_of_it_can_be_read_later(path: Path, free_bytes: int) -> None:
    spool = Spool(path, HEADER)
    with full_disk(free_bytes), pytest.raises(OSError, match="too large"):
        spool.append(batch(1))
    spool.append(batch(2))
    spool.close()
    later = Spool.adopt(path)
    assert later is not None
    assert (later.header, drain(later)) == (HEADER, [batch(2)])


def test_a_full_disk_does_not_keep_what_waits_from_being_sent(path: Path) -> None:
    spool = Spool(path, HEADER)
    for number in range(3):
        spool.append(batch(number))
    with full_disk(path.stat().st_size):
        assert drain(spool) == [batch(0), batch(1), batch(2)]
    assert not path.exists()


def test_objects_lie_elsewhere_where_the_home_takes_none(path: Path) -> None:
    path.parent.parent.mkdir()
    path.parent.write_text("a file where the folder should be")
    spool = Spool(path, HEADER)
    folder = spool.open_objects()
    assert folder.is_dir()
    assert (spool.open_objects(), spool.objects) == (folder, folder)
    spool.close()
    spool.drop_aside()
    assert not folder.exists()


def test_a_spool_in_use_is_left_alone(path: Path) -> None:
    spool = Spool(path, HEADER)
    spool.append(batch(1))
    assert Spool.adopt(path) is None
    code = f"""
from pathlib import Path
from millwright.sdk.spool import Spool
print(Spool.adopt(Path({str(path)!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
    spool.close()
    assert Spool.adopt(path) is not None


def test_a_spool_that_is_gone_is_none(path: Path) -> None:
    assert Spool.adopt(path) is None


def test_objects_go_when_their_item_is_delivered(path: Path) -> None:
    spool = Spool(path, HEADER)
    spool.objects.mkdir(parents=True)
    (spool.objects / "a").write_bytes(b"1")
    (spool.objects / "b").write_bytes(b"2")
    spool.append(Stored(objects=["a"]))
    spool.append(Stored(objects=["b"]))
    spool.advance(Stored(objects=["a"]))
    assert [one.name for one in spool.objects.iterdir()] == ["b"]
    spool.clean()
    assert spool.objects.exists()
    spool.advance(Stored(objects=["b"]))
    spool.clean()
    assert not path.parent.exists()


def test_a_file_that_is_no_spool_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    path.write_bytes(b"hello, this is not a spool")
    with pytest.raises(Corrupt, match="is not a spool"):
        Spool.adopt(path)
    path.write_bytes(frame_of(Sent(upto=3)))
    with pytest.raises(Corrupt, match="is not a spool"):
        Spool.adopt(path)


def test_a_spool_that_was_never_begun_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    path.touch()
    assert Spool.adopt(path) is None
    assert not path.exists()


def test_a_spool_of_newer_code_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    path.write_bytes(frame_of(Header(format=FORMAT + 1, run=RUN, project="p", url=None)))
    with pytest.raises(Unsupported, match="was written in format 2"):
        Spool.adopt(path)
    assert path.exists()


def test_only_its_owner_can_read_it(path: Path) -> None:
    spool = Spool(path, HEADER)
    spool.append(batch(1))
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    spool.close()


def test_a_frame_that_is_whole_is_read_however_large_it_is(path: Path) -> None:
    spool = Spool(path, HEADER)
    large = Batch(tags={f"{number}": "x" * (1 << 20) for number in range(65)})
    for item in (batch(0), large, batch(1)):
        spool.append(item)
    spool.close()
    adopted = Spool.adopt(path)
    assert adopted is not None
    assert (adopted.waiting, adopted.torn_bytes) == (3, 0)
    assert drain(adopted) == [batch(0), large, batch(1)]
