"""What one pass over a table leaves behind: a small record per column, which merges.

A reference profile is made once, at training, and bound to the model version. Its
`reference_bins` fix the cells; a second pass over the same rows with these bins counts them
exactly, and every later window is counted in the same cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats, Ints, as_counts, as_floats
from millwright.stats.cardinality import CardinalitySketch, hash_floats, hash_texts
from millwright.stats.coding import Reader, Writer
from millwright.stats.frequent import FrequentTexts
from millwright.stats.histogram import Histogram, LevelCounts, edges_from_quantiles
from millwright.stats.moments import Moments, measure, measure_counted
from millwright.stats.quantiles import QuantileSketch

DEFAULT_BINS = 10
MAX_LEVELS = 30
SHOWN_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SHOWN_LEVELS = 10

Bins: TypeAlias = Mapping[str, "Floats | tuple[str, ...]"]
"""Column -> edges of its bins (numbers) or known levels (texts)."""
Summary: TypeAlias = "Mapping[str, str | int | float | None | list[list[str | int | float]]]"

_NUMERIC_HEADER = "num1"
_TEXT_HEADER = "txt1"
_TABLE_HEADER = "tab1"


class NumericProfile:
    """A column of numbers."""

    def __init__(self, edges: Floats | None = None) -> None:
        self.moments = Moments()
        self.quantiles = QuantileSketch()
        self.distinct = CardinalitySketch()
        self.histogram = None if edges is None else Histogram(edges)

    @property
    def missing(self) -> int:
        """How many values were NaN."""
        return self.moments.missing

    @property
    def rows(self) -> int:
        """How many values there were, missing ones included."""
        return self.moments.count + self.moments.infinite + self.moments.missing

    def update(self, values: npt.ArrayLike) -> None:
        """Take in `values` (n,); NaN is missing."""
        array = as_floats(values)
        self.moments = self.moments.merge(measure(array))
        self.quantiles.update(array)
        self.distinct.update(hash_floats(array[~np.isnan(array)]))
        if self.histogram is not None:
            self.histogram.update(array)

    def merge(self, other: NumericProfile) -> NumericProfile:
        """Return the profile of both; raises Invalid when one has edges the other has not."""
        merged = NumericProfile()
        merged.moments = self.moments.merge(other.moments)
        merged.quantiles = self.quantiles.merge(other.quantiles)
        merged.distinct = self.distinct.merge(other.distinct)
        if self.histogram is not None and other.histogram is not None:
            merged.histogram = self.histogram.merge(other.histogram)
        elif self.histogram is not other.histogram:
            raise Invalid("a profile with fixed edges does not merge with one that has none")
        return merged

    def edges(self, bins: int) -> Floats | None:
        """Return edges of at most about `bins` bins, or None when no finite value was seen."""
        if self.moments.count == 0:
            return None
        points = self.quantiles.quantile(np.linspace(0.0, 1.0, bins + 1))
        return edges_from_quantiles(np.clip(points, self.moments.low, self.moments.high))

    def summary(self) -> Summary:
        """Return what a record or a page shows of it; a figure that is unknown is None."""
        moments = self.moments
        known = moments.count > 0
        shown: list[list[str | int | float]] = []
        if known and not moments.infinite:
            points = self.quantiles.quantile(np.array(SHOWN_QUANTILES)).tolist()
            shown = [[q, point] for q, point in zip(SHOWN_QUANTILES, points, strict=True)]
        return {
            "kind": "numeric",
            "count": moments.count,
            "missing": moments.missing,
            "infinite": moments.infinite,
            "distinct": round(self.distinct.estimate()),
            "min": moments.low if known else None,
            "max": moments.high if known else None,
            "mean": moments.mean if known else None,
            "deviation": moments.deviation if moments.count > 1 else None,
            "quantiles": shown,
        }

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads."""
        writer = Writer(_NUMERIC_HEADER)
        writer.blob(self.moments.to_bytes())
        writer.blob(self.quantiles.to_bytes())
        writer.blob(self.distinct.to_bytes())
        writer.blob(b"" if self.histogram is None else self.histogram.to_bytes())
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> NumericProfile:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _NUMERIC_HEADER)
        profile = NumericProfile()
        profile.moments = Moments.from_bytes(reader.blob())
        profile.quantiles = QuantileSketch.from_bytes(reader.blob())
        profile.distinct = CardinalitySketch.from_bytes(reader.blob())
        counted = reader.blob()
        profile.histogram = Histogram.from_bytes(counted) if counted else None
        reader.end()
        return profile


class TextProfile:
    """A column of texts."""

    def __init__(self, levels: Sequence[str] | None = None) -> None:
        self.count = 0
        self.missing = 0
        self.lengths = Moments()
        """Of the texts, in characters."""
        self.distinct = CardinalitySketch()
        self.frequent = FrequentTexts()
        self.levels = None if levels is None else LevelCounts(levels)

    @property
    def rows(self) -> int:
        """How many values there were, missing ones included."""
        return self.count + self.missing

    def update(
        self, texts: Sequence[str], counts: npt.ArrayLike | None = None, *, missing: int = 0
    ) -> None:
        """Take in `texts` (n,), each seen `counts` (n,) times or once, and `missing` ones.

        Each different text once, with its count, is by far the fastest.
        """
        seen: Ints = np.ones(len(texts), dtype=np.int64) if counts is None else as_counts(counts)
        if len(seen) != len(texts) or missing < 0:
            raise Invalid(f"{len(texts)} texts, {len(seen)} counts, {missing} missing cannot be")
        if counts is None:
            tally: dict[str, int] = {}
            for text in texts:
                tally[text] = tally.get(text, 0) + 1
            texts, seen = list(tally), np.array(list(tally.values()), dtype=np.int64)
        self.count += int(seen.sum())
        self.missing += missing
        lengths = np.array([len(text) for text in texts], dtype=np.float64)
        self.lengths = self.lengths.merge(measure_counted(lengths, seen))
        self.distinct.update(hash_texts(text for text, n in zip(texts, seen, strict=True) if n))
        self.frequent.update(texts, seen)
        if self.levels is not None:
            self.levels.update(texts, seen, missing=missing)

    def merge(self, other: TextProfile) -> TextProfile:
        """Return the profile of both; raises Invalid when one has levels the other has not."""
        merged = TextProfile()
        merged.count = self.count + other.count
        merged.missing = self.missing + other.missing
        merged.lengths = self.lengths.merge(other.lengths)
        merged.distinct = self.distinct.merge(other.distinct)
        merged.frequent = self.frequent.merge(other.frequent)
        if self.levels is not None and other.levels is not None:
            merged.levels = self.levels.merge(other.levels)
        elif self.levels is not other.levels:
            raise Invalid("a profile with fixed levels does not merge with one that has none")
        return merged

    def common_levels(self, most: int) -> tuple[str, ...]:
        """Return the `most` commonest texts, sorted; the others will count as unseen."""
        return tuple(sorted(text for text, _ in self.frequent.top(most)))

    def summary(self) -> Summary:
        """Return what a record or a page shows of it; a figure that is unknown is None."""
        return {
            "kind": "text",
            "count": self.count,
            "missing": self.missing,
            "distinct": round(self.distinct.estimate()),
            "shortest": int(self.lengths.low) if self.count else None,
            "longest": int(self.lengths.high) if self.count else None,
            "mean_length": self.lengths.mean if self.count else None,
            "top": [[text, count] for text, count in self.frequent.top(SHOWN_LEVELS)],
            "top_error": self.frequent.error,
        }

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads."""
        writer = Writer(_TEXT_HEADER)
        writer.integer(self.count)
        writer.integer(self.missing)
        writer.blob(self.lengths.to_bytes())
        writer.blob(self.distinct.to_bytes())
        writer.blob(self.frequent.to_bytes())
        writer.blob(b"" if self.levels is None else self.levels.to_bytes())
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> TextProfile:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _TEXT_HEADER)
        profile = TextProfile()
        profile.count, profile.missing = reader.count(), reader.count()
        profile.lengths = Moments.from_bytes(reader.blob())
        profile.distinct = CardinalitySketch.from_bytes(reader.blob())
        profile.frequent = FrequentTexts.from_bytes(reader.blob())
        counted = reader.blob()
        profile.levels = LevelCounts.from_bytes(counted) if counted else None
        reader.end()
        return profile


ColumnProfile: TypeAlias = NumericProfile | TextProfile


@dataclass(frozen=True, slots=True)
class TableProfile:
    """The profiles of a table's columns, in the table's order."""

    columns: Mapping[str, ColumnProfile]

    @property
    def rows(self) -> int:
        """How many rows there were; 0 without columns. Raises Invalid when columns disagree."""
        found = {column.rows for column in self.columns.values()}
        if len(found) > 1:
            raise Invalid(
                f"the columns have {min(found)} to {max(found)} rows",
                why="a column was updated without the others",
            )
        return found.pop() if found else 0

    def update_numeric(self, name: str, values: npt.ArrayLike) -> None:
        """Take in `values` (n,) of a numeric column; NaN is missing."""
        column = self.columns.get(name)
        if not isinstance(column, NumericProfile):
            raise Invalid(f"{name!r} is not a numeric column of this profile")
        column.update(values)

    def update_text(
        self,
        name: str,
        texts: Sequence[str],
        counts: npt.ArrayLike | None = None,
        *,
        missing: int = 0,
    ) -> None:
        """Take in `texts` of a text column, each seen `counts` times or once."""
        column = self.columns.get(name)
        if not isinstance(column, TextProfile):
            raise Invalid(f"{name!r} is not a text column of this profile")
        column.update(texts, counts, missing=missing)

    def merge(self, other: TableProfile) -> TableProfile:
        """Return the profile of both tables; raises Invalid when their columns differ."""
        if list(self.columns) != list(other.columns):
            raise Invalid(
                "profiles of different columns do not merge",
                why=f"{', '.join(self.columns)} against {', '.join(other.columns)}",
            )
        return TableProfile(
            {name: _merge(name, self.columns[name], other.columns[name]) for name in self.columns}
        )

    def summary(self) -> Mapping[str, Summary]:
        """Return every column's summary."""
        return {name: column.summary() for name, column in self.columns.items()}

    def to_bytes(self) -> bytes:
        """Return bytes that `from_bytes` reads; the same state gives the same bytes."""
        writer = Writer(_TABLE_HEADER)
        writer.integer(len(self.columns))
        for name, column in self.columns.items():
            writer.text(name)
            writer.blob(column.to_bytes())
        return writer.done()

    @staticmethod
    def from_bytes(data: bytes) -> TableProfile:
        """Return what `to_bytes` wrote; raises Corrupt on anything else."""
        reader = Reader(data, _TABLE_HEADER)
        columns: dict[str, ColumnProfile] = {}
        for _ in range(reader.count()):
            name, blob = reader.text(), reader.blob()
            reader.check(name not in columns, "a column stands twice")
            numeric = blob[:4] == _NUMERIC_HEADER.encode("ascii")
            columns[name] = (
                NumericProfile.from_bytes(blob) if numeric else TextProfile.from_bytes(blob)
            )
        reader.end()
        return TableProfile(columns)


def start_profile(
    *, numeric: Sequence[str], text: Sequence[str], bins: Bins | None = None
) -> TableProfile:
    """Return an empty profile of these columns, numeric ones first, counting in `bins` if given.

    Raises Invalid when a column stands twice, or its bins are of the other kind.
    """
    fixed: Bins = bins or {}
    columns: dict[str, ColumnProfile] = {}
    for name in (*numeric, *text):
        if name in columns:
            raise Invalid(f"the column {name!r} stands twice")
        cells = fixed.get(name)
        if isinstance(cells, tuple) != (name in text) and cells is not None:
            raise Invalid(f"the bins of {name!r} are for another kind of column")
        if isinstance(cells, tuple) or name in text:
            columns[name] = TextProfile(cells if isinstance(cells, tuple) else None)
        else:
            columns[name] = NumericProfile(cells)
    return TableProfile(columns)


def reference_bins(profile: TableProfile, *, bins: int = DEFAULT_BINS) -> Bins:
    """Return the cells in which later windows are compared with this reference.

    Numbers get bins at the reference's quantiles; texts get its commonest levels, at most
    MAX_LEVELS. A column without a value has no cells and is left out.
    """
    cells: dict[str, Floats | tuple[str, ...]] = {}
    for name, column in profile.columns.items():
        found = (
            column.edges(bins)
            if isinstance(column, NumericProfile)
            else column.common_levels(MAX_LEVELS)
        )
        if found is not None and len(found):
            cells[name] = found
    return cells


def _merge(name: str, first: ColumnProfile, second: ColumnProfile) -> ColumnProfile:
    if isinstance(first, NumericProfile) and isinstance(second, NumericProfile):
        return first.merge(second)
    if isinstance(first, TextProfile) and isinstance(second, TextProfile):
        return first.merge(second)
    raise Invalid(f"{name!r} holds numbers in one profile and texts in the other")
