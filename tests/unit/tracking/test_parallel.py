from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fixtures.example_host import example_of
from millwright.core.errors import Invalid
from millwright.core.ids import RunId
from millwright.records.comparisons import Axis
from millwright.records.runs import Infinite, Run
from millwright.tracking.parallel import number_of, parallel_chart

EXAMPLE = example_of(Run)
Logged = tuple[dict[str, str], dict[str, float | Infinite | None]]

LOGGED = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from("ab"), st.sampled_from(["1", "2.5", "-1e3", "gini", "inf", ""])
        ),
        st.dictionaries(st.sampled_from("xy"), st.sampled_from([0.0, -1.5, 3.0, None, "Infinity"])),
    ),
    max_size=6,
)


def runs_of(logged: list[Logged]) -> list[Run]:
    return [
        replace(EXAMPLE, id=RunId(f"run_{at}"), name=f"r{at}", params=params, metrics=metrics)
        for at, (params, metrics) in enumerate(logged)
    ]


@given(LOGGED)
def test_every_value_lies_on_its_axis(logged: list[Logged]) -> None:
    chart = parallel_chart(runs_of(logged))
    assert [line.name for line in chart.lines] == [f"r{at}" for at in range(len(logged))]
    for at, axis in enumerate(chart.axes):
        values = [line.values[at] for line in chart.lines if line.values[at] is not None]
        if axis.kind == "category":
            assert axis.categories == sorted(set(axis.categories))
            assert {int(value or 0) for value in values} == set(range(len(axis.categories)))
        elif values:
            assert axis.low == min(value for value in values if value is not None)
            assert axis.high == max(value for value in values if value is not None)
        else:
            assert (axis.low, axis.high) == (None, None)


def test_parameters_that_differ_come_first_then_metrics() -> None:
    runs = runs_of(
        [
            ({"depth": "3", "seed": "7", "kind": "gini"}, {"auc": 0.9}),
            ({"depth": "5", "seed": "7"}, {"auc": None, "loss": 1.0}),
        ]
    )
    chart = parallel_chart(runs)
    assert chart.axes == [
        Axis(key="params.depth", kind="number", low=3.0, high=5.0),
        Axis(key="params.kind", kind="category", categories=["gini"]),
        Axis(key="metrics.auc", kind="number", low=0.9, high=0.9),
        Axis(key="metrics.loss", kind="number", low=1.0, high=1.0),
    ]
    assert [line.values for line in chart.lines] == [[3.0, 0.0, 0.9, None], [5.0, None, None, 1.0]]


def test_axes_are_chosen_and_ordered() -> None:
    runs = runs_of([({"seed": "7"}, {"auc": 0.5})])
    chart = parallel_chart(runs, ["metrics.auc", "params.seed", "metrics.none", "metrics.auc"])
    assert [axis.key for axis in chart.axes] == ["metrics.auc", "params.seed", "metrics.none"]
    assert chart.lines[0].values == [0.5, 7.0, None]
    assert parallel_chart([], None).axes == []
    for key in ("auc", "tags.a", "params."):
        with pytest.raises(Invalid, match="is no axis"):
            parallel_chart(runs, [key])


def test_numbers_are_finite() -> None:
    assert [number_of(one) for one in ("1e2", 3, "nan", "Infinity", "x")] == [
        100.0,
        3.0,
        None,
        None,
        None,
    ]
