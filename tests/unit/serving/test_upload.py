"""Segments reach the control plane in order and once, however long it is away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fixtures.serving import DEPLOYMENT, FolderControl, wait_until
from millwright.core.clock import SystemClock
from millwright.core.digest import parse_digest
from millwright.core.errors import Refused
from millwright.core.ids import DecisionId, new_id
from millwright.records.serving import Decision, SegmentHeader
from millwright.serving.capture import Capture
from millwright.serving.upload import Uploader
from millwright.testing.clock import FakeClock


class Picky(FolderControl):
    """Refuses the segments whose numbers are in `refused`."""

    refused: frozenset[int] = frozenset()

    def seal(self, header: SegmentHeader) -> None:
        """Refuse, or keep."""
        if header.seq in self.refused:
            raise Refused("not that one")
        super().seal(header)


@pytest.fixture
def control(tmp_path: Path) -> Picky:
    return Picky(tmp_path / "control")


def fill(folder: Path, *, instance: str = "one", count: int = 3) -> None:
    capture = Capture(folder, instance=instance, clock=FakeClock(), on_sealed=lambda: None)
    log = capture.log(DEPLOYMENT)
    for n in range(count):
        decision = Decision(
            id=DecisionId(new_id("dec")),
            n=n,
            time_us=n,
            deployment=DEPLOYMENT,
            revision=1,
            role="champion",
            version=1,
            digest=parse_digest("b3:" + "0" * 64),
            inputs={},
            key="",
        )
        log.append([decision])
        capture.tick(older_than_s=0)


def uploader(folder: Path, control: FolderControl) -> Uploader:
    return Uploader(folder, control=control, clock=FakeClock())


def test_what_is_sent_is_gone_from_disk(tmp_path: Path, control: Picky) -> None:
    fill(tmp_path / "s")
    fill(tmp_path / "s", instance="two", count=2)
    sender = uploader(tmp_path / "s", control)
    assert sender.waiting() == 5
    assert sender.send_all()
    assert (sender.sent, sender.waiting(), len(control.decisions())) == (5, 0, 5)
    assert [path for path in (tmp_path / "s").rglob("*") if path.is_file()] == []


def test_nothing_is_lost_or_sent_twice_while_the_control_plane_comes_and_goes(
    tmp_path: Path, control: Picky, caplog: pytest.LogCaptureFixture
) -> None:
    sender = uploader(tmp_path / "s", control)
    with control.down():
        fill(tmp_path / "s", count=4)
        assert not sender.send_all()
        assert not sender.drain(timeout_s=1.0)
        assert (sender.sent, sender.waiting()) == (0, 4)
    assert sender.drain(timeout_s=1.0)
    assert [header.seq for header in control.headers()] == [0, 1, 2, 3]
    assert "is down" in caplog.text


def test_a_refused_segment_is_kept_and_does_not_hold_up_the_others(
    tmp_path: Path, control: Picky
) -> None:
    fill(tmp_path / "s")
    control.refused = frozenset({1})
    sender = uploader(tmp_path / "s", control)
    assert sender.send_all()
    assert sender.send_all()
    assert (sender.sent, sender.refused, sender.waiting()) == (2, 1, 1)
    control.refused = frozenset()
    assert uploader(tmp_path / "s", control).send_all()
    assert [header.seq for header in control.headers()] == [0, 1, 2]


def test_a_segment_that_changed_on_disk_is_not_anchored(tmp_path: Path, control: Picky) -> None:
    fill(tmp_path / "s", count=1)
    (payload,) = (tmp_path / "s").rglob("*.payload")
    payload.write_bytes(b"changed")
    sender = uploader(tmp_path / "s", control)
    sender.send_all()
    assert (sender.refused, control.headers()) == (1, [])


def test_the_thread_sends_when_woken_and_ends_when_told(tmp_path: Path, control: Picky) -> None:
    sender = Uploader(tmp_path / "s", control=control, clock=SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    fill(tmp_path / "s")
    sender.wake()
    wait_until(lambda: sender.sent == 3)
    stop.set()
    sender.wake()
    thread.join(5)
    assert not thread.is_alive()
