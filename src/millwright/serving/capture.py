"""Capture: no answer leaves this process before its decision is in a file.

A decision is written to the deployment's write-ahead file in the same breath in which its
answer is made, by the event loop itself: one `write` of less than a kilobyte to a local file
costs about a microsecond, far less than the way through a queue to another thread. So a process
killed at any moment has recorded every answer it gave. What is lost when the machine itself
loses power is at most what `SYNC_S` holds, and nobody can tell afterwards how much that was.
A slow disk slows the answers down, which is back-pressure; keep the folder on a local disk.

Capture fails closed: where a decision cannot be written (disk full), the caller gets no answer.

A thread seals each file after a second or 10,000 rows, and at the stop; `upload` sends what is
sealed. Files of an earlier life are sealed when the process starts.

    segments/<instance>/<deployment>/<seq>.wal       being written, or waiting to be sealed
    segments/<instance>/<deployment>/<seq>.index     sealed: together with .payload and .json,
                                                     its header, which is written last
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from millwright.artifacts.files import Aside, explain
from millwright.core.clock import Clock
from millwright.core.errors import Corrupt, MillwrightError
from millwright.core.ids import DeploymentId, SegmentId, new_id
from millwright.journal import segments
from millwright.journal.segments import SegmentWriter
from millwright.records.serving import Decision

SEAL_S = 1.0
SEAL_ROWS = 10_000
SYNC_S = 0.1

Reason = Literal["time", "size", "stop", "recovery"]

_LOG = logging.getLogger(__name__)
_MODE = 0o600


class DecisionLog:
    """The decisions of one deployment; `append` is called by one thread, the rest by another."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.next_n = 0
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._seq = 0
        self._writer: SegmentWriter | None = None
        self._opened_s = 0.0
        self._full: deque[SegmentWriter] = deque()

    def append(self, decisions: Sequence[Decision]) -> None:
        """Write decisions numbered from `next_n` on, all or none; raises Denied or Failed."""
        assert decisions[0].n == self.next_n
        with self._lock:
            writer = self._writer or self._open()
            writer.append(decisions)
            self.next_n += len(decisions)
            if writer.rows >= SEAL_ROWS:
                self._full.append(writer)
                self._writer = None

    def sync(self) -> None:
        """Make durable what was written so far."""
        # Only the caller's own thread closes writers, so this one stays open.
        writer = self._writer
        if writer is not None:
            writer.sync()

    def take(self, *, older_than_s: float) -> list[tuple[SegmentWriter, Reason]]:
        """Return the files to be sealed now; none of them is written to any more."""
        found: list[tuple[SegmentWriter, Reason]] = []
        with self._lock:
            while self._full:
                found.append((self._full.popleft(), "size"))
            writer = self._writer
            if writer is not None and self._clock.monotonic_s() - self._opened_s >= older_than_s:
                self._writer = None
                found.append((writer, "time" if older_than_s else "stop"))
        return found

    def _open(self) -> SegmentWriter:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, f"cannot write decisions to {self._folder}") from error
        writer = SegmentWriter(self._folder / f"{self._seq:08}.wal")
        self._seq += 1
        self._writer = writer
        self._opened_s = self._clock.monotonic_s()
        return writer


class Capture:
    """The decision logs of one life of one serving process."""

    def __init__(
        self, folder: Path, *, instance: str, clock: Clock, on_sealed: Callable[[], None]
    ) -> None:
        self.sealed = 0
        self.torn_bytes = 0
        """Dropped from the ends of files that an earlier life left."""
        self._folder = folder
        self._instance = instance
        self._clock = clock
        self._on_sealed = on_sealed
        self._logs: dict[DeploymentId, DecisionLog] = {}
        self._waiting: list[tuple[Path, Reason]] = []

    def log(self, deployment: DeploymentId) -> DecisionLog:
        """Return the deployment's log; the same one as long as this process lives."""
        found = self._logs.get(deployment)
        if found is None:
            found = DecisionLog(self._folder / self._instance / deployment, self._clock)
            self._logs[deployment] = found
        return found

    def recover(self) -> None:
        """Seal what earlier lives left unsealed, and sweep up; called before the first decision."""
        for path in sorted(self._folder.glob("*/*/*.wal")):
            self._waiting.append((path, "recovery"))
        self._seal_waiting()
        for path in self._folder.glob("*/*/*"):
            sent = path.suffix in (".index", ".payload") and not path.with_suffix(".json").exists()
            if path.suffix == ".part" or (sent and not path.with_suffix(".wal").exists()):
                path.unlink()
        for folder in (*self._folder.glob("*/*"), *self._folder.glob("*")):
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def run(self, stop: threading.Event) -> None:
        """Sync and seal until `stop` is set."""
        while not stop.wait(SYNC_S):
            try:
                self.tick(older_than_s=SEAL_S)
            except Exception:  # noqa: BLE001 (sealing must not end)
                _LOG.exception("sealing failed, and is tried again")

    def tick(self, *, older_than_s: float) -> None:
        """Make durable what was written, and seal files older than that; 0 seals everything."""
        for log in list(self._logs.values()):
            try:
                log.sync()
            except MillwrightError as error:
                _LOG.error("%s", error)
            for writer, reason in log.take(older_than_s=older_than_s):
                writer.close()
                self._waiting.append((writer.path, reason))
        self._seal_waiting()

    def waiting(self) -> int:
        """Return how many files wait to be sealed, because sealing failed."""
        return len(self._waiting)

    def _seal_waiting(self) -> None:
        """Seal what waits; what cannot be sealed now stays and is tried again."""
        waiting, self._waiting = self._waiting, []
        for path, reason in waiting:
            try:
                self._seal(path, reason)
            except Corrupt as error:
                # Kept for a person to look at; it would be corrupt at every try.
                path.rename(path.with_suffix(".damaged"))
                _LOG.error("%s cannot be sealed: %s", path, error)
            except (MillwrightError, OSError) as error:
                self._waiting.append((path, reason))
                _LOG.error("%s cannot be sealed yet: %s", path, error)
        if len(waiting) > len(self._waiting):
            self._on_sealed()

    def _seal(self, path: Path, reason: Reason) -> None:
        if not path.with_suffix(".json").exists():
            found = segments.recover(path.read_bytes())
            if found.dropped_bytes:
                self.torn_bytes += found.dropped_bytes
                _LOG.warning("%s: %d torn bytes at its end", path, found.dropped_bytes)
            if found.lines:
                self._write(path, found.lines, reason)
                self.sealed += 1
        path.unlink()

    def _write(self, path: Path, lines: list[bytes], reason: Reason) -> None:
        made = segments.seal(
            lines,
            segment=SegmentId(new_id("seg")),
            instance=path.parent.parent.name,
            seq=int(path.stem),
            sealed_by=reason,
        )
        files = {
            ".index": made.index,
            ".payload": made.payload,
            ".json": msgspec.json.encode(made.header),
        }
        for suffix, data in files.items():
            target = path.with_suffix(suffix)
            with Aside(path.parent, mode=_MODE, what=f"cannot write {target}") as aside:
                aside.write(data)
                aside.replace(target)
