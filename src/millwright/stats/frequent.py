"""The commonest texts of a column and how often they came, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millwright.core.errors import Invalid
from millwright.stats.arrays import Ints
from millwright.stats.coding import Reader, Writer

DEFAULT_ROOM = 256
_HEADER = "frq1"


class FrequentTexts:
    """Misra-Gries counters: a stored count is too low by at most `error`, never too high.

    With `room` counters, `error` <= total / (room + 1); it is 0, and every count exact, as long
    as the column has at most `room` different texts. Merging and taking in counted texts are
    the same step, so both keep the bound.

    Source: Misra, Gries 1982; Agarwal et al., Mergeable Summaries, PODS 2012.
    """

    def __init__(self, *, room: int = DEFAULT_ROOM) -> None:
        if room < 1:
            raise Invalid(f"room for {room} texts; it must be at least 1")
        self.room = room
        self.total = 0
        self.error = 0
        self._counts: dict[str, int] = {}

    def update(self, texts: Sequence[str], counts: Ints) -> None:
        """Take in `texts` (n,), each seen `counts` (n,) times; best with different texts."""
        if len(texts) != len(counts):
            raise Invalid(f"{len(texts)} texts came with {len(counts)} counts")
        for text, count in zip(texts, counts.tolist(), strict=True):
            if count:
                self._counts[text] = self._counts.get(text, 0) + count
        self.total += int(counts.sum())
        self._shrink()

    def merge(self, other: FrequentTexts) -> FrequentTexts:
        """Return the counters of both columns; raises Invalid when their room differs."""
        if self.room != other.room:
            raise Invalid(f"counters with room {self.room} and {other.room} do not merge")
        merged = FrequentTexts(room=self.room)
        merged.total = self.total + other.total
        merged.error = self.error + other.error
        merged._counts = dict(self._counts)
        for text, count in other._counts.items():
            merged._counts[text] = merged._counts.get(text, 0) + count
        merged._shrink()
        return merged

    def top(self, n: int) -> list[tuple[str, int]]:
        """Return up to `n` texts with their counts, the commonest first, ties by text."""
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:n]

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads."""
        writer = Writer(_HEADER)
        for whole in (self.room, self.total, self.error, len(self._counts)):
            writer.integer(whole)
        pairs = sorted(self._counts.items())
        for text, _ in pairs:
            writer.text(text)
        writer.integers(np.array([count for _, count in pairs], dtype=np.int64))
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> FrequentTexts:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _HEADER)
        room, total, error, held = (reader.count() for _ in range(4))
        reader.check(room >= 1 and held <= room, "more texts than there is room for")
        frequent = FrequentTexts(room=room)
        frequent.total, frequent.error = total, error
        texts = [reader.text() for _ in range(held)]
        counts = reader.counts().tolist()
        reader.end()
        reader.check(len(counts) == held, "texts and counts differ in number")
        frequent._counts = dict(zip(texts, counts, strict=True))
        reader.check(sum(counts) <= total, "the counts exceed their total")
        return frequent

    def _shrink(self) -> None:
        if len(self._counts) <= self.room:
            return
        cut = sorted(self._counts.values(), reverse=True)[self.room]
        self.error += cut
        self._counts = {text: count - cut for text, count in self._counts.items() if count > cut}
