"""The verdict on each column of a window: how far it moved, how sure that is, and in what words.

A column has drifted when the evidence against "nothing changed" reaches the threshold *and* the
distance reaches the smallest one that matters. Evidence alone would page for a change nobody
cares about once rows are many; distance alone pages for noise while they are few. The distance
is the estimate and not the lower end of its interval: noise makes the estimate too large only
where rows are few, and there the evidence cannot reach the threshold for noise; asking for the
lower end as well would hide a true change of twice the smallest effect for thousands of rows.

**Three tests a column** (values, missing, unseen), joined by the mean of their e-values, which
is an e-value whatever the tests have to do with each other. A column whose values are as ever
but lack in 12 % of rows is found by the second, one with values outside all of training soonest
by the third. A test with nothing to see (no value missing before or now) counts as 0: that only
lowers the mean.

**Threshold: Bonferroni over columns, K / alpha**, not e-BH. With e-processes the first says: with
chance 1 - alpha no unchanged column is ever named, at no look, also while others have changed.
e-BH promises a share of false names among the named, at one moment and not over all looks; its
gain comes only when several columns change a little at once. People act on the names, and the
threshold stays one number that can be printed. Many weak changes passing unseen would change
our mind. A floor on accuracy is one more member of the family.

**Rows that come again.** A stream that draws on few different rows (a few customers, a replay)
is worth fewer rows than it has, and every test that takes them as independent cries wolf. The
counts of a window are scaled to the number of rows it is worth (`windows.independent_rows`)
before they are weighed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Conflict, Invalid
from millwright.records.monitoring import ColumnDrift, MonitorSpec
from millwright.stats.arrays import Floats, Ints
from millwright.stats.change import (
    DEFAULT_LOG_ODDS_TAU,
    drift_evidence,
    effect_interval,
    ordered_drift_evidence,
)
from millwright.stats.distances import total_variation
from millwright.stats.profile import ColumnProfile, NumericProfile, TableProfile, TextProfile

MAX_EVIDENCE = 1e300
_TESTS = 3
_GROUPINGS = 3
_DRAWS = 300
_SEED = 0
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True)
class _Cells:
    """One column of one table, counted."""

    values: Ints
    """Per cell (k,); a single one where the reference never had a value."""
    unseen: Ints
    """Rows within and outside what the reference knew; numbers: below, within, above."""
    missing: int

    @property
    def outside(self) -> int:
        """Rows with a value the reference did not know."""
        return int(self.unseen.sum() - self.unseen[1])

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.values.sum()) + self.missing

    @property
    def whole(self) -> Ints:
        """Cells and the missing behind them."""
        return np.append(self.values, self.missing)


@dataclass(frozen=True, slots=True)
class _Test:
    """One of a column's tests, and what it would say."""

    log_e: float
    words: str


def threshold(spec: MonitorSpec, *, columns: int) -> float:
    """Return the evidence that one of `columns` columns needs."""
    return (columns + (spec.accuracy_floor is not None)) / spec.alpha


def judge(
    reference: TableProfile,
    current: TableProfile,
    *,
    spec: MonitorSpec,
    window: int = 1,
    independent: Mapping[str, float] | None = None,
) -> list[ColumnDrift]:
    """Return the verdict on every column of `current`, in its order.

    `current` was counted in the reference's cells; `window` numbers the windows held against
    this reference, from 1 (a growing one keeps its number). `independent` says, per column, how
    many independent rows the window is worth; by default as many as it has.

    Raises Conflict when the reference lacks a column or its cells, Invalid without rows.
    """
    if current.rows == 0:
        raise Invalid("a window without rows cannot be judged")
    bar = math.log(threshold(spec, columns=len(current.columns)))
    found: list[ColumnDrift] = []
    for name, column in current.columns.items():
        known = reference_column(reference, name)
        worth = current.rows if independent is None else independent[name]
        found.append(
            _judge_column(name, known, column, spec=spec, window=window, bar=bar, worth=worth)
        )
    return found


def reference_column(reference: TableProfile, name: str) -> ColumnProfile:
    """Return a column of a reference; raises Conflict when nothing can be compared with it."""
    column = reference.columns.get(name)
    fix = "profile the training rows again with `reference_bins`, and register with that profile"
    if column is None:
        raise Conflict(f"the training profile has no column {name!r}", fix=fix)
    counted = column.levels if isinstance(column, TextProfile) else column.histogram
    has_values = column.count > 0 if isinstance(column, TextProfile) else column.moments.count > 0
    if counted is None and has_values:
        raise Conflict(
            f"the training profile has no cells for the column {name!r}",
            why="its values were profiled, but not counted in fixed bins or levels",
            fix=fix,
        )
    return column


def report_digest(
    *, version: int, rows: int, reference_rows: int, bar: float, columns: Sequence[ColumnDrift]
) -> Digest:
    """Return the digest over a report's verdict and figures, the same wherever they are reached."""
    body: dict[str, canonical.Canonical] = {
        "version": version,
        "rows": rows,
        "reference_rows": reference_rows,
        "threshold": _figure(bar),
        "columns": [
            {
                "column": one.column,
                "drifted": one.drifted,
                "distance": _figure(one.distance),
                "low": _figure(one.low),
                "high": _figure(one.high),
                "evidence": _figure(one.evidence),
                "missing": [_figure(one.missing_reference), _figure(one.missing_now)],
                "unseen": _figure(one.unseen_now),
                "detectable": _figure(one.detectable),
                "reason": one.reason,
            }
            for one in columns
        ],
    }
    return digest_bytes(canonical.encode(body))


def detectable_distance(
    reference_rows: float, rows: float, *, spec: MonitorSpec, bar: float, window: int
) -> float:
    """Return the smallest distance that these rows could have been expected to show, up to 1.

    For a shift that takes rows from one half of the reference to the other: with m = n n0 /
    (n + n0), information I = m / 4 about the log odds, prior variance v = tau^2 and strength
    s = v I / (1 + v I), the log evidence of a difference d of shares is about
    2 s m d^2 - log(1 + v I) / 2 - log(w (w + 1)) - log 9, the last because the bet is shared by
    three tests of three groupings; it is set equal to `bar`. Never below the smallest effect
    that matters, since less is not shown.
    """
    harmonic = rows * reference_rows / (rows + reference_rows)
    grown = DEFAULT_LOG_ODDS_TAU**2 * harmonic / 4.0
    if grown == 0.0:
        return 1.0
    spent = 0.5 * math.log1p(grown) + math.log(window * (window + 1.0) * _TESTS * _GROUPINGS)
    distance = math.sqrt((bar + spent) * (1.0 + grown) / grown / (2.0 * harmonic))
    return min(1.0, max(distance, spec.min_effect))


def _judge_column(
    name: str,
    before: ColumnProfile,
    now: ColumnProfile,
    *,
    spec: MonitorSpec,
    window: int,
    bar: float,
    worth: float,
) -> ColumnDrift:
    old, new = _count(before), _count(now)
    weighed = _scale(new, worth)
    tests = _test(before, now, old=old, new=new, weighed=weighed, window=window)
    logs = np.array([test.log_e for test in tests])
    top = float(logs.max())
    log_e = top + math.log(float(np.exp(logs - top).sum()) / _TESTS)
    distance = total_variation(old.whole, new.whole)
    interval = effect_interval(old.whole, weighed.whole, seed=_SEED, draws=_DRAWS)
    certain = log_e >= bar
    drifted = certain and distance >= spec.min_effect
    return ColumnDrift(
        column=name,
        distance=distance,
        low=min(distance, interval.lower),
        high=max(distance, interval.upper),
        evidence=min(math.exp(min(log_e, 700.0)), MAX_EVIDENCE),
        missing_now=new.missing / new.rows,
        missing_reference=old.missing / old.rows if old.rows else 0.0,
        unseen_now=new.outside / new.rows,
        drifted=drifted,
        reason=_reason(tests, bar=bar) if drifted else _calm(now, before, certain=certain),
        detectable=detectable_distance(old.rows, worth, spec=spec, bar=bar, window=window),
    )


def _count(column: ColumnProfile) -> _Cells:
    if isinstance(column, TextProfile):
        if column.levels is None:
            return _without_cells(column.count, missing=column.missing)
        known = int(column.levels.counts.sum())
        unseen = np.array([0, known, column.levels.unseen])
        return _Cells(column.levels.cells, unseen, column.missing)
    histogram = column.histogram
    if histogram is None:
        return _without_cells(column.rows - column.missing, missing=column.missing)
    within = int(histogram.counts.sum())
    # Three cells, since a value can leave the range on either side; the law of the edges, which
    # are the reference's own extremes, counts the two gaps one by one.
    unseen = np.array([histogram.below, within, histogram.above])
    return _Cells(histogram.cells, unseen, histogram.missing)


def _without_cells(present: int, *, missing: int) -> _Cells:
    """Return the counts of a column that had no value in the reference: there or not there."""
    return _Cells(np.array([present]), np.array([0, present, 0]), missing)


def _scale(cells: _Cells, worth: float) -> _Cells:
    """Return the counts scaled to `worth` rows, whole and adding up (largest remainders)."""
    rows = cells.rows
    total = min(rows, max(1, round(worth)))
    if total == rows:
        return cells
    exact = cells.whole * (total / rows)
    kept = np.floor(exact).astype(np.int64)
    short = total - int(kept.sum())
    kept[np.argsort(kept - exact, kind="stable")[:short]] += 1
    values = kept[:-1]
    share = int(values.sum())
    outside = np.minimum(np.rint(cells.unseen * (total / rows)).astype(np.int64), share)
    outside[1] = max(0, share - int(outside[0]) - int(outside[2]))
    return _Cells(values, outside, int(kept[-1]))


def _test(
    before: ColumnProfile,
    now: ColumnProfile,
    *,
    old: _Cells,
    new: _Cells,
    weighed: _Cells,
    window: int,
) -> list[_Test]:
    """Return the column's three tests; the words tell of the rows as they came."""
    missing = unseen = -math.inf
    compare = ordered_drift_evidence if isinstance(now, NumericProfile) else drift_evidence
    values = compare(old.values, weighed.values, window=window).log_e
    if old.missing or weighed.missing:
        known = [old.missing, old.rows - old.missing]
        found = [weighed.missing, weighed.rows - weighed.missing]
        missing = drift_evidence(known, found, window=window).log_e
    if old.outside or weighed.outside:
        unseen = drift_evidence(old.unseen, weighed.unseen, window=window).log_e
    gone = new.missing / new.rows
    was_gone = old.missing / old.rows if old.rows else 0.0
    return [
        _Test(values, _moved(before, now, old=old, new=new)),
        _Test(missing, f"missing {_percent(was_gone)} → {_percent(gone)}"),
        _Test(unseen, f"values never seen in training: {_percent(new.outside / new.rows)}"),
    ]


def _reason(tests: Sequence[_Test], *, bar: float) -> str:
    strongest = max(tests, key=lambda test: test.log_e)
    # On its own a test stands for a third of the mean.
    said = [test for test in tests if test.log_e - math.log(_TESTS) >= bar]
    return "; ".join(test.words for test in said or [strongest])


def _calm(now: ColumnProfile, before: ColumnProfile, *, certain: bool) -> str:
    if certain:
        return "changed, by less than matters"
    if _is_constant(now) and _is_constant(before):
        return "constant, as in training"
    return "no change shown"


def _is_constant(column: ColumnProfile) -> bool:
    return column.rows > 1 and round(column.distinct.estimate()) <= 1


def _moved(before: ColumnProfile, now: ColumnProfile, *, old: _Cells, new: _Cells) -> str:
    if isinstance(before, NumericProfile) and isinstance(now, NumericProfile):
        return _moved_numbers(before, now)
    if isinstance(before, TextProfile) and before.levels is not None and old.values.sum():
        shares = [cells.values / max(1, cells.values.sum()) for cells in (old, new)]
        at = int(np.abs(shares[1] - shares[0]).argmax())
        levels = before.levels.levels
        level = repr(levels[at][:_SHOWN_CHARS]) if at < len(levels) else "other values"
        return f"values moved: {level} {_percent(shares[0][at])} → {_percent(shares[1][at])}"
    return "values moved"


def _moved_numbers(before: NumericProfile, now: NumericProfile) -> str:
    if not before.quantiles.count or not now.quantiles.count:
        return "values moved"
    if _is_constant(now) and not _is_constant(before):
        return f"stuck at {now.quantiles.low:.4g}"
    low, middle, high = _quarters(before)
    low_now, middle_now, high_now = _quarters(now)
    widened = abs((high_now - low_now) - (high - low))
    if middle_now != middle and abs(middle_now - middle) >= widened:
        return f"values moved: median {middle:.4g} → {middle_now:.4g}"
    return (
        f"values spread otherwise: middle half {low:.4g} to {high:.4g} → "
        f"{low_now:.4g} to {high_now:.4g}"
    )


def _quarters(column: NumericProfile) -> tuple[float, float, float]:
    points: Floats = column.quantiles.quantile(np.array([0.25, 0.5, 0.75]))
    return float(points[0]), float(points[1]), float(points[2])


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"


def _figure(value: float) -> str:
    # Nine digits: the last ones of a sum of logarithms differ between processors.
    return format(value, ".9g")
