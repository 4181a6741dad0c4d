"""CatBoost's binary model files, read before CatBoost reads them.

Its library verifies the structure of a file, and not what the numbers in it point at: of 250
files with one byte changed two made it read memory that is not the model's. So trees are
followed here first. Tables of category statistics, which lie behind the trees in models with
categories or texts, are left to the library, which reads them with their lengths.

Source: CatBoost's model.fbs and features.fbs; FlatBuffers' binary format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Corrupt
from millwright.registry.outside import points_outside

MAGIC = b"CBM1"
_HEAD_BYTES = 8
_LEAF_DIFF = 0
_MAX_DEPTH = 16
_NO_LEAF = 2**32 - 1

# Which field of its table each is, counted from 0.
_TREES = 1
_DIMENSION, _SPLITS, _SIZES, _STARTS = 0, 1, 2, 3
_FLOATS, _ONE_HOTS, _CTRS, _LEAVES, _WEIGHTS, _STEPS, _LEAF_IDS, _ESTIMATED = (
    5, 6, 7, 8, 9, 10, 11, 13
)  # fmt: skip
_BIASES, _BINS = 16, 17
# A feature has a place for this many of its conditions, and another for the next so many.
_CONDITIONS_A_BIN = 254
_FLOAT_BORDERS, _ONE_HOT_VALUES, _CTR_BORDERS, _ESTIMATED_BORDERS = 3, 1, 1, 3


def check_catboost(data: bytes) -> None:
    """Follow all trees of the model file `data`.

    Raises Corrupt when it is no whole model file, and Refused when a tree points outside the
    model.
    """
    if data[:4] != MAGIC or len(data) < _HEAD_BYTES:
        raise Corrupt("this is not a CatBoost model", why=f"it does not begin with {MAGIC!r}")
    size = int.from_bytes(data[4:_HEAD_BYTES], "little")
    if size > len(data) - _HEAD_BYTES:
        raise Corrupt("this is not a whole CatBoost model", why="its trees are cut short")
    try:
        core = _Flat(data[_HEAD_BYTES : _HEAD_BYTES + size])
        trees = core.table(core.follow(0), _TREES)
        if trees is None:
            raise ValueError("it has no trees")
        _check_trees(core, trees)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise Corrupt("this is not a whole CatBoost model", why=str(error)[:200]) from error


@dataclass(frozen=True, slots=True)
class _Flat:
    """Reads tables and vectors of a FlatBuffer; every place is held against the bytes."""

    data: bytes

    def follow(self, place: int) -> int:
        (offset,) = struct.unpack_from("<I", self.data, place)
        return place + int(offset)

    def field(self, table: int, number: int) -> int | None:
        """Return where a field of a table lies, or None when it is left out."""
        (back,) = struct.unpack_from("<i", self.data, table)
        names = table - int(back)
        if names < 0:
            raise ValueError("a table lies outside the file")
        (length,) = struct.unpack_from("<H", self.data, names)
        if 4 + 2 * number >= int(length):
            return None
        (offset,) = struct.unpack_from("<H", self.data, names + 4 + 2 * number)
        return table + int(offset) if offset else None

    def table(self, table: int, number: int) -> int | None:
        place = self.field(table, number)
        return None if place is None else self.follow(place)

    def number(self, table: int, number: int, default: int) -> int:
        place = self.field(table, number)
        return default if place is None else int(struct.unpack_from("<i", self.data, place)[0])

    def vector(self, table: int, number: int, kind: str) -> npt.NDArray[np.int64]:
        """Return a vector of whole numbers; empty when it is left out."""
        raw = self.raw(table, number, np.dtype(kind).itemsize)
        return np.frombuffer(raw, kind).astype(np.int64)

    def raw(self, table: int, number: int, item_bytes: int) -> bytes:
        place = self.table(table, number)
        if place is None:
            return b""
        (count,) = struct.unpack_from("<I", self.data, place)
        end = place + 4 + int(count) * item_bytes
        if end > len(self.data):
            raise ValueError("a vector lies outside the file")
        return self.data[place + 4 : end]

    def tables(self, table: int, number: int) -> list[int]:
        place = self.table(table, number)
        if place is None:
            return []
        offsets = np.frombuffer(self.raw(table, number, 4), "<u4").astype(np.int64)
        return [place + 4 + 4 * index + int(offset) for index, offset in enumerate(offsets)]


def _check_trees(flat: _Flat, trees: int) -> None:
    dimension = flat.number(trees, _DIMENSION, 0)
    splits = flat.vector(trees, _SPLITS, "<i4")
    sizes = flat.vector(trees, _SIZES, "<i4")
    starts = flat.vector(trees, _STARTS, "<i4")
    leaves = len(flat.raw(trees, _LEAVES, 8)) // 8
    if dimension < 1 or (sizes < 0).any() or int(sizes.sum()) != len(splits):
        raise points_outside("CatBoost", "its trees are not as many or as large as it says")
    if len(starts) and not np.array_equal(starts, np.cumsum(sizes) - sizes):
        raise points_outside("CatBoost", "a tree does not start where it should")
    each_feature = [
        len(flat.raw(each, borders, 4)) // 4
        for features, borders in (
            (_FLOATS, _FLOAT_BORDERS),
            (_ONE_HOTS, _ONE_HOT_VALUES),
            (_CTRS, _CTR_BORDERS),
            (_ESTIMATED, _ESTIMATED_BORDERS),
        )
        for each in flat.tables(trees, features)
    ]
    conditions = sum(each_feature)
    if ((splits < 0) | (splits >= conditions)).any():
        raise points_outside("CatBoost", "a split asks for a condition that does not exist")
    bins = np.frombuffer(flat.raw(trees, _BINS, 4), "<u2").reshape(-1, 2)
    places = sum(-(-count // _CONDITIONS_A_BIN) for count in each_feature)
    if len(bins) and (len(bins) != len(splits) or int(bins[:, 0].max()) >= places):
        raise points_outside("CatBoost", "a split asks for a feature that does not exist")
    weights = len(flat.raw(trees, _WEIGHTS, 8)) // 8
    if len(flat.raw(trees, _BIASES, 8)) // 8 not in {0, dimension} or (
        weights and weights * dimension != leaves
    ):
        raise points_outside("CatBoost", "it has not as many weights and biases as leaves")
    steps = np.frombuffer(flat.raw(trees, _STEPS, 4), "<u2").astype(np.int64).reshape(-1, 2)
    ids = flat.vector(trees, _LEAF_IDS, "<u4")
    if len(steps) == 0:
        if len(ids) or (sizes > _MAX_DEPTH).any() or int((2**sizes).sum()) * dimension != leaves:
            raise points_outside("CatBoost", "a tree has leaves that are not in the file")
    else:
        _check_steps(steps, ids, sizes, leaves, dimension)


def _check_steps(
    steps: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    leaves: int,
    dimension: int,
) -> None:
    """Follow trees that do not ask the same on each level: from node to node by differences."""
    own = np.arange(len(steps))
    end = np.repeat(np.cumsum(sizes), sizes)
    if len(steps) != len(ids) or len(end) != len(steps):
        raise points_outside("CatBoost", "its trees are not as many or as large as it says")
    if ((own[:, None] + steps) >= end[:, None]).any():
        raise points_outside("CatBoost", "a node leads outside its tree")
    # A node that leads nowhere on one side has a leaf there.
    is_leaf = (steps == _LEAF_DIFF).any(axis=1)
    if (ids[is_leaf] + dimension > leaves).any() or (
        (ids[~is_leaf] != _NO_LEAF) & (ids[~is_leaf] + dimension > leaves)
    ).any():
        raise points_outside("CatBoost", "a tree has leaves that are not in the file")
