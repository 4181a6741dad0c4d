from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.cli import text
from millwright.core.errors import NotFound


def test_a_table_is_aligned_and_numbers_stand_to_the_right() -> None:
    assert text.table(["name", "rows"], [("loans", 1200), ("a", None)]) == [
        "name   rows",
        "loans  1200",
        "a         -",
    ]


def test_a_value_of_several_lines_stays_on_one() -> None:
    assert text.table(["a", "b"], [("one\ntwo", "x")]) == ["a        b", "one two  x"]


def test_a_table_without_rows_is_its_head() -> None:
    assert text.table(["a", "b"], []) == ["a  b"]


def test_facts_stand_under_one_another() -> None:
    assert text.facts({"id": "x", "digest": None, "auc": 0.87123}) == [
        "id      x",
        "digest  -",
        "auc     0.8712",
    ]


@given(st.lists(st.lists(st.integers() | st.text() | st.none(), min_size=3, max_size=3)))
@settings(max_examples=30)
def test_every_line_of_a_table_fits_its_columns(rows: list[list[int | str | None]]) -> None:
    lines = text.table(["a", "b", "c"], rows)
    assert len(lines) == len(rows) + 1
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("us", "words"),
    [
        (None, "-"),
        (0, "0 µs"),
        (999, "999 µs"),
        (4_620, "4.62 ms"),
        (1_700_000, "1.7 s"),
        (59_940_000, "59.9 s"),
        (60_000_000, "1 min"),
        (200_000_000, "3 min 20 s"),
        (2 * 3600 * 1_000_000, "2 h"),
        (2 * 3600 * 1_000_000 + 300_000_000, "2 h 5 min"),
        (90_000 * 1_000_000, "1 d 1 h"),
    ],
)
def test_durations_have_one_or_two_units(us: int | None, words: str) -> None:
    assert text.duration(us) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (1_234_000, "1.2 MB"),
        (5_000_000_000_000, "5.0 TB"),
    ],
)
def test_sizes_are_decimal(size: int, words: str) -> None:
    assert text.size(size) == words


def test_nouns_agree_with_their_number() -> None:
    assert [text.counted(n, "row") for n in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]


def test_an_error_ends_with_what_to_do() -> None:
    error = NotFound("no dataset loan", why="this project has loans", fix="did you mean 'loans'?")
    assert text.explained(error) == [
        "error: no dataset loan",
        "why: this project has loans",
        "fix: did you mean 'loans'?",
    ]
    assert text.explained(NotFound("no dataset loan")) == ["error: no dataset loan"]


def test_figures_that_json_spells_stay_spelled() -> None:
    assert [text.number(value) for value in (0.123456, None, "Infinity")] == [
        "0.1235",
        "-",
        "Infinity",
    ]
