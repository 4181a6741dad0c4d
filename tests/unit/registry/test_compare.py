from __future__ import annotations

import pytest
from msgspec.structs import replace

from fixtures.cards import SIGNATURE, digest, run, version
from millwright.records.runs import RunSource
from millwright.records.schema import Column, Signature
from millwright.registry.compare import Change, ColumnChange, Comparison, Side, compare


def side(number: int = 1, **changes: object) -> Side:
    return Side(version=version(number, **changes), run=run(), requirements="numpy==2.0.0\n")


def test_a_version_does_not_differ_from_itself() -> None:
    found = compare(side(), side())
    assert found == Comparison(
        left="churn@v1", right="churn@v1", same_model=True, digests=[], columns=[], flavors=[],
        params=[], metrics=[], requirements=[], inputs=[], source=[],
    )  # fmt: skip
    assert not found.breaks


def test_what_differs_is_named_with_both_values() -> None:
    other = run(
        params={"depth": "5", "seed": "1"},
        metrics={"auc": 0.9, "loss": None, "best": "-Infinity"},
        source=RunSource(command=[], python="3.12.1", platform="Linux", code_digest=digest("c")),
        links=[],
    )
    right = Side(
        version=version(2, digest=digest("b"), flavors=["sklearn"], profile_digest=digest("8")),
        run=other,
        requirements="Foo_Bar==1\nnumpy>=2 # why\n-r other.txt\n",
    )
    found = compare(side(), right)
    assert (found.left, found.right, found.same_model) == ("churn@v1", "churn@v2", False)
    assert found.digests == [
        Change(key="model", left=digest("a"), right=digest("b")),
        Change(key="profile", left=None, right=digest("8")),
    ]
    assert found.flavors == [Change(key="onnx", left="yes", right=None)]
    assert found.params == [
        Change(key="depth", left="3", right="5"),
        Change(key="seed", left=None, right="1"),
    ]
    assert [(change.key, change.left, change.right) for change in found.metrics] == [
        ("auc", 0.875, 0.9),
        ("best", "Infinity", "-Infinity"),
    ]
    assert found.metrics[0].difference == pytest.approx(0.025)
    assert found.requirements == [
        Change(key="foo-bar", left=None, right="1"),
        Change(key="numpy", left="2.0.0", right=">=2"),
    ]
    assert found.inputs == [Change(key="dataset_version customers", left=digest("1"), right=None)]
    assert [change.key for change in found.source] == [
        "environment", "git commit", "git diff", "python",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("was", "now", "breaks"),
    [
        (Column(name="age", kind="integer"), Column(name="age", kind="float"), False),
        (Column(name="age", kind="float"), Column(name="age", kind="integer"), True),
        (
            Column(name="age", kind="float"),
            Column(name="age", kind="float", nullable=True),
            False,
        ),
        (Column(name="age", kind="float", nullable=True), Column(name="age", kind="float"), True),
        (Column(name="age", kind="float"), None, True),
        (None, Column(name="age", kind="float"), True),
    ],
)
def test_an_input_that_no_longer_fits_is_told(
    was: Column | None, now: Column | None, breaks: bool
) -> None:
    sides = [
        side(signature=Signature(inputs=[] if column is None else [column], outputs=[]))
        for column in (was, now)
    ]
    found = compare(*sides)
    assert found.columns == [
        ColumnChange(way="input", name="age", left=was, right=now, breaks=breaks)
    ]
    assert found.breaks == breaks


def test_an_answer_more_breaks_nothing_and_one_less_does() -> None:
    more = replace(
        SIGNATURE, outputs=[*SIGNATURE.outputs, Column(name="probability", kind="float")]
    )
    assert not compare(side(), side(signature=more)).breaks
    assert compare(side(signature=more), side()).breaks


def test_versions_without_runs_are_compared_as_far_as_they_go() -> None:
    found = compare(Side(version=version(1)), Side(version=version(2)))
    assert (found.params, found.metrics, found.source) == ([], [], [])
