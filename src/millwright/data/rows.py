"""Which rows a model was trained on, as short hashes: enough to see that two sets share none."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from blake3 import blake3
from msgspec import Struct

from millwright.core.errors import Corrupt
from millwright.data.kinds import normalise

HASH_BYTES = 8


def row_hashes(frame: pl.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return the sorted distinct hashes (m,), m <= n, of the rows' values in `columns`.

    Columns count by name, not by place, and numbers by value, so that a row has the same hash
    whichever file it came from. Two different rows share one with a chance of about 5e-20.
    """
    table = normalise(frame.lazy().select(sorted(columns))).collect()
    hashed = {
        int.from_bytes(blake3("\x1f".join(map(_text, row)).encode()).digest(HASH_BYTES), "little")
        for row in table.iter_rows()
    }
    return np.array(sorted(hashed), dtype=np.uint64)


class RowSet(Struct, frozen=True, kw_only=True):
    """Rows, known by the hashes of some of their columns."""

    columns: list[str]
    """By which the rows are told apart: a key, or all that a model takes."""
    hashes: bytes
    """Sorted, eight little-endian bytes each."""

    def array(self) -> npt.NDArray[np.uint64]:
        """Return the hashes as an array (m,)."""
        return np.frombuffer(self.hashes, dtype="<u8").astype(np.uint64)


def row_set(frame: pl.DataFrame, columns: Sequence[str]) -> RowSet:
    """Return the rows of `frame` as a set known by `columns`."""
    hashes = row_hashes(frame, columns)
    return RowSet(columns=sorted(columns), hashes=hashes.astype("<u8").tobytes())


def encode_row_set(rows: RowSet) -> bytes:
    """Return the set as bytes to be stored."""
    return msgspec.msgpack.encode(rows)


def decode_row_set(data: bytes) -> RowSet:
    """Return the set that `encode_row_set` wrote; raises Corrupt for anything else."""
    try:
        rows = msgspec.msgpack.decode(data, type=RowSet)
    except msgspec.MsgspecError as error:
        raise Corrupt("these bytes are no set of rows", why=str(error)) from error
    if len(rows.hashes) % HASH_BYTES:
        raise Corrupt(f"{len(rows.hashes)} bytes are not a whole number of row hashes")
    return rows


def count_shared(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> int:
    """Return how many hashes are in both."""
    return len(np.intersect1d(first, second, assume_unique=True))


def _text(value: object) -> str:
    # 1 and 1.0 are one value: a column without missing values is whole in one file only.
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        return repr(number) if number == value else repr(value)
    return repr(value)
