"""Data frames in and out: pandas to Polars without pyarrow, and bytes that equal frames share."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from millwright.core.errors import Invalid
from millwright.data.delimited import duplicates
from millwright.data.kinds import TYPES, kind_of

_NUMPY_TYPES = {
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "bool"),
}


class _PandasColumn(Protocol):
    @property
    def dtype(self) -> object: ...
    def isna(self) -> _PandasColumn: ...
    def astype(self, dtype: str, /) -> _PandasColumn: ...
    def tolist(self) -> list[object]: ...
    def to_numpy(self) -> npt.NDArray[np.generic]: ...


class _PandasCells(Protocol):
    def __getitem__(self, cells: tuple[slice, int], /) -> _PandasColumn: ...


class PandasFrame(Protocol):
    """What we use of a pandas DataFrame, which is never imported here."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of its columns, in their order."""
        ...

    @property
    def iloc(self) -> _PandasCells:
        """Its columns by number."""
        ...


def from_pandas(frame: PandasFrame) -> pl.DataFrame:
    """Return a pandas frame as a Polars one, column by column; its index is left out.

    Raises Invalid when a column's name stands twice or its values are of more than one kind.
    """
    names = [str(name) for name in frame.columns]
    if twice := duplicates(names):
        raise Invalid(
            f"the data frame names columns twice: {', '.join(map(repr, twice))}",
            fix="give every column a name of its own",
        )
    return pl.DataFrame([_column(name, frame.iloc[:, at]) for at, name in enumerate(names)])


def arrow_bytes(frame: pl.LazyFrame) -> bytes:
    """Return a frame of normal types as an Arrow file; equal frames have equal bytes.

    Two frames with equal values can differ in memory: in what lies under a missing value, in
    whether a column without one carries a mask, in how texts share buffers. All of that is
    written in one way. The bytes also depend on the Polars version that writes them.
    """
    plain = pl.DataFrame([_plain(column) for column in frame.collect()])
    kept = io.BytesIO()
    plain.rechunk().write_ipc(
        kept, compression="uncompressed", compat_level=pl.CompatLevel.oldest()
    )
    return kept.getvalue()


def _column(name: str, column: _PandasColumn) -> pl.Series:
    # Only numpy's own types go over as an array; the others spell missing in ways of their own.
    if str(column.dtype) in _NUMPY_TYPES:
        return pl.Series(name, column.to_numpy())
    missing = column.isna().tolist()
    values = [
        None if gone else value
        for value, gone in zip(column.astype("object").tolist(), missing, strict=True)
    ]
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError) as error:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise Invalid(
            f"column {name!r} of the data frame mixes {', '.join(kinds)}",
            why=f"its pandas type is {column.dtype}; a column of a dataset is of one kind",
            fix=f"convert it first, as with frame[{name!r}].astype(str)",
        ) from error


def _plain(column: pl.Series) -> pl.Series:
    kind = kind_of(column.name, column.dtype)
    blank = "" if kind == "text" else False if kind == "boolean" else 0
    values = column.fill_null(pl.select(pl.lit(blank).cast(TYPES[kind])).item())
    if kind != "text":
        # Through numpy and back, since a bit mask that was cut out of a longer one keeps the
        # neighbour's bits in its last byte.
        values = pl.Series(column.name, values.to_physical().to_numpy()).cast(column.dtype)
    present = pl.Series("present", column.is_not_null().to_numpy())
    return values.to_frame().select(pl.when(present).then(pl.col(column.name))).to_series()
