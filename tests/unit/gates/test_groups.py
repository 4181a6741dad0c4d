from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from millwright.gates.check import Evidence
from millwright.gates.compare import Answers, Truth
from millwright.gates.gate import GateSpec, evaluate
from millwright.records.models import CheckResult
from millwright.records.schema import Column, Signature

SIGNATURE = Signature(inputs=[Column(name="x", kind="float")], outputs=[])
ENFORCED: dict[str, object] = {"check": "groups", "column": "sex", "enforce": True}


def evidence(**groups: tuple[int, int]) -> Evidence:
    """Groups of people, each given as (how many are selected, how many there are)."""
    names = np.concatenate([[name] * rows for name, (_, rows) in groups.items()])
    selected = np.concatenate(
        [np.arange(rows) < chosen for chosen, rows in groups.values()]
    ).astype(np.float64)
    return Evidence(
        columns={"sex": names.astype(object), "x": np.zeros(len(names))},
        truth=Truth(selected.astype(np.int64), selected),
        candidate=Answers(selected.astype(np.int64), selected),
        candidate_signature=SIGNATURE,
        candidate_seen_rows=0,
    )


def judged(given: Evidence, **options: object) -> list[CheckResult]:
    return evaluate(GateSpec(checks=[ENFORCED | options]), given).checks


def test_a_group_that_is_certainly_treated_worse_is_a_breach() -> None:
    (found,) = judged(evidence(m=(500, 1000), f=(200, 800)))
    assert (found.name, found.verdict, found.n) == ("selection-sex=f", "fail", 800)
    assert found.message.startswith("breach: selection 200 of 800, sex=m 500 of 1000; ratio 0.5")
    assert (found.value, found.baseline, found.threshold) == (0.25, 0.5, 0.8)
    assert found.high is not None
    assert found.high < 1.0


def test_a_group_that_is_certainly_treated_alike_is_clear() -> None:
    (found,) = judged(evidence(m=(1000, 2000), f=(900, 1800)))
    assert found.verdict == "pass"
    assert found.message.startswith("clear: ")
    assert found.low is not None
    assert found.low > 0.8


def test_a_small_group_is_neither_and_says_how_many_rows_would_tell() -> None:
    (found,) = judged(evidence(m=(500, 1000), f=(3, 10)))
    assert found.verdict == "undetermined"
    assert found.message.startswith("undetermined: selection 3 of 10")
    assert found.n_needed is not None
    assert found.n_needed > 10


def test_unless_it_is_enforced_it_is_reported_and_people_decide() -> None:
    for given in (evidence(m=(500, 1000), f=(200, 800)), evidence(m=(500, 1000), f=(3, 10))):
        (found,) = judged(given, enforce=False)
        assert found.verdict == "pass"
        assert found.message.split(":")[0] in {"breach", "undetermined"}


def test_every_group_is_held_against_the_largest() -> None:
    found = judged(evidence(b=(50, 100), a=(500, 1000), c=(10, 100)))
    assert [(one.name, one.verdict) for one in found] == [
        ("selection-sex=b", "undetermined"),
        ("selection-sex=c", "fail"),
    ]


def test_more_groups_ask_for_wider_intervals() -> None:
    alone = judged(evidence(m=(500, 1000), f=(100, 250)))[0]
    together = judged(evidence(m=(500, 1000), f=(100, 250), x=(100, 250)))[0]
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low


def test_recall_looks_at_the_truly_positive_only() -> None:
    given = evidence(m=(500, 1000), f=(400, 800))
    # Of the women selected, half again are truly positive and were overlooked.
    positive = np.ones(1800)
    spoiled = replace(given, truth=Truth(positive.astype(np.int64), positive))
    (found,) = judged(spoiled, rate="recall")
    assert (found.name, found.value, found.baseline) == ("recall-sex=f", 0.5, 0.5)
    assert judged(spoiled)[0].name == "selection-sex=f"


def test_a_single_group_has_nothing_to_be_compared_with() -> None:
    assert judged(evidence(m=(500, 1000))) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"column": "sexe"}, "no column 'sexe' among the judged rows"),
        ({"rate": "precision"}, "no rate is called 'precision'"),
    ],
)
def test_what_cannot_be_looked_at_is_undetermined_with_its_words(
    options: dict[str, object], said: str
) -> None:
    (found,) = judged(evidence(m=(5, 10), f=(5, 10)), **options)
    assert (found.verdict, said in found.message) == ("undetermined", True)


def test_a_model_without_scores_is_not_compared() -> None:
    given = evidence(m=(5, 10), f=(5, 10))
    bare = replace(given, candidate=Answers(given.candidate.prediction, None))
    (found,) = judged(bare)
    assert found.verdict == "undetermined"
    assert "decides between two classes" in found.message
