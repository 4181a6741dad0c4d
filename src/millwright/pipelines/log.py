"""What one step printed, kept within bounds: a step may print a gigabyte."""

from __future__ import annotations

HALF_BYTES = 2 << 20
"""The first and the last so many bytes are kept."""


class StepLog:
    """Takes text piece by piece; memory stays below twice HALF_BYTES and a piece."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped_bytes = 0

    def add(self, text: bytes) -> None:
        """Take the next bytes."""
        room = HALF_BYTES - len(self._head)
        self._head += text[:room]
        self._tail += text[room:]
        excess = len(self._tail) - HALF_BYTES
        if excess > 0:
            del self._tail[:excess]
            self._dropped_bytes += excess

    def content(self) -> bytes:
        """Return what is kept, with a line that says how much is missing, and where."""
        if not self._dropped_bytes:
            return bytes(self._head + self._tail)
        gap = f"\n… {self._dropped_bytes} bytes were not kept …\n".encode()
        return bytes(self._head) + gap + bytes(self._tail)

    def last_lines(self, count: int) -> str:
        """Return the last lines, for a report."""
        text = (self._tail or self._head)[-64_000:].decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])
