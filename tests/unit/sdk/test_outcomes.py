from __future__ import annotations

import sys

import pytest

from millwright.core.errors import Refused
from millwright.records.runs import Problem
from millwright.sdk.outcomes import outcome_of, what_ended_the_script


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (None, "finished", None),
        (SystemExit(), "finished", None),
        (SystemExit(0), "finished", None),
        (SystemExit(3), "failed", Problem(code="failed", what="SystemExit: 3")),
        (KeyboardInterrupt(), "cancelled", None),
        (
            Refused("no", why="because", fix="else"),
            "failed",
            Problem(code="refused", what="no", why="because", fix="else"),
        ),
        (
            ValueError("no such file: a\udcff"),
            "failed",
            Problem(code="failed", what="ValueError: no such file: a\\udcff"),
        ),
        (
            ValueError("x" * 5000),
            "failed",
            Problem(code="failed", what=f"ValueError: {'x' * 1988}"),
        ),
    ],
)
def test_how_a_run_ends(error: BaseException | None, status: str, problem: Problem | None) -> None:
    assert outcome_of(error) == (status, problem)


def test_an_exception_says_where_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    _, problem = outcome_of(caught.value)
    assert problem is not None
    assert problem.what == "ZeroDivisionError: division by zero"
    assert problem.why.startswith("in test_an_exception_says_where_it_was_raised, test_outcomes.py")


def test_at_a_prompt_an_exception_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("hours ago")
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    monkeypatch.delattr(sys, "ps1", raising=False)
    assert what_ended_the_script() is error
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert what_ended_the_script() is None
