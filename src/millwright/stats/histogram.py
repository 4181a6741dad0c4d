"""Exact counts in cells that were fixed beforehand, usually by a reference.

Because the cells do not move, counts merge exactly, and two windows can be compared with a test
whose null is known (`change.drift_evidence`), which sketches do not allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, Ints, as_floats
from millwright.stats.coding import Reader, Writer

_NUMERIC_HEADER = "his1"
_LEVELS_HEADER = "lev1"


def edges_from_quantiles(quantiles: npt.ArrayLike) -> Floats:
    """Return edges (m + 1,) of m bins, given a reference's quantiles at equal steps from 0 to 1.

    The first bin begins at the minimum and the last ends just above the maximum. A value that
    several quantiles share (a column that is 0 in most rows, or has few values) gets a bin of
    its own, so that a change within the rest is not hidden behind it.

    Raises Invalid when there are fewer than two quantiles, or one is missing or infinite.
    """
    points = np.sort(as_floats(quantiles))
    if len(points) < 2 or not np.all(np.isfinite(points)):
        raise Invalid("edges need at least two finite quantiles")
    values, repeats = np.unique(points, return_counts=True)
    own_bin = values[repeats > 1]
    end = np.nextafter(values[-1:], np.inf)
    return np.unique(np.concatenate((values[:-1], own_bin, np.nextafter(own_bin, np.inf), end)))


class Histogram:
    """Counts of numbers between fixed edges, with what lay below, above, or was missing.

    Bin i holds edges[i] <= x < edges[i + 1].
    """

    def __init__(self, edges: npt.ArrayLike) -> None:
        self.edges: Floats = as_floats(edges)
        if len(self.edges) < 2 or not np.all(np.isfinite(self.edges)):
            raise Invalid("a histogram needs at least two finite edges")
        if not np.all(np.diff(self.edges) > 0):
            raise Invalid("the edges of a histogram must rise")
        self.cells: Ints = np.zeros(len(self.edges) + 1, dtype=np.int64)
        self.missing = 0

    def update(self, values: npt.ArrayLike) -> None:
        """Count `values` (n,); NaN is missing, an infinity lies below or above."""
        array = as_floats(values)
        array = array[~np.isnan(array)]
        self.missing += int(np.size(values) - len(array))
        cell = np.searchsorted(self.edges, array, side="right")
        self.cells += np.bincount(cell, minlength=len(self.cells))

    @property
    def counts(self) -> Ints:
        """Counts of the m bins, without what lay below or above."""
        return self.cells[1:-1]

    @property
    def below(self) -> int:
        """How many values lay below the first edge."""
        return int(self.cells[0])

    @property
    def above(self) -> int:
        """How many values lay at or above the last edge."""
        return int(self.cells[-1])

    def merge(self, other: Histogram) -> Histogram:
        """Return the counts of both; raises Invalid when the edges differ."""
        if not np.array_equal(self.edges, other.edges):
            raise Invalid("histograms with different edges do not merge")
        merged = Histogram(self.edges)
        merged.cells = self.cells + other.cells
        merged.missing = self.missing + other.missing
        return merged

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads."""
        writer = Writer(_NUMERIC_HEADER)
        writer.floats(self.edges)
        writer.integers(self.cells)
        writer.integer(self.missing)
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> Histogram:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _NUMERIC_HEADER)
        edges, cells, missing = reader.floats(), reader.counts(), reader.count()
        reader.end()
        rising = len(edges) > 1 and bool(np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0))
        reader.check(rising and len(cells) == len(edges) + 1, "the edges are not edges")
        histogram = Histogram(edges)
        histogram.cells = cells
        histogram.missing = missing
        return histogram


class LevelCounts:
    """Counts of known texts, with how many were unseen (not among the levels) or missing."""

    def __init__(self, levels: Sequence[str]) -> None:
        self.levels = tuple(levels)
        self._place: Mapping[str, int] = {level: at for at, level in enumerate(self.levels)}
        if len(self._place) != len(self.levels):
            raise Invalid("a level is given twice")
        self.counts: Ints = np.zeros(len(self.levels), dtype=np.int64)
        self.unseen = 0
        self.missing = 0

    def update(self, texts: Sequence[str], counts: Ints, *, missing: int = 0) -> None:
        """Count `texts` (n,), each seen `counts` (n,) times, and `missing` ones."""
        if len(texts) != len(counts):
            raise Invalid(f"{len(texts)} texts came with {len(counts)} counts")
        for text, count in zip(texts, counts.tolist(), strict=True):
            place = self._place.get(text)
            if place is None:
                self.unseen += count
            else:
                self.counts[place] += count
        self.missing += missing

    @property
    def cells(self) -> Ints:
        """Counts of the levels, and of the unseen at the end."""
        return np.append(self.counts, self.unseen)

    def merge(self, other: LevelCounts) -> LevelCounts:
        """Return the counts of both; raises Invalid when the levels differ."""
        if self.levels != other.levels:
            raise Invalid("counts of different levels do not merge")
        merged = LevelCounts(self.levels)
        merged.counts = self.counts + other.counts
        merged.unseen = self.unseen + other.unseen
        merged.missing = self.missing + other.missing
        return merged

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads."""
        writer = Writer(_LEVELS_HEADER)
        writer.integer(len(self.levels))
        for level in self.levels:
            writer.text(level)
        writer.integers(self.counts)
        writer.integer(self.unseen)
        writer.integer(self.missing)
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> LevelCounts:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _LEVELS_HEADER)
        levels = [reader.text() for _ in range(reader.count())]
        counts, unseen, missing = reader.counts(), reader.count(), reader.count()
        reader.end()
        reader.check(len(set(levels)) == len(levels) == len(counts), "levels and counts differ")
        known = LevelCounts(levels)
        known.counts = counts
        known.unseen = unseen
        known.missing = missing
        return known
