"""The demo's rows: real data, cut into rows to learn from and rows that arrive live.

Rows are told apart by `row_id`. The live stream draws from the live rows with replacement, so
that drift and canary can conclude at this size; every draw is a new key. The change of the
instrument is simulated, stated, and applied to live rows only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.data.batches import open_table
from millwright.data.frames import arrow_bytes
from millwright.data.splits import split_by_key
from millwright.records.serving import Cell

KEY = "row_id"
LIVE_SHARE = 0.35
MAX_LIVE_ROWS = 4000
MIN_ROWS = 200
CUT_SEED = 1_000_003
OPERATIONS = ("shift", "scale", "missing", "stuck")
MIN_MOVED = 0.3
"""A change that alters fewer of the values cannot be found in some hundred requests."""
SHIFT_SD = 2.0
SCALE = 3.0
MISSING_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one column of the live stream."""

    column: str
    operation: str

    def words(self) -> str:
        """Return what is done, in words."""
        said = {
            "shift": f"every value is raised by {SHIFT_SD:g} standard deviations",
            "scale": f"every value is multiplied by {SCALE:g}",
            "missing": f"{MISSING_SHARE:.0%} of the values are lost",
            "stuck": "every value is the column's rarest",
        }
        return said[self.operation]


@dataclass(frozen=True, slots=True)
class Rows:
    """The demo's data, cut."""

    source: str
    """Where it comes from, in words, with its size."""
    target: str
    base: pl.DataFrame
    """To be split into rows to train on and rows to judge by."""
    live: pl.DataFrame
    features: list[str]
    digest: str
    """Over all rows."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One request of the live stream."""

    key: str
    case: str
    inputs: dict[str, Cell]
    truth: Cell


def load_rows(
    file: Path | None, *, target: str | None, protected: str | None, use_protected: bool, seed: int
) -> Rows:
    """Return the rows of `file`, or of scikit-learn's breast-cancer data.

    Raises Invalid for a target that is not there or has other than two values, for a protected
    column that is not there, and for fewer than 200 rows; and what reading the file raises.
    """
    if file is None:
        frame, source, target = _breast_cancer()
    else:
        frame = open_table(file).frame()
        source = f"{file.name}, {frame.height:,} rows × {frame.width} columns"
        if target is None:
            raise Invalid("--data needs --target", why="which column is to be predicted?")
    for name, what in ((target, "--target"), (protected, "--protected")):
        if name is not None and name not in frame.columns:
            raise Invalid(
                f"{what} {name!r}: there is no such column",
                why=f"the columns are: {', '.join(frame.columns[:30])}",
                fix=did_you_mean(name, frame.columns),
            )
    values = frame.get_column(target).drop_nulls().unique()
    if values.len() != 2:
        raise Invalid(
            f"--target {target!r} has {values.len()} different values",
            why="the demo's story is about a decision between two",
            fix="name a column with two values",
        )
    frame = frame.filter(pl.col(target).is_not_null())
    if frame.height < MIN_ROWS:
        raise Invalid(
            f"{source} has {frame.height} labelled rows",
            why=f"the demo needs {MIN_ROWS}: for training, judging and a live stream",
        )
    frame = frame.drop(KEY, strict=False).with_columns(
        pl.int_range(pl.len()).cast(pl.String).alias(KEY)
    )
    sides = split_by_key(
        frame,
        shares={"base": 1 - LIVE_SHARE, "live": LIVE_SHARE},
        # Another seed than the pipeline's own split: under one, the two cuts would be the same.
        seed=seed + CUT_SEED,
        key=KEY,
    )
    excluded = {target, KEY}
    if protected is not None and not use_protected:
        excluded.add(protected)
    return Rows(
        source=source,
        target=target,
        base=sides["base"],
        live=sides["live"].head(MAX_LIVE_ROWS),
        features=[name for name in frame.columns if name not in excluded],
        digest=digest_bytes(arrow_bytes(frame.lazy())),
    )


def parse_change(text: str | None, rows: Rows) -> Change:
    """Return the change that `COLUMN:OPERATION` or `COLUMN` asks for, or the demo's own.

    Raises Invalid for an unknown column or operation, or one that the column's kind does not
    allow.
    """
    if text is None:
        numbers = [name for name in rows.features if rows.base.schema[name].is_numeric()]
        column = "mean_texture" if "mean_texture" in numbers else (numbers or rows.features)[0]
        return Change(column, "shift" if numbers else "stuck")
    column, _, operation = text.rpartition(":") if ":" in text else (text, "", "")
    if column not in rows.features:
        raise Invalid(
            f"--drift {text!r}: the model learns from no column {column!r}",
            why=f"it learns from: {', '.join(rows.features[:30])}",
            fix=did_you_mean(column, rows.features),
        )
    is_number = rows.base.schema[column].is_numeric()
    operation = operation or ("shift" if is_number else "stuck")
    if operation not in OPERATIONS:
        raise Invalid(
            f"--drift {text!r}: there is no change called {operation!r}",
            why=f"there are: {', '.join(OPERATIONS)}",
            fix=did_you_mean(operation, OPERATIONS),
        )
    if operation in {"shift", "scale"} and not is_number:
        raise Invalid(f"--drift {text!r}: {column} is no number", fix=f"try {column}:stuck")
    change = Change(column, operation)
    moved = _share_moved(rows, change)
    if moved < MIN_MOVED:
        raise Invalid(
            f"--drift {text!r} alters {moved:.0%} of the values",
            why="the demo sends some hundred requests, in which so little cannot be found",
            fix=f"try {column}:{'shift' if is_number else 'stuck'}",
        )
    return change


def draw(rows: Rows, *, seed: int, phase: str, count: int, change: Change | None) -> Iterator[Draw]:
    """Give `count` requests drawn from the live rows with replacement; the same seed, the same.

    With a change, its column holds what the changed instrument would have shown; the truth
    stays what it was.
    """
    chance = random.Random(f"{seed}:{phase}")  # noqa: S311 - reproducible, nothing secret
    live = rows.live.to_dicts()
    level = _Changed(rows, change) if change else None
    for number in range(count):
        row = live[chance.randrange(len(live))]
        inputs: dict[str, Cell] = {name: row[name] for name in rows.features}
        if change is not None and level is not None:
            inputs[change.column] = level.value(inputs[change.column], chance)
        yield Draw(key=f"{phase}-{number}", case=row[KEY], inputs=inputs, truth=row[rows.target])


class _Changed:
    def __init__(self, rows: Rows, change: Change) -> None:
        column = rows.base.get_column(change.column)
        self._change = change
        self._is_whole = column.dtype.is_integer()
        self._sd = _number(column.std()) if column.dtype.is_numeric() else 0.0
        counts = column.drop_nulls().value_counts(name="times").sort("times", change.column)
        self._rarest: Cell = counts.get_column(change.column)[0]

    def value(self, value: Cell, chance: random.Random) -> Cell:
        match self._change.operation:
            case "missing":
                return None if chance.random() < MISSING_SHARE else value
            case "stuck":
                return self._rarest
            case _:
                if not isinstance(value, int | float):
                    return value
                moved = (
                    value + SHIFT_SD * self._sd
                    if self._change.operation == "shift"
                    else value * SCALE
                )
                return round(moved) if self._is_whole else moved


def _share_moved(rows: Rows, change: Change) -> float:
    """Return the share of the live rows whose value the change alters."""
    changed = _Changed(rows, change)
    chance = random.Random(0)  # noqa: S311 - an estimate
    values: list[Cell] = rows.live.get_column(change.column).to_list()
    return sum(changed.value(value, chance) != value for value in values) / len(values)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _breast_cancer() -> tuple[pl.DataFrame, str, str]:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    columns = {
        str(name).replace(" ", "_"): bunch.data[:, place]
        for place, name in enumerate(bunch.feature_names)
    }
    names = [str(name) for name in bunch.target_names]
    frame = pl.DataFrame(columns).with_columns(
        diagnosis=pl.Series([names[label] for label in bunch.target])
    )
    source = (
        f"breast-cancer data bundled with scikit-learn (Wolberg, Street, Mangasarian: UCI, 1995), "
        f"{frame.height} rows × {len(columns)} columns"
    )
    return frame, source, "diagnosis"
