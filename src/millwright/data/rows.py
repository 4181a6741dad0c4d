"""Which rows a model was trained on, as short hashes: enough to see that two sets share none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from blake3 import blake3

from millwright.core.errors import Invalid
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


def to_bytes(hashes: npt.NDArray[np.uint64]) -> bytes:
    """Return the hashes as little-endian bytes."""
    return hashes.astype("<u8").tobytes()


def from_bytes(data: bytes) -> npt.NDArray[np.uint64]:
    """Return the hashes that `to_bytes` wrote; raises Invalid for anything else."""
    if len(data) % HASH_BYTES:
        raise Invalid(f"{len(data)} bytes are not a whole number of row hashes")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def count_shared(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> int:
    """Return how many hashes are in both."""
    return len(np.intersect1d(first, second, assume_unique=True))


def _text(value: object) -> str:
    # 1 and 1.0 are one value: a column without missing values is whole in one file only.
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        return repr(number) if number == value else repr(value)
    return repr(value)
