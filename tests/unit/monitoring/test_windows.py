"""Windows begin, grow, end and are numbered; their rows are worth what they are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.monitoring import Cancer, profile_of
from millwright.core.digest import Digest
from millwright.core.ids import DecisionId, DeploymentId
from millwright.monitoring.windows import (
    WindowState,
    advance,
    answers,
    begin,
    fill,
    independent_rows,
    to_number,
)
from millwright.records.serving import Cell, Decision
from millwright.stats.profile import NumericProfile, TextProfile


def decision(inputs: dict[str, Cell], *, version: int = 1, is_candidate: bool = False) -> Decision:
    return Decision(
        id=DecisionId("dec_1"),
        n=0,
        time_us=7,
        deployment=DeploymentId("dep_1"),
        revision=1,
        role="candidate" if is_candidate else "champion",
        version=version,
        digest=Digest("b3:" + "0" * 64),
        inputs=inputs,
        key="",
    )


def test_a_version_that_comes_back_goes_on_numbering() -> None:
    state = begin(WindowState(), version=1, next_segment=4)
    assert (state.version, state.window, state.from_segment) == (1, 1, 4)
    assert begin(state, version=1, next_segment=9) is state
    state = advance(state, is_full=False, next_segment=6)
    state = begin(state, version=2, next_segment=9)
    assert (state.version, state.window, state.from_segment) == (2, 1, 9)
    state = advance(state, is_full=True, next_segment=11)
    assert (state.window, state.from_segment, state.judged) == (2, 11, False)
    # Version 1 had used its first window up, version 2 has not begun its second.
    state = begin(state, version=1, next_segment=12)
    assert (state.version, state.window) == (1, 2)
    state = begin(state, version=2, next_segment=13)
    assert (state.version, state.window, state.next_window) == (2, 2, {1: 2})


def test_only_the_champions_answers_count() -> None:
    kept = decision({"x": 1.0})
    others = [
        decision({"x": 1.0}, version=2),
        decision({"x": 1.0}, is_candidate=True),
        decision({}),
    ]
    assert answers([kept, *others], version=1) == [kept]


def test_values_are_taken_as_the_reference_knows_them() -> None:
    reference = profile_of(
        [{"n": float(at), "flag": at % 2 == 0, "t": "ab"[at % 2]} for at in range(50)]
    )
    rows: list[dict[str, Cell]] = [
        {"n": 1, "flag": True, "t": "a"},
        {"n": "2.5", "flag": False, "t": 7},
        {"n": "what", "flag": None, "t": None},
        {},
    ]
    window = fill(reference, ["t", "n", "flag"], [decision(row) for row in rows])
    n, flag, t = (window.profile.columns[name] for name in ("n", "flag", "t"))
    assert isinstance(n, NumericProfile)
    assert isinstance(flag, NumericProfile)
    assert isinstance(t, TextProfile)
    assert t.levels is not None
    assert (n.missing, n.moments.mean, flag.missing, flag.moments.mean) == (2, 1.75, 2, 0.5)
    assert (t.missing, t.levels.unseen, t.levels.counts.tolist()) == (2, 1, [1, 0])
    assert (window.first_us, window.last_us, window.profile.rows) == (7, 7, 4)


def test_the_order_of_decisions_makes_no_difference(cancer: Cancer) -> None:
    reference = profile_of(cancer.rows(cancer.reference))
    decisions = [decision(dict(row)) for row in cancer.rows(cancer.live)] * 6
    forth, back = (fill(reference, cancer.names, each) for each in (decisions, decisions[::-1]))
    assert forth.profile.to_bytes() == back.profile.to_bytes()


def test_draws_from_few_rows_are_worth_few(cancer: Cancer) -> None:
    reference = profile_of(cancer.rows(cancer.reference))
    rng = np.random.default_rng(3)
    drawn = [decision(dict(row)) for row in cancer.rows(cancer.draw(rng, 600))]
    worth = fill(reference, cancer.names, drawn).independent_rows
    assert worth == pytest.approx(1 / (1 / 600 + 1 / len(cancer.live)), rel=0.1)
    once = [decision(dict(row)) for row in cancer.rows(cancer.live)]
    assert fill(reference, cancer.names, once).independent_rows > 0.9 * len(cancer.live)


def test_a_stuck_column_does_not_make_rows_look_alike(cancer: Cancer) -> None:
    reference = profile_of(cancer.rows(cancer.reference))
    for column in range(30):
        stuck = cancer.live.copy()
        stuck[:, column] = 1.0
        window = fill(reference, cancer.names, [decision(dict(r)) for r in cancer.rows(stuck)])
        assert window.independent[cancer.names[column]] > 0.9 * len(stuck)


def test_flags_tell_nothing_of_repeats() -> None:
    reference = profile_of([{"flag": at % 2 == 0} for at in range(50)])
    window = fill(reference, ["flag"], [decision({"flag": True})] * 80)
    assert window.independent == {"flag": 80.0}


@given(st.integers(1, 10**6), st.lists(st.floats(0, 1), max_size=6))
def test_rows_are_worth_at_most_themselves(rows: int, repeats: list[float]) -> None:
    assert 0 < independent_rows(rows, repeats) <= rows


def test_a_number_is_read_from_what_came() -> None:
    assert [to_number(cell) for cell in (True, 3, 2.5, "1e3")] == [1.0, 3.0, 2.5, 1000.0]
    assert math.isnan(to_number(None))
    assert math.isnan(to_number("n/a"))
