from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt
from millwright.data.rows import (
    RowSet,
    count_shared,
    decode_row_set,
    encode_row_set,
    row_hashes,
    row_set,
)

FRAME = pl.DataFrame({"id": ["a", "b", "c"], "n": [1, 2, 3], "x": [0.5, None, -1.0]})


def shared(one: pl.DataFrame, other: pl.DataFrame, columns: list[str]) -> int:
    return count_shared(row_hashes(one, columns), row_hashes(other, columns))


class TestHashes:
    def test_they_are_sorted_and_distinct(self) -> None:
        found = row_hashes(pl.concat([FRAME, FRAME]), ["id", "n"])
        assert found.dtype == np.uint64
        assert len(found) == 3
        assert (np.diff(found.astype(object)) > 0).all()

    def test_neither_the_order_of_rows_nor_of_columns_matters(self) -> None:
        turned = FRAME.reverse().select("x", "n", "id")
        assert (row_hashes(FRAME, ["id", "n", "x"]) == row_hashes(turned, ["x", "id", "n"])).all()

    def test_only_the_named_columns_count(self) -> None:
        other = FRAME.with_columns(pl.lit(9.0).alias("x"))
        assert shared(FRAME, other, ["id"]) == 3
        assert shared(FRAME, other, ["id", "x"]) == 0

    def test_a_number_is_the_same_whole_or_not(self) -> None:
        whole, broken = pl.DataFrame({"k": [1, 2, 3]}), pl.DataFrame({"k": [1.0, 2.0, 3.0]})
        assert shared(whole, broken, ["k"]) == 3
        narrow = pl.DataFrame({"k": pl.Series([1, 2, 3], dtype=pl.Int8)})
        assert shared(whole, narrow, ["k"]) == 3

    def test_whole_numbers_beyond_what_a_float_holds_stay_apart(self) -> None:
        big = pl.DataFrame({"k": [2**53, 2**53 + 1]})
        assert len(row_hashes(big, ["k"])) == 2

    def test_kinds_that_look_alike_are_not_the_same(self) -> None:
        texts = pl.DataFrame({"k": ["1", "True", "None", ""]})
        assert shared(texts, pl.DataFrame({"k": [1]}), ["k"]) == 0
        assert shared(texts, pl.DataFrame({"k": [True]}), ["k"]) == 0
        assert shared(texts, pl.DataFrame({"k": [None]}, schema={"k": pl.String}), ["k"]) == 0
        assert shared(pl.DataFrame({"k": [1]}), pl.DataFrame({"k": [True]}), ["k"]) == 0

    def test_values_do_not_run_into_each_other(self) -> None:
        one = pl.DataFrame({"a": ["x\x1fy", "p"], "b": ["z", "q', 'r"]})
        other = pl.DataFrame({"a": ["x", "p', 'q"], "b": ["y\x1fz", "r"]})
        assert shared(one, other, ["a", "b"]) == 0

    def test_no_rows_have_no_hashes(self) -> None:
        assert len(row_hashes(FRAME.clear(), ["id"])) == 0

    @settings(max_examples=40)
    @given(
        st.lists(st.integers(-(2**40), 2**40), max_size=12),
        st.lists(st.integers(-(2**40), 2**40), max_size=12),
    )
    def test_as_many_are_shared_as_there_are_equal_rows(
        self, first: list[int], second: list[int]
    ) -> None:
        one, other = (
            pl.DataFrame({"k": numbers}, schema={"k": pl.Int64}) for numbers in (first, second)
        )
        assert shared(one, other, ["k"]) == len(set(first) & set(second))

    @settings(max_examples=40)
    @given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=12))
    def test_floats_are_told_apart_exactly(self, values: list[float]) -> None:
        found = row_hashes(pl.DataFrame({"k": values}), ["k"])
        # Minus nought is nought, in a row as elsewhere... unless its bits say otherwise.
        assert (
            len(set(values))
            <= len(found)
            <= len({math.copysign(1, v) * abs(v) for v in values}) + 1
        )


class TestStored:
    def test_a_set_comes_back_as_it_was(self) -> None:
        made = row_set(FRAME, ["n", "id"])
        assert made.columns == ["id", "n"]
        again = decode_row_set(encode_row_set(made))
        assert again == made
        assert (again.array() == row_hashes(FRAME, ["id", "n"])).all()
        assert count_shared(again.array(), row_hashes(FRAME.head(2), again.columns)) == 2

    @pytest.mark.parametrize(
        "data", [b"", b"nonsense", b"\x80", encode_row_set(row_set(FRAME, ["id"]))[:-1]]
    )
    def test_other_bytes_are_no_set(self, data: bytes) -> None:
        with pytest.raises(Corrupt, match="no set of rows"):
            decode_row_set(data)

    def test_nor_is_one_with_a_piece_of_a_hash(self) -> None:
        torn = encode_row_set(RowSet(columns=["id"], hashes=b"123456789"))
        with pytest.raises(Corrupt, match="9 bytes are not a whole number of row hashes"):
            decode_row_set(torn)
