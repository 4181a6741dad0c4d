from __future__ import annotations

import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core import ids
from millwright.core.errors import Invalid


def test_an_id_is_a_uuid7_that_standard_tools_read() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = uuid.UUID(ids.to_hex(ids.new_id("run")))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before_ms <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_made_one_after_the_other_sort_that_way_also_from_threads() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def work(mine: list[str]) -> None:
        mine.extend(ids.new_id("run") for _ in range(2000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 8000


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_every_128_bit_number_survives_base32_and_hex(number: int) -> None:
    body = ids.encode(number)
    assert len(body) == 26
    assert ids.decode(body) == number
    assert ids.decode(body.upper()) == number
    assert ids.from_hex(ids.to_hex(f"run_{body}"), "run") == f"run_{body}"


@given(st.integers(min_value=0, max_value=2**128 - 1), st.integers(0, 26))
def test_the_bounds_of_a_beginning_hold_what_begins_like_it(number: int, chars: int) -> None:
    whole = f"run_{ids.encode(number)}"
    low, high = ids.bounds(whole[: 4 + chars].upper(), "run")
    assert low <= whole <= high
    assert (low == high) == (chars == 26)


def test_no_id_begins_with_another_prefix_or_letter() -> None:
    for text in ("mod_1", "run", "run_u", "run_" + "1" * 27):
        with pytest.raises(Invalid, match="not the beginning of the id of a run"):
            ids.bounds(text, "run")


@given(st.tuples(*[st.integers(min_value=0, max_value=2**128 - 1)] * 2))
def test_text_sorts_as_the_numbers_do(pair: tuple[int, int]) -> None:
    assert (ids.encode(pair[0]) < ids.encode(pair[1])) == (pair[0] < pair[1])


def test_letters_that_look_like_digits_are_read_as_them() -> None:
    text = "run_0" + "1" * 25
    assert ids.parse_id("RUN_O" + "l" * 12 + "I" * 13, "run") == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mod_01m83b9f2re5dr0fd79wwqcsz8", "is not the id of a run"),
        ("run", "is not the id of a run"),
        ("run_01m8", "26 characters"),
        ("run_01m83b9f2re5dr0fd79wwqcszu", "'u' cannot stand in an id"),
        ("run_81m83b9f2re5dr0fd79wwqcsz8", "more than 128 bits"),
    ],
)
def test_what_is_not_an_id_is_told_why(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        ids.parse_id(text, "run")


def test_an_unknown_prefix_and_broken_hex_are_invalid() -> None:
    with pytest.raises(Invalid, match="unknown id prefix 'xyz'"):
        ids.new_id("xyz")
    with pytest.raises(Invalid, match="32 hexadecimal digits"):
        ids.from_hex("0x" + "0" * 30, "run")


def test_ids_as_mlflow_spells_them_are_ours_and_other_texts_stay() -> None:
    run, model = ids.new_id("run"), ids.new_id("lgm")
    assert ids.in_our_spelling(ids.to_hex(run), "run") == run
    assert ids.in_our_spelling(ids.to_hex(run).upper(), "run") == run
    assert ids.in_our_spelling(f"m-{ids.to_hex(model)}", "lgm") == model
    for text in (run, "latest", "", "m-", "f" * 31, f"{ids.to_hex(run)}0"):
        assert ids.in_our_spelling(text, "run") == text
