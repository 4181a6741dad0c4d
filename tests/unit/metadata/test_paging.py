from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.metadata.filters import FilterError
from millwright.metadata.paging import behind, order_by, read_token, scope_of, write_token

CURSORS = st.lists(
    st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.floats(allow_nan=False)), max_size=5
)


@given(CURSORS)
def test_a_cursor_comes_back_from_its_token(cursor: list[int | str | float]) -> None:
    assert read_token(write_token(cursor, "runs"), "runs") == cursor


@given(CURSORS)
def test_a_token_of_another_search_is_refused(cursor: list[int | str | float]) -> None:
    token = write_token(cursor, scope_of("runs", 1, ["a"], "name = 'x'"))
    for other in (
        scope_of("runs", 2, ["a"], "name = 'x'"),
        scope_of("runs", 1, ["a", "b"], "name = 'x'"),
        scope_of("runs", 1, ["a"], "name = 'y'"),
        scope_of("experiments", 1, ["a"], "name = 'x'"),
    ):
        with pytest.raises(FilterError, match="another search"):
            read_token(token, other)


@given(st.text())
def test_any_other_text_is_refused_or_a_cursor(text: str) -> None:
    with suppress(FilterError):
        assert isinstance(read_token(text, "runs"), list)


def test_behind_means_behind_in_the_first_term_that_differs() -> None:
    condition, given_ = behind([("a", True), ("b", False)], [3, "x"], seeks=False)
    assert condition == "(:after0, b) > (a, :after1)"
    assert given_ == {"after0": 3, "after1": "x"}
    seeking, _ = behind([("a", True)], [3], seeks=True)
    assert seeking == "a <= :after0 AND (:after0) > (a)"
    assert order_by([("a", True), ("b", False)]) == "a DESC, b ASC"


def test_the_cursor_of_another_order_is_refused() -> None:
    with pytest.raises(FilterError, match="another search"):
        behind([("a", True)], [3, 4], seeks=False)
