"""Every decision is in a file before it is answered, and every file becomes a segment."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from fixtures.serving import DEPLOYMENT
from millwright.core.digest import parse_digest
from millwright.core.errors import MillwrightError
from millwright.core.ids import DecisionId, DeploymentId, new_id
from millwright.journal import segments
from millwright.records.serving import Decision, SegmentHeader
from millwright.serving.capture import SEAL_ROWS, Capture, DecisionLog
from millwright.testing.clock import FakeClock

DIGEST = parse_digest("b3:" + "0" * 64)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def make(folder: Path, clock: FakeClock, *, instance: str = "one") -> Capture:
    return Capture(folder, instance=instance, clock=clock, on_sealed=lambda: None)


def write(
    log: DecisionLog, count: int = 1, *, deployment: DeploymentId = DEPLOYMENT
) -> list[Decision]:
    decisions = [
        Decision(
            id=DecisionId(new_id("dec")),
            n=log.next_n + at,
            time_us=at,
            deployment=deployment,
            revision=1,
            role="champion",
            version=1,
            digest=DIGEST,
            inputs={"a": 1.5},
            key="",
        )
        for at in range(count)
    ]
    log.append(decisions)
    return decisions


def read(folder: Path) -> list[tuple[SegmentHeader, list[Decision | None]]]:
    found: list[tuple[SegmentHeader, list[Decision | None]]] = []
    for path in sorted(folder.rglob("*.json")):
        header = msgspec.json.decode(path.read_bytes(), type=SegmentHeader)
        index, payload = (path.with_suffix(each).read_bytes() for each in (".index", ".payload"))
        assert segments.verify_segment(header, index, payload) == []
        rows = segments.read_segment(index, payload)
        found.append((header, [row.decision for row in rows]))
    return found


def test_a_segment_is_sealed_after_a_second_and_counting_goes_on(
    tmp_path: Path, clock: FakeClock
) -> None:
    capture = make(tmp_path, clock)
    log = capture.log(DEPLOYMENT)
    assert capture.log(DEPLOYMENT) is log
    first = write(log, 3)
    capture.tick(older_than_s=1.0)
    assert read(tmp_path) == []
    clock.sleep(1.0)
    capture.tick(older_than_s=1.0)
    second = write(log, 2)
    capture.tick(older_than_s=0)
    (one, one_rows), (two, two_rows) = read(tmp_path)
    assert (one_rows, two_rows) == (first, second)
    assert [(h.instance, h.seq, h.first_n, h.last_n, h.sealed_by) for h in (one, two)] == [
        ("one", 0, 0, 2, "time"),
        ("one", 1, 3, 4, "stop"),
    ]
    assert not list(tmp_path.rglob("*.wal"))
    assert capture.sealed == 2


def test_a_full_segment_is_sealed_at_once(tmp_path: Path, clock: FakeClock) -> None:
    capture = make(tmp_path, clock)
    log = capture.log(DEPLOYMENT)
    for _ in range(5):
        write(log, SEAL_ROWS // 4)
    capture.tick(older_than_s=1.0)
    ((header, rows),) = read(tmp_path)
    assert (header.sealed_by, len(rows)) == ("size", SEAL_ROWS)


def test_deployments_are_counted_apart(tmp_path: Path, clock: FakeClock) -> None:
    capture = make(tmp_path, clock)
    other = DeploymentId("dep_00000000000000000000000002")
    write(capture.log(DEPLOYMENT), 2)
    write(capture.log(other), 3, deployment=other)
    capture.tick(older_than_s=0)
    assert [(h.deployment, h.first_n, h.last_n) for h, _ in read(tmp_path)] == [
        (DEPLOYMENT, 0, 1),
        (other, 0, 2),
    ]


def test_what_an_earlier_life_left_is_recovered(tmp_path: Path, clock: FakeClock) -> None:
    # The earlier life is not stopped: as if it had been killed.
    left = write(make(tmp_path, clock, instance="old").log(DEPLOYMENT), 3)
    (wal,) = tmp_path.rglob("*.wal")
    with wal.open("ab") as file:
        file.write(b'{"salt":"00')
    capture = make(tmp_path, clock, instance="new")
    capture.recover()
    ((header, rows),) = read(tmp_path)
    assert rows == left
    assert (header.instance, header.sealed_by, capture.torn_bytes) == ("old", "recovery", 11)
    capture.recover()
    assert len(read(tmp_path)) == 1


def test_a_life_killed_while_sealing_or_sending_leaves_no_litter(
    tmp_path: Path, clock: FakeClock
) -> None:
    old = make(tmp_path, clock, instance="old")
    left = write(old.log(DEPLOYMENT), 2)
    folder = tmp_path / "old" / DEPLOYMENT
    (folder / "00000000.index").write_bytes(b"half")
    (folder / ".abc.part").write_bytes(b"half")
    (folder / "00000007.payload").write_bytes(b"sent already, but for this")
    (tmp_path / "older" / DEPLOYMENT).mkdir(parents=True)
    make(tmp_path, clock, instance="new").recover()
    assert [rows for _, rows in read(tmp_path)] == [left]
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000000.index",
        "00000000.json",
        "00000000.payload",
    ]
    assert not (tmp_path / "older").exists()


def test_an_empty_file_becomes_no_segment(tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "old" / DEPLOYMENT
    folder.mkdir(parents=True)
    (folder / "00000000.wal").write_bytes(b"torn")
    capture = make(tmp_path, clock)
    capture.recover()
    assert (list(tmp_path.iterdir()), capture.torn_bytes) == ([], 4)


def test_a_file_with_a_hole_is_kept_for_a_person(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    write(make(tmp_path, clock, instance="old").log(DEPLOYMENT), 3)
    (wal,) = tmp_path.rglob("*.wal")
    lines = wal.read_bytes().splitlines(keepends=True)
    wal.write_bytes(lines[0] + lines[2])
    capture = make(tmp_path, clock)
    capture.recover()
    assert wal.with_suffix(".damaged").exists()
    assert read(tmp_path) == []
    assert "does not follow" in caplog.text


def test_what_cannot_be_sealed_now_is_sealed_later(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    capture = make(tmp_path, clock)
    decisions = write(capture.log(DEPLOYMENT), 2)
    blocker = tmp_path / "one" / DEPLOYMENT / "00000000.index"
    blocker.mkdir()
    capture.tick(older_than_s=0)
    assert capture.waiting() == 1
    assert "cannot be sealed yet" in caplog.text
    blocker.rmdir()
    capture.tick(older_than_s=0)
    assert [rows for _, rows in read(tmp_path)] == [decisions]
    assert capture.waiting() == 0


def test_a_decision_that_cannot_be_written_is_not_counted(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "one").write_text("in the way")
    log = make(tmp_path, clock).log(DEPLOYMENT)
    with pytest.raises(MillwrightError, match="cannot write decisions"):
        write(log)
    (tmp_path / "one").unlink()
    assert [each.n for each in write(log, 2)] == [0, 1]


def test_writing_and_sealing_at_once_loses_nothing(tmp_path: Path, clock: FakeClock) -> None:
    capture = make(tmp_path, clock)
    log = capture.log(DEPLOYMENT)
    stop = threading.Event()

    def seal() -> None:
        while not stop.is_set():
            clock.sleep(1.0)
            capture.tick(older_than_s=1.0)

    thread = threading.Thread(target=seal)
    thread.start()
    written = [each for _ in range(400) for each in write(log, 2)]
    stop.set()
    thread.join()
    capture.tick(older_than_s=0)
    found = read(tmp_path)
    assert [row for _, rows in found for row in rows] == written
    assert [header.seq for header, _ in found] == list(range(len(found)))
