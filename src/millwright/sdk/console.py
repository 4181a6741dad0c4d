"""What a script prints while its run goes on, kept as the run's log.

Streams are teed, not redirected: everything still appears where it did. What is written below
Python, by a subprocess or a C library to the file descriptor itself, is not seen.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO, TypeAlias, cast

MAX_HEAD_BYTES = 4 << 20
MAX_TAIL_BYTES = 1 << 20

_Keep: TypeAlias = Callable[[str], None]


class Console:
    """Keeps what goes to standard output and error: the beginning in a file, the end in memory.

    At most 4 MiB of the beginning and 1 MiB of the end are kept; what lies between is counted.
    """

    def __init__(
        self, path: Path, *, head_bytes: int = MAX_HEAD_BYTES, tail_bytes: int = MAX_TAIL_BYTES
    ) -> None:
        self._path = path
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._lock = threading.Lock()
        self._file: int | None = None
        self._written = 0
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self._dropped = 0
        self._tees: list[tuple[str, TextIO, TextIO]] = []

    def start(self) -> None:
        """Begin to keep what is printed."""
        for name in ("stdout", "stderr"):
            stream = cast("TextIO | None", getattr(sys, name))
            # A program without a console has no streams.
            if stream is not None:
                tee = cast("TextIO", _Tee(stream, self._keep))
                self._tees.append((name, stream, tee))
                setattr(sys, name, tee)

    def stop(self) -> Path | None:
        """Put the streams back and return the file with the log; None when nothing was printed."""
        for name, stream, tee in self._tees:
            # Somebody may have put another stream in its place since; that one stays, and what
            # still goes through the tee is only passed on.
            if getattr(sys, name) is tee:
                setattr(sys, name, _below(stream))
            cast("_Tee", tee).release()
        self._tees.clear()
        with self._lock:
            if self._file is None:
                return None
            if self._dropped:
                note = f"\n… {self._dropped} bytes are not kept …\n"
                os.write(self._file, note.encode())
            for piece in self._tail:
                os.write(self._file, piece)
            self._tail.clear()
            os.close(self._file)
            self._file = None
        return self._path

    def _keep(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.open(self._path, flags, 0o600)
            room = self._head_bytes - self._written
            if room > 0:
                self._written += os.write(self._file, data[:room])
                data = data[room:]
            if data:
                self._tail.append(data)
                self._in_tail += len(data)
            while self._in_tail > self._tail_bytes:
                oldest = self._tail.popleft()
                cut = min(len(oldest), self._in_tail - self._tail_bytes)
                self._in_tail -= cut
                self._dropped += cut
                if cut < len(oldest):
                    self._tail.appendleft(oldest[cut:])


def _below(stream: TextIO) -> TextIO:
    """Return the stream below those tees that only pass on: runs of many threads leave such."""
    below: object = stream
    while isinstance(below, _Tee) and below.is_released:
        below = below.stream
    return cast("TextIO", below)


class _Tee:
    """Stands in for a stream, and tells `keep` what is written to it."""

    def __init__(self, stream: TextIO, keep: _Keep) -> None:
        self.stream = stream
        self._keep: _Keep | None = keep
        # In a forked child the lock may be held by a thread that is not there.
        self._process = os.getpid()

    def write(self, text: str) -> int:
        """Write as the stream does; that it cannot be kept is nobody's concern."""
        keep = self._keep
        if keep is not None and self._process == os.getpid():
            try:
                keep(text)
            except OSError:
                self._keep = None
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    @property
    def is_released(self) -> bool:
        """Whether it only passes on."""
        return self._keep is None

    def release(self) -> None:
        """Only pass on from now on."""
        self._keep = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)
