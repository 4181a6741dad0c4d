from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid, NotFound
from millwright.data.splits import sides_by_key, split_by_key

SHARES = {"train": 0.6, "holdout": 0.25, "live": 0.15}
KEYS = st.lists(st.none() | st.integers(-50, 50), min_size=1, max_size=60)


def frame_of(keys: list[int | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"k": keys, "row": range(len(keys))}, schema={"k": pl.Int64, "row": pl.Int64}
    )


@settings(max_examples=50)
@given(keys=KEYS, seed=st.integers(-3, 3))
def test_every_row_is_on_one_side_and_no_key_on_two(keys: list[int | None], seed: int) -> None:
    frame = frame_of(keys)
    parts = split_by_key(frame, shares=SHARES, seed=seed, key="k")
    assert list(parts) == list(SHARES)
    assert pl.concat(parts.values()).sort("row").equals(frame)
    assert all(part.get_column("row").is_sorted() for part in parts.values())
    sets = [set(part.get_column("k").to_list()) for part in parts.values()]
    assert len(set[int | None]().union(*sets)) == sum(map(len, sets))


@settings(max_examples=50)
@given(keys=KEYS, more=KEYS)
def test_neither_order_nor_later_rows_move_a_key(
    keys: list[int | None], more: list[int | None]
) -> None:
    def sides(values: list[int | None]) -> dict[int | None, str]:
        found = sides_by_key(frame_of(values), shares=SHARES, seed=7, key="k").to_list()
        return dict(zip(values, found, strict=True))

    shuffled = sorted([*more, *keys], key=lambda key: (key is None, -(key or 0)))
    later = sides(shuffled)
    assert sides(keys).items() <= later.items()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])), min_size=1))
def test_without_a_key_equal_rows_share_a_side(rows: list[tuple[int, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    sides = sides_by_key(frame, shares=SHARES, seed=1)
    seen: dict[tuple[int, str | None], str] = {}
    for row, side in zip(rows, sides.to_list(), strict=True):
        assert seen.setdefault(row, side) == side
    assert sides_by_key(frame.select("s", "n"), shares=SHARES, seed=1).equals(sides)


def test_shares_are_met_on_average() -> None:
    frame = frame_of(list(range(20_000)))
    parts = split_by_key(frame, shares=SHARES, seed=3, key="k")
    for side, share in SHARES.items():
        assert parts[side].height == pytest.approx(20_000 * share, abs=300)


def test_a_seed_gives_the_same_split_for_ever() -> None:
    words = pl.DataFrame({"k": list("abcdefgh")})
    sides = sides_by_key(words, shares=SHARES, seed=0, key="k").to_list()
    assert sides == [*["train"] * 3, "holdout", *["train"] * 2, "holdout", "train"]
    assert sides_by_key(words, shares=SHARES, seed=1, key="k").to_list() != sides


def test_a_number_is_one_key_however_its_column_was_read() -> None:
    whole = pl.DataFrame({"k": [1, -7, 0, 2**40]})
    real = pl.DataFrame({"k": [1.0, -7.0, -0.0, float(2**40)]})
    text = pl.DataFrame({"k": ["1", "-7", "0", str(2**40)]})
    sides = [
        sides_by_key(frame, shares={"a": 0.5, "b": 0.5}, seed=4, key="k").to_list()
        for frame in (whole, real, text)
    ]
    assert sides[0] == sides[1] != sides[2]


def test_nan_and_null_are_one_key_and_times_are_keys_too() -> None:
    frame = pl.DataFrame({"k": [float("nan"), None]})
    assert sides_by_key(frame, shares=SHARES, seed=2, key="k").n_unique() == 1
    aware = pl.DataFrame({"k": [datetime(2020, 1, day, tzinfo=UTC) for day in range(1, 9)]})
    naive = aware.with_columns(pl.col("k").dt.replace_time_zone(None))
    assert sides_by_key(naive, shares=SHARES, seed=2, key="k").equals(
        sides_by_key(aware, shares=SHARES, seed=2, key="k")
    )


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "shares need named sides, got none"),
        ({"": 1.0}, "shares need named sides"),
        ({"a": 1.5, "b": -0.5}, "every share must be above 0, got a 1.5, b -0.5"),
        ({"a": float("nan"), "b": 1.0}, "every share must be above 0"),
        ({"a": 0.5, "b": 0.4}, "shares must add up to 1, got a 0.5, b 0.4"),
    ],
)
def test_wrong_shares_are_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        split_by_key(frame_of([1]), shares=shares, seed=0)


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="there is no column 'rwo' to split by") as caught:
        split_by_key(frame_of([1]), shares=SHARES, seed=0, key="rwo")
    assert caught.value.fix == "did you mean 'row'?"
