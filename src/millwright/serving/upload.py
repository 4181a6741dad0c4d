"""Sealed segments on their way to the control plane: in order, once each, for as long as it takes.

A segment is sent as two files and then its header, which the control plane anchors; only when
that is answered are the local files removed. The same segment sent twice is the same segment,
so a lost answer does no harm. While the control plane is away, segments gather on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from millwright.core.clock import Clock
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Invalid,
    MillwrightError,
    NotFound,
    Refused,
    Unsupported,
)
from millwright.records.serving import SegmentHeader
from millwright.serving.follow import ControlPlane

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
FINAL = (Invalid, NotFound, Refused, Conflict, Unsupported)
"""The same segment sent again would only be refused again."""

_LOG = logging.getLogger(__name__)


class Uploader:
    """Sends what `capture` has sealed; one thread runs it, others may wake it."""

    def __init__(self, folder: Path, *, control: ControlPlane, clock: Clock) -> None:
        self.sent = 0
        self.refused = 0
        """Set aside until the next start: the control plane will not take them."""
        self._folder = folder
        self._control = control
        self._clock = clock
        self._wake = threading.Event()
        self._set_aside: set[Path] = set()
        self._is_away = False

    def wake(self) -> None:
        """Say that there is something new to send."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, pausing longer and longer while nothing gets through."""
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            self._wake.clear()
            if self.send_all():
                pause_s = FIRST_PAUSE_S
                self._wake.wait(1.0)
            else:
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def drain(self, *, timeout_s: float) -> bool:
        """Send what is left within that time; return whether nothing is left."""
        deadline = self._clock.monotonic_s() + timeout_s
        while not self.send_all():
            if self._clock.monotonic_s() + FIRST_PAUSE_S > deadline:
                return False
            self._clock.sleep(FIRST_PAUSE_S)
        return True

    def send_all(self) -> bool:
        """Send each segment that waits; return False when the control plane cannot be reached.

        The segments of one life and deployment go one after the other.
        """
        reached = True
        for _, headers in groupby(self._headers(), key=lambda path: path.parent):
            for path in headers:
                try:
                    self._send(path)
                except FINAL as error:
                    self.refused += 1
                    self._set_aside.add(path)
                    _LOG.error("segment %s is kept, not sent: %s", path.with_suffix(""), error)
                except Exception as error:  # noqa: BLE001 (whatever it is, the segment stays)
                    self._say_away(path, error)
                    reached = False
                    break
        self._is_away = not reached
        return reached

    def _say_away(self, path: Path, error: Exception) -> None:
        # Once for each time the control plane is away, not for each try.
        if not self._is_away:
            self._is_away = True
            text = error if isinstance(error, MillwrightError) else repr(error)
            _LOG.warning("segments stay on disk from %s on: %s", path.with_suffix(""), text)

    def waiting(self) -> int:
        """Return how many sealed segments are on disk."""
        return sum(1 for _ in self._folder.glob("*/*/*.json"))

    def _headers(self) -> Iterator[Path]:
        # Instances end in the time they began, so that the older lives come first.
        for path in sorted(self._folder.glob("*/*/*.json")):
            if path not in self._set_aside:
                yield path

    def _send(self, path: Path) -> None:
        header = msgspec.json.decode(path.read_bytes(), type=SegmentHeader)
        index, payload = path.with_suffix(".index"), path.with_suffix(".payload")
        for file, digest in ((index, header.index_digest), (payload, header.payload_digest)):
            stored = self._control.put_file(file)
            if stored != digest:
                raise Corrupt(f"{file} has changed on disk", why=f"{stored} instead of {digest}")
        self._control.seal(header)
        self.sent += 1
        # The header goes first: files without one are swept at the next start.
        for file in (path, index, payload):
            file.unlink()
