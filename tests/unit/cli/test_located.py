from __future__ import annotations

import pytest

from millwright.cli.located import located, pointed
from millwright.core.errors import Invalid
from millwright.metadata.filters import FilterError
from millwright.tracking.vocabulary import RUNS


def test_a_caret_stands_under_a_place_in_a_long_text() -> None:
    shown, caret = pointed("a" * 300 + "!" + "b" * 300, 300)
    assert len(shown) == 104
    assert shown[caret.index("^")] == "!"
    assert pointed("x\ny", 2) == ["  x y", "    ^"]
    assert pointed("", 0) == ["  ", "  ^"]


def test_what_is_raised_says_where() -> None:
    with (
        pytest.raises(Invalid, match="Invalid comparator") as raised,
        located("metrics.auc LIKE 'x'", [], lambda: RUNS),
    ):
        raise Invalid("over HTTP nobody says where")
    assert raised.value.why.splitlines()[1:] == ["  metrics.auc LIKE 'x'", "              ^"]


def test_an_error_that_is_not_the_filters_stays_as_it_is() -> None:
    for text in ("", "metrics.auc > 1"):
        with (
            pytest.raises(Invalid, match="a page holds"),
            located(text, ["metrics.auc"], lambda: RUNS),
        ):
            raise Invalid("a page holds 1 to 10 runs")


def test_an_error_without_a_place_stays_as_it_is() -> None:
    # Two hundred comparisons and one are too many; no single character is.
    text = " and ".join(["metrics.auc > 1"] * 201)
    with pytest.raises(FilterError, match="as it was"), located(text, [], lambda: RUNS):
        raise FilterError("as it was")
