"""What a model takes and answers, and the one place where rows are held against it.

Rows travel as plain columns: a mapping from a column's name to a flat array. No data-frame
library is needed to predict; a frame a user hands in is taken apart by `columns_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid, Unsupported
from millwright.core.refs import did_you_mean
from millwright.records.schema import Column, ColumnKind, Signature
from millwright.registry.rows import MAX_NAMED, Array, as_array, columns_of_matrix, listed

Columns: TypeAlias = Mapping[str, Array]
Matrix: TypeAlias = "Array | Sequence[Sequence[object]]"
"""Rows whose columns have no names, (rows, columns)."""
Label: TypeAlias = str | int | float | bool
"""A class, as a classifier answers it."""

PREDICTION = "prediction"
PROBABILITY = "probability"
# Of 2^53 itself one cannot tell whether it was 2^53 + 1 before it became a float.
_EXACT_INTEGERS = 2.0**53 - 1
_MAX_INT64 = 2**63 - 1
_PANDAS_NA = "NAType"
_BOOLEANS = (bool, np.bool_)
_NUMBERS = (int, float, np.integer, np.floating)
_NONE: Array = np.array(None, dtype=object)
# What equals itself, and so is never missing.
_PLAIN = {str, int, bool, np.str_, np.bool_, np.int64, type(None)}
# A column of which no value is there, by what its kind becomes.
_BLANK: dict[ColumnKind, Array] = {
    "integer": np.array(np.nan),
    "float": np.array(np.nan),
    "boolean": np.array(np.nan),
    "text": _NONE,
    "timestamp": np.array("NaT", dtype="datetime64[us]"),
}
_WITHOUT_ROWS: dict[ColumnKind, type] = {"integer": np.int64, "boolean": np.bool_}
_WORDS: dict[ColumnKind, str] = {
    "integer": "whole numbers",
    "float": "numbers",
    "boolean": "true or false",
    "text": "text",
    "timestamp": "points in time",
}


class Series(Protocol):
    """One column of a data frame of any library."""

    def to_numpy(self) -> Array:
        """Return the values as an array."""
        ...


class Frame(Protocol):
    """What we use of a data frame: Polars, pandas and others have it."""

    @property
    def columns(self) -> object:
        """The names, in order."""
        ...

    def __getitem__(self, label: str, /) -> Series:
        """Return one column; what pandas calls a column may be anything."""
        ...

    def head(self, n: int, /) -> Frame:
        """Return the first `n` rows."""
        ...


def columns_of(
    rows: Frame | Columns | Matrix, names: Sequence[object] | None = None
) -> dict[str, Array]:
    """Return the rows' columns as flat arrays, in their order; missing text is None.

    Those of a matrix, or of a list of rows, are called `names`, or x0, x1 and so on; a name that
    is no text, as pandas gives numbers, becomes it. Raises Invalid when columns share a name or
    have different lengths, or rows another number of them than there are names.
    """
    if isinstance(rows, Mapping):
        labels = list(rows)
        arrays = [as_array(values) for values in rows.values()]
    elif hasattr(rows, "columns"):
        frame = cast("Frame", rows)
        labels = list(cast("Iterable[str]", frame.columns))
        arrays = [frame[label].to_numpy() for label in labels]
    else:
        labels, arrays = columns_of_matrix(rows, names)
    called = [str(label) for label in labels]
    repeated = sorted({name for name in called if called.count(name) > 1})
    if repeated:
        raise Invalid(f"two columns share a name: {listed(repeated)}")
    columns = dict(zip(called, arrays, strict=True))
    lengths = {len(values) if values.ndim == 1 else -1 for values in columns.values()}
    if -1 in lengths or len(lengths) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise Invalid(
            "the columns are not flat arrays of one length", why=f"shapes: {shapes[:500]}"
        )
    return columns


def row_count(columns: Columns) -> int:
    """Return how many rows the columns have; 0 when there is no column."""
    return next((len(values) for values in columns.values()), 0)


def infer_columns(columns: Columns) -> list[Column]:
    """Return each column's kind, nullable where a value is missing.

    Raises Unsupported for a column no model of ours takes, such as a timestamp.
    """
    return [_infer(name, values) for name, values in columns.items()]


def infer_signature(inputs: Columns, outputs: Columns) -> Signature:
    """Return the signature of a model from example rows and what it answered to them.

    An output of two dimensions, the probabilities of several classes, counts as its kind.
    """
    flat = {name: values.reshape(-1) for name, values in outputs.items()}
    return Signature(inputs=infer_columns(inputs), outputs=infer_columns(flat))


def check_columns(signature: Signature, columns: Columns) -> dict[str, Array]:
    """Return the rows as the model takes them: its columns, in its order, in its kinds.

    Whole column at a time: `integer` gives int64, `float` float64, `boolean` bool, `text` an
    object array of str, `timestamp` datetime64[us] in UTC. In a nullable column a missing value
    is NaN (an `integer` or `boolean` column that has one becomes float64), in a text column
    None, among times NaT. What has the right type already is not copied.

    Raises Invalid that names every missing, unexpected and ill-typed column.
    """
    expected = [column.name for column in signature.inputs]
    faults = _absent(expected, columns)
    taken: dict[str, Array] = {}
    for column in signature.inputs:
        if column.name in columns:
            values = as_array(columns[column.name])
            coerced = _coerce(column, values)
            if isinstance(coerced, str):
                faults.append(f"{column.name} {coerced}")
            else:
                taken[column.name] = coerced
    lengths = {len(values) for values in taken.values()}
    if len(lengths) > 1:
        faults.append(f"the columns have different lengths: {sorted(lengths)}")
    if faults:
        raise Invalid(
            "the rows do not fit the model",
            why="; ".join(faults),
            fix=f"the model takes: {listed(expected, limit=40)}",
        )
    return taken


def is_missing(values: Array) -> npt.NDArray[np.bool_]:
    """Return which values are None, NaN, NaT or pandas' NA."""
    if values.dtype.kind == "O":
        return _lacking(values, _types(values))
    if values.dtype.kind == "f":
        return np.isnan(_floats(values))
    if values.dtype.kind == "M":
        return np.isnat(values)
    return np.zeros(len(values), dtype=np.bool_)


def _infer(name: str, values: Array) -> Column:
    kind = values.dtype.kind
    if kind == "b":
        return Column(name=name, kind="boolean")
    if kind in "iu":
        return Column(name=name, kind="integer")
    if kind == "f":
        return Column(name=name, kind="float", nullable=bool(np.isnan(_floats(values)).any()))
    if kind in "UT":
        return Column(name=name, kind="text")
    if kind == "O":
        found = _types(values)
        missing = _lacking(values, found)
        nullable = bool(missing.any())
        kinds = _types(values[~missing]) if nullable else found
        if kinds <= {str}:
            return Column(name=name, kind="text", nullable=nullable)
        if kinds <= {bool, np.bool_}:
            return Column(name=name, kind="boolean", nullable=nullable)
        if kinds <= {int, float, np.float64, np.int64}:
            kind_name: ColumnKind = "integer" if kinds <= {int, np.int64} else "float"
            return Column(name=name, kind=kind_name, nullable=nullable)
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise Unsupported(f"column {name!r} mixes values of the types {names}")
    raise Unsupported(
        f"column {name!r} has the type {values.dtype}, which a model cannot take",
        why="a model takes whole numbers, numbers, true or false, and text",
        fix="derive numbers or text from it first",
    )


def _types(values: Array) -> set[type]:
    # One pass in C: a million values take 20 ms, a loop that asks isinstance takes 100.
    return set(map(type, cast("list[object]", values.tolist())))


def _lacking(values: Array, types: set[type]) -> npt.NDArray[np.bool_]:
    """Return which objects are missing; `types` are theirs, so that most columns need no look."""
    missing = np.zeros(len(values), dtype=np.bool_)
    if any(kind.__name__ == _PANDAS_NA for kind in types):
        # It answers every comparison with itself, so it has to be told by its type.
        objects = cast("list[object]", values.tolist())
        missing |= [type(value).__name__ == _PANDAS_NA for value in objects]
        values = np.where(missing, _NONE, values)
    if any(issubclass(kind, list | dict | np.ndarray) for kind in types):
        return missing | [value is None for value in cast("list[object]", values.tolist())]
    if type(None) in types:
        missing |= values == _NONE
    if types - _PLAIN:
        missing |= values != values  # noqa: PLR0124 (NaN)
    return missing


def _absent(expected: list[str], columns: Columns) -> list[str]:
    faults: list[str] = []
    missing = [name for name in expected if name not in columns]
    extra = [name for name in columns if name not in set(expected)]
    if missing:
        faults.append(f"missing: {listed(missing)}")
    if extra:
        hints = [did_you_mean(name, missing) for name in extra[:MAX_NAMED]]
        hint = " ".join(text for text in hints if text)
        faults.append(f"not known: {listed(extra)}" + (f" ({hint})" if hint else ""))
    return faults


def _coerce(column: Column, values: Array) -> Array | str:
    """Return the values in the column's kind, or what is wrong with them."""
    if values.ndim != 1:
        return f"has the shape {values.shape}; it must be flat"
    if not len(values):
        # Of no rows at all nobody can tell the type.
        return np.empty(0, dtype=_WITHOUT_ROWS.get(column.kind, _BLANK[column.kind].dtype))
    types = _types(values) if values.dtype.kind == "O" else set[type]()
    missing = _lacking(values, types) if types else is_missing(values)
    lacks = bool(missing.any())
    if lacks and not column.nullable:
        return f"lacks {int(missing.sum())} of {len(values)} values, and the model needs all"
    if lacks and missing.all():
        return np.full(len(values), _BLANK[column.kind])
    if column.kind == "text":
        return _as_text(values, types, missing if lacks else None)
    if column.kind == "timestamp":
        return _as_times(column, values, types, missing if lacks else None)
    if values.dtype.kind not in "biufO":
        return _wrong(column, values)
    if types:
        present = _types(values[~missing]) if lacks else types
        wanted = _BOOLEANS if column.kind == "boolean" else _NUMBERS
        if any(not issubclass(kind, wanted) or kind is _not_for(column) for kind in present):
            return _wrong(column, values)
    if values.dtype.kind == "b" and column.kind != "boolean":
        return _wrong(column, values)
    if column.kind == "integer" and (values.dtype.kind in "iu" or (types and not lacks)):
        return _as_integers(column, values, types)
    if column.kind == "boolean" and values.dtype.kind == "b":
        return values
    return _as_numbers(column, values, missing if lacks else None)


def _not_for(column: Column) -> type | None:
    # A bool is an int to Python, and no whole number to a model.
    return None if column.kind == "boolean" else bool


def _as_integers(column: Column, values: Array, types: set[type]) -> Array | str:
    if any(issubclass(kind, float | np.floating) for kind in types):
        return _as_numbers(column, values, None)
    if values.dtype.kind == "u" and len(values) and int(values.max()) > _MAX_INT64:
        return f"holds {values.max()}, and a whole number has at most 64 bits with its sign"
    try:
        return values.astype(np.int64, copy=False)
    except OverflowError:
        big = max(cast("list[int]", values.tolist()), key=abs)
        return f"holds a number of {big.bit_length()} bits, and 64 with the sign are the most"


def _as_numbers(
    column: Column, values: Array, missing: npt.NDArray[np.bool_] | None
) -> Array | str:
    if values.dtype.kind == "O" and missing is not None:
        values = np.where(missing, np.nan, values)
    try:
        numbers = values.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        return _wrong(column, values)
    if column.kind == "float":
        return numbers
    present = numbers if missing is None else numbers[~missing]
    if column.kind == "boolean":
        if not ((present == 0.0) | (present == 1.0)).all():
            return _wrong(column, values)
        return numbers.astype(np.bool_) if missing is None else numbers
    if not (np.abs(present) <= _EXACT_INTEGERS).all() or (present != np.floor(present)).any():
        return _wrong(column, values)
    return numbers.astype(np.int64) if missing is None else numbers


def _as_text(values: Array, types: set[type], missing: npt.NDArray[np.bool_] | None) -> Array | str:
    if values.dtype.kind in "UT":
        return values.astype(object)
    if types <= {str, type(None)} and values.dtype.kind == "O":
        return values
    present = values if missing is None else values[~missing]
    if values.dtype.kind != "O":
        return f"holds {values.dtype} and should hold text"
    kinds = _types(present)
    if not all(issubclass(kind, str) for kind in kinds):
        return f"holds {', '.join(sorted(kind.__name__ for kind in kinds))} and should hold text"
    return values if missing is None else np.where(missing, _NONE, values)


def _as_times(
    column: Column, values: Array, types: set[type], missing: npt.NDArray[np.bool_] | None
) -> Array | str:
    """Return datetime64[us] in UTC from times, or from text as ISO 8601 writes them."""
    if values.dtype.kind not in "MOU":
        return _wrong(column, values)
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]", copy=False)
    kinds = types if missing is None else _types(values[~missing])
    if not all(issubclass(kind, str | date | np.datetime64) for kind in kinds):
        return _wrong(column, values)
    if missing is not None:
        values = np.where(missing, np.datetime64("NaT"), values)
    try:
        moments = [_moment(value) for value in cast("list[object]", values.tolist())]
        return np.array(moments, dtype="datetime64[us]")
    except ValueError:
        return _wrong(column, values)


def _moment(value: object) -> object:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _wrong(column: Column, values: Array) -> str:
    sample = ", ".join(repr(value) for value in values[:2].tolist())
    return f"should hold {_WORDS[column.kind]}, and holds {sample[:80] or values.dtype}"


def _floats(values: Array) -> npt.NDArray[np.float64]:
    return values.astype(np.float64, copy=False)
